"""Published figures beside recomputed ones: python -m experiments.pages.published [folder]."""

import sys

from experiments.pages.published.recompute import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
