"""Makes the tables in README and docs anew, from `conf/` and recorded runs: python -m experiments.pages.documents.

A block `<!-- table: NAME -->` … `<!-- end -->` is filled; all other text is left alone.
"""

import argparse
import sys

from experiments.commands.refusal import MISTAKES, reason
from experiments.pages.documents.blocks import documents, fill
from experiments.storage.files import ROOT


def main(arguments: list[str]) -> int:
    """Write every document whose blocks say something else now, and name it; 1 if a record is damaged."""
    argparse.ArgumentParser(prog="python -m experiments.pages.documents", description=main.__doc__).parse_args(
        arguments
    )
    failed = 0
    for file in documents(ROOT):
        try:
            if fill(file, ROOT / "results"):
                print(file.relative_to(ROOT))
        except MISTAKES as error:
            failed = 1
            print(f"error: {file.name}: {reason(error)}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
