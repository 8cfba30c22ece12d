"""Imports point downwards only, and no wing knows another: a list of floors, held for every file."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

FLOORS = [
    ["modelgif_core"],
    [
        "experiments.commands",
        "experiments.commands.refusal",
        "experiments.commands.interrupts",
        "experiments.commands.progress",
        "experiments.memory",
    ],
    ["experiments.interfaces"],
    ["experiments.storage", "experiments.offers"],
    ["experiments.commands.door"],
    ["experiments.networks", "experiments.statistics", "experiments.study"],
    ["experiments.samples", "experiments.training"],
    ["experiments.queries"],
    ["experiments.methods"],
    ["experiments.pages"],
    ["experiments.measure", "experiments.testbeds"],
    ["experiments.prepare", "experiments.commands.sweeps"],
    ["experiments.job"],
    [
        *("experiments.embed", "experiments.track", "experiments.status", "experiments.page"),
        "experiments.testbeds.pairwise.compare",
    ],
    ["benchmarks", "experiments.reproduce", "experiments.commands.answers"],
    ["run"],
]
"""From the ground up; what stands on one floor does not know its neighbours."""
HEAVY = {"experiments": ["wandb"], "modelgif_core": ["hydra", "omegaconf", "wandb", "pandas", "matplotlib", "timm"]}
"""What a folder must not import; W&B has one file of its own."""
PAGES = {"page", "pictures", "contact_sheet"}
"""A wing's modules that draw, and those alone."""
ENTRIES = {
    *("run", "experiments.job", "experiments.status", "experiments.reproduce", "experiments.commands.sweeps"),
    "experiments.page",
}
"""Entry points that read pages."""
WINGS = sorted(path.name for path in (ROOT / "experiments" / "testbeds").iterdir() if (path / "testbed.py").exists())
FILES = [
    ROOT / "run.py",
    *(file for part in ("modelgif_core", "experiments", "benchmarks") for file in (ROOT / part).rglob("*.py")),
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_file_imports_only_what_lies_below_it(file):
    own = dotted(file)
    top = len(FLOORS) if own == "experiments" else floor(own)  # the package hands on what others import, when asked
    for name in imported(file):
        if name.startswith(("experiments", "modelgif_core", "benchmarks")) and place(name) != place(own):
            assert floor(name) < top, f"{own} imports {name}, which is not below it"


def test_the_package_itself_imports_nothing_heavy_until_asked():
    program = "import sys, experiments; print('torch' in sys.modules); from experiments import compare"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


@pytest.mark.parametrize("wing", WINGS)
def test_no_wing_imports_another(wing):
    others = [f"experiments.testbeds.{other}" for other in WINGS if other != wing]
    for file in (ROOT / "experiments" / "testbeds" / wing).rglob("*.py"):
        assert not [name for name in imported(file) for other in others if inside(name, other)], file


def test_pages_alone_draw_and_nothing_but_entry_points_reads_them():
    for file in FILES:
        names = imported(file)
        drawing = [name for name in names if inside(name, "matplotlib")]
        reading = [name for name in names if inside(name, "experiments.pages")]
        assert not drawing or draws(file), f"{file} draws: {drawing}"
        assert not reading or draws(file) or dotted(file) in ENTRIES, f"{file} reads pages: {reading}"
        for name in names:
            page = name.startswith("experiments.testbeds.") and set(name.split(".")[3:]) & PAGES
            assert not page or draws(file), f"{file} reads {name}"


def test_a_score_draws_nothing_even_by_what_it_imports():
    lines = [
        f"import experiments.testbeds.{wing}.testbed; print({wing!r}, 'matplotlib' in sys.modules)" for wing in WINGS
    ]
    program = "\n".join(["import sys", *lines])
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == [f"{wing} False" for wing in WINGS]


@pytest.mark.parametrize("folder", HEAVY)
def test_heavy_libraries_stay_where_they_belong(folder):
    for file in (ROOT / folder).rglob("*.py"):
        found = {name.split(".")[0] for name in imported(file)} & set(HEAVY[folder])
        assert not found or file.name == "tracking.py", f"{file}: {found}"


def test_a_file_holds_one_idea_and_a_folder_one_floor():
    for path in (ROOT / "experiments").rglob("*.py"):
        lines = len(path.read_text().splitlines())
        assert lines <= 250, f"{path} has {lines} lines"
    for folder in [ROOT / "experiments", *(path for path in (ROOT / "experiments").rglob("*") if path.is_dir())]:
        modules = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
        assert len(modules) <= 12, f"{folder} holds {', '.join(modules)}"


def draws(file: Path) -> bool:
    """Whether it is a page: in the folder of pages, or a wing's own."""
    return inside(dotted(file), "experiments.pages") or ("testbeds" in file.parts and file.stem in PAGES)


def dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def place(name: str) -> str:
    """The entry of the list of floors that a module belongs to; the types that all know are below everything."""
    known = [entry for floor in FLOORS for entry in floor if inside(name, entry)]
    assert known or name == "experiments", f"{name} has no floor"
    return max(known, key=len) if known else name


def floor(name: str) -> int:
    return next((level for level, entries in enumerate(FLOORS) if place(name) in entries), -1)


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def imported(file: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
            names += [node.module or ""]
    return names
