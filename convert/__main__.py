"""Entry point of `python -m convert`."""

import sys

import terminal

if __name__ == "__main__":
    terminal.hide_others(sys.argv[1:])
    from convert.cli import main  # not before: TensorFlow writes as soon as it is imported

    sys.exit(main())
