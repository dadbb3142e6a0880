"""The command line of bduo_runtime, with the commands info, bench and run."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from bduo_runtime import _run
from bduo_runtime._inspect import show_info, show_times
from bduo_runtime._library import MOST_THREADS
from bduo_runtime._messages import EXPECTED, complain, say

__all__ = ["main"]

_INTERRUPTED, _NOT_READ = 130, 141
"""Exit codes by which a shell knows that a signal ended the command: 128 + SIGINT, 128 + SIGPIPE."""

Shown = Callable[[tuple[type[Exception], ...]], AbstractContextManager[None]]


def main(argv: Sequence[str] | None = None, shown: Shown = contextlib.nullcontext) -> int:  # type: ignore[assignment]
    """Runs a command.

    Args:
        argv: the command's arguments; None stands for those of the process.
        shown: makes the context in which a command without --verbose is run, from the exceptions that become a line
            each. `_terminal.quiet` is meant for a process that does nothing but the command.

    Returns:
        The exit code: 0; 1 after a line on each thing that is wrong; 130 if the user interrupted the command; 141 if
        nobody reads what it prints.
    """
    try:
        try:
            args = _parser().parse_args(argv)
            with contextlib.nullcontext() if args.verbose else shown(EXPECTED):
                return args.command(args)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # a failure to write shows here, not when Python ends
    except BrokenPipeError:  # a reader such as `head` has read all that it wants
        return _NOT_READ
    except KeyboardInterrupt:
        say("interrupted")
        return _INTERRUPTED
    except EXPECTED as e:
        return complain(e)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bduo_runtime", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("model")
    verbose: dict[str, Any] = {"action": "store_true", "help": "show what LiteRT says, too"}
    parser.add_argument("-v", "--verbose", **verbose)
    common.add_argument("-v", "--verbose", **verbose, default=argparse.SUPPRESS)
    timed = argparse.ArgumentParser(add_help=False)
    timed.add_argument("--threads", type=_threads, default=1, help=f"1 to {MOST_THREADS}, default 1")

    info = commands.add_parser(
        "info", parents=[common], help="each operator of a model: who runs it, with which kernel, fused into what"
    )
    info.set_defaults(command=show_info)

    bench = commands.add_parser(
        "bench", parents=[common, timed], help="how long one inference takes, and each step of it"
    )
    bench.add_argument("--vs", metavar="other.tflite", help="another model, timed in turns with the first")
    bench.add_argument("--rounds", type=_count, default=30, help="default 30")
    bench.set_defaults(command=show_times)

    run = commands.add_parser(
        "run",
        parents=[common, timed],
        help="classify images, a folder's as they come, or the frames of a camera or video",
        usage="%(prog)s [options] model (image [image ...] | --watch FOLDER | --camera NUMBER | --video FILE)",
    )
    _run.add_options(run, _count)
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _threads(text: str) -> int:
    value = _count(text)
    if value > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"must be at most {MOST_THREADS}")
    return value
