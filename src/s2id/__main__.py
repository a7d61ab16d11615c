"""`python -m s2id`, which torchrun wants."""

import sys

from s2id.cli import main

if __name__ == "__main__":
    sys.exit(main())
