"""Where `python -m train` and the installed command `bduo-train` start."""

import sys

import bduo_terminal


def main() -> int:
    """Hides what other packages write, then runs the command line of this process."""
    bduo_terminal.hide_others(sys.argv[1:])
    from .cli import main  # only now, because TensorFlow writes as soon as it is imported

    return main()


if __name__ == "__main__":
    sys.exit(main())
