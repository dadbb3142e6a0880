"""What the command run classifies: images one after the other, whether they are files, of a folder or of a camera."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Image", "Images", "Source"]


@dataclass(frozen=True)
class Image:
    """One image, not yet read.

    Attributes:
        title: how it is called where people read it.
        origin: how it is called where programs read it: keys and values for the line of JSON.
        read: returns its pixels, uint8 (height, width, channels), red first; None if it is to be passed over without a
            word. It raises a UsageError or an OSError if this image is damaged; the next ones may be good.
    """

    title: str
    origin: Mapping[str, str | int]
    read: Callable[[], np.ndarray | None]


Images = Generator[Image, None, None]
"""Images one after the other. Closing the generator releases what they come from, such as a camera."""


@dataclass(frozen=True)
class Source:
    """Where images come from.

    Attributes:
        images: the images. A UsageError says why there can be no more.
        noun: what one of them is called in the summary, such as "frame".
        stream: whether they come by themselves, so that their rate and a summary are of interest whatever their number.
        endless: whether only the user ends it, so that an interruption is the normal end.
        brief: whether a text has one line for each image rather than one for each class.
    """

    images: Images
    noun: str
    stream: bool = True
    endless: bool = True
    brief: bool = False
