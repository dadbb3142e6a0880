"""`python -m bduo_runtime`."""

import sys

from bduo_runtime._cli import main

if __name__ == "__main__":
    sys.exit(main())
