"""Tables and their figures, read back from records: python -m experiments.pages [experiment ...]."""

import sys

from experiments.pages.tables import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
