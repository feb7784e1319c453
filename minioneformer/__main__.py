"""`python -m minioneformer` is the command `minioneformer`."""

import sys

from minioneformer.cli import main

if __name__ == "__main__":
    sys.exit(main())
