"""`python -m s2id`, which torchrun wants."""

import sys

from s2id.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
