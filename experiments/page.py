"""One page with everything that is recorded, for a browser: python -m experiments.page.

It is a single file that asks nothing of anybody: open `results/page/index.html`.
"""

import argparse
import sys
from pathlib import Path

from experiments.pages.standing import RECORDED
from experiments.pages.web import site
from experiments.storage.files import ROOT, write

PAGE = ROOT / "results" / "page" / "index.html"


def main(arguments: list[str]) -> int:
    """Write the page; 1 if a record is damaged or the file cannot be written, else 0."""
    parser = argparse.ArgumentParser(prog="python -m experiments.page", description=main.__doc__)
    parser.add_argument("--records", type=Path, default=RECORDED, help=f"folder of the runs; by default {RECORDED}")
    parser.add_argument("--to", type=Path, default=PAGE, help=f"the file to write; by default {PAGE}")
    chosen = parser.parse_args(arguments)
    if not chosen.records.is_dir():
        print(f"error: there is no folder {chosen.records} with records; the page stays as it is", file=sys.stderr)
        return 1
    try:
        content = site.html(chosen.records.resolve(), chosen.to.resolve().parent).encode()
        write(chosen.to, content)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(f"page: {chosen.to}, {len(content) / 1e6:.1f} MB; open it in a browser")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
