"""Where `python -m benchmarks.accuracy` starts."""

import sys

from benchmarks.accuracy.cli import main

if __name__ == "__main__":  # the processes that train import this file under another name
    sys.exit(main())
