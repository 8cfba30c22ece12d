"""Search for settings: python -m experiments.study study=budget_against_steps [trials=N] [key=value ...].

`conf/study` holds what may be searched; docs/study.md explains it. The same command goes on after an interrupt or a
crash, and may be given several times at once: all share the trials. More of them: a larger number for trials.
"""

import shlex
import sys
from pathlib import Path
from runpy import run_path

from experiments.commands.door import admitted
from experiments.commands.interrupts import interruptible
from experiments.commands.refusal import MISTAKES, reason
from experiments.storage import configuration
from experiments.storage.files import ROOT
from experiments.study import plan

OWN = ("study", "trials")
"""Settings of this command, which its runs are not given."""


@interruptible
def main(arguments: list[str]) -> int:
    """Search until as many trials are done as planned; 1 if a word of the command line cannot be meant."""
    try:
        from experiments.study.search import search
    except ModuleNotFoundError as error:
        print(f"error: {error}; pip install -e '.[study]' -c constraints.txt brings what searches", file=sys.stderr)
        return 1
    try:
        given = dict(word.split("=", 1) for word in arguments if "=" in word)
        if len(given) < len(arguments) or "study" not in given:
            raise ValueError("a study and its settings are key=value, such as study=budget_against_steps trials=20")
        chosen = plan.checked(given["study"], plan.plan(given["study"]))
        if not given.get("trials", "1").isdecimal():
            raise ValueError(f"trials must be a number of them, not {given['trials']!r}")
        chosen["trials"] = int(given.get("trials", chosen["trials"]))
        words = tuple(word for word in arguments if word.partition("=")[0] not in OWN)
        plan.refuse_set(given["study"], chosen, words)
        title = plan.title(given["study"], chosen, words)
        results = Path(admitted(configuration.composed(*chosen["base"], *words))["results"])
        search(title, chosen, words, results, run_path(str(ROOT / "run.py"))["main"])
    except MISTAKES as error:
        print(f"error: {reason(error).removeprefix('error: ')}", file=sys.stderr)
        return 1
    shows = shlex.join(["python", "-m", "experiments.pages", given["study"], *words])
    print(f"{title}: {chosen['trials']} trials; {shows} shows them")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
