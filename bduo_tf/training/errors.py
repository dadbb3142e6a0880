"""Errors that a command line reports in one line, without a traceback."""

import errno
import re

from bduo_tf.backend import tf

__all__ = ["OptionError", "failure"]


class OptionError(ValueError):
    """An option of the command line cannot be honoured.

    Args:
        option: its name with dashes, e.g. "--run".
        message: what is wrong and what to do, one line.
    """

    def __init__(self, option: str, message: str) -> None:
        super().__init__(f"{option}: {message}")


def failure(error: BaseException) -> str | None:
    """The option that is to blame and what has failed; None if the error is a fault of the program.

    Faults that are not the program's are those of what surrounds a run: its disk, its memory, its data, other workers.
    """
    text = " ".join(str(error).split())
    shown = text if len(text) <= 300 else text[:150] + " ... " + text[-150:]
    if isinstance(error, tf.errors.OpError) and "IteratorGetNext" in text:
        if label := re.search(r"\[(a label is not .*?):\] \[(.*?)\]", text):
            return f"--dataset: {label[1]}, but {label[2]}"
        if picture := re.search(r"(a picture is gone or damaged): \[([^{].*?)\]", text):
            return f"--dataset: {picture[1]}: {picture[2]}"
        return f"--dataset: an image cannot be read ({type(error).__name__}: {shown})"
    if isinstance(error, (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)):
        # What collective operations raise when a worker that they wait for is gone.
        return f"--strategy: another worker is gone ({shown})"
    # h5py and TensorFlow say it in their messages alone.
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in text
    if full:
        return f"--run: no space is left on its disk ({shown})"
    if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
        return f"--batch-size, --image-size or --width: memory does not suffice, make them smaller ({shown})"
    if isinstance(error, OSError):
        return f"--run: {shown}"
    return None
