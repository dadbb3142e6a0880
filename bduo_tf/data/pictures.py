"""Reads picture files as a device reads them, and finds out once which of them can be read."""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps
from tqdm import tqdm

from bduo_tf.data.errors import DataError
from bduo_tf.files import replacing
from bduo_tf.messages import first_line

__all__ = ["Picture", "examine", "is_picture", "read_picture"]

_ENDINGS = {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
# Pictures too, but such as most installations of Pillow do not read. They are reported instead of being left out.
_OTHER_ENDINGS = {".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jp2", ".jxl", ".nef", ".orf", ".psd"}
_SHOWN = 3  # so many damaged files are named
_FORMAT = 1  # of the file that keeps what was found


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by the ending of its name."""
    return path.suffix.lower() in _ENDINGS | _OTHER_ENDINGS


def read_picture(path: str | Path) -> np.ndarray:
    """Reads a picture in the way of `python -m bduo_runtime run`: upright, in colour, transparent parts over black.

    Of several frames only the first is read.

    Args:
        path: the file, of any format that Pillow reads.

    Returns:
        uint8, (height, width, 3).

    Raises:
        Exception: the file cannot be read. Pillow's readers raise errors of any kind for damaged files.
    """
    with Image.open(path) as opened:
        if opened.mode[0] in "IF":  # Pillow would cut the values off at 255
            raise ValueError("more than 8 bits a channel")
        if Image.MAX_IMAGE_PIXELS is not None and opened.width * opened.height > Image.MAX_IMAGE_PIXELS:
            raise ValueError(f"{opened.width}x{opened.height} pixels are too many")
        image = ImageOps.exif_transpose(opened)
        if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
            return np.asarray(image.convert("RGB"))
        pixels = np.asarray(image.convert("RGBA"))
    colours, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:]
    return ((colours * alpha + 127) // 255).astype(np.uint8)


@dataclass(frozen=True)
class Picture:
    """What is known of a picture that can be read.

    Attributes:
        height: in pixels, of the upright picture.
        width: in pixels, of the upright picture.
        coloured: whether any of its pixels is not grey.
    """

    height: int
    width: int
    coloured: bool


def examine(root: Path, names: Sequence[str]) -> list[Picture]:
    """Decodes each picture once, on all cores, to find those that are damaged before anything is trained.

    What was found is kept in the user's cache folder ($XDG_CACHE_HOME, or else ~/.cache), so that a second start only
    decodes the files that were added or changed since, which their sizes and times of change tell.

    Args:
        root: the folder that the names start from.
        names: the files, relative to `root`.

    Returns:
        What is known of each picture, in the order of `names`.

    Raises:
        DataError: pictures cannot be read; the message names some of them.
    """
    kept, stamps = _kept(root), {name: _stamp(root / name) for name in names}
    known = {n: Picture(*kept[n][2:]) for n in names if n in kept and tuple(kept[n][:2]) == stamps[n]}
    bad: dict[str, str] = {}
    new = [name for name in names if name not in known]
    for name, found in _examined(root, new):
        if isinstance(found, Picture):
            known[name] = found
        else:
            bad[name] = found
    if new:
        _keep(root, {name: (*stamps[name], *astuple(picture)) for name, picture in known.items()})
    if bad:
        shown = ", ".join(f"{name} ({reason})" for name, reason in list(bad.items())[:_SHOWN])
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise DataError(
            "name",
            f"{len(bad)} of {len(names)} pictures in {root} cannot be read: {shown}{more}. "
            "Repair or remove them; pictures of other formats can be converted to JPEG or PNG.",
        )
    return [known[name] for name in names]


def _examined(root: Path, names: Sequence[str]) -> Iterator[tuple[str, Picture | str]]:
    """What each file turns out to be: a picture, or the reason why it cannot be read."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes without Python's lock
        found = pool.map(lambda name: _examine(root / name), names)
        progress = tqdm(
            found, "checking pictures", len(names), leave=False, delay=1, disable=not sys.stderr.isatty(), unit=""
        )
        yield from zip(names, progress, strict=True)


def _examine(path: Path) -> Picture | str:
    try:
        pixels = read_picture(path)
    except Exception as e:
        if isinstance(e, PIL.UnidentifiedImageError):  # its message is that and the path, which is named anyway
            return "cannot identify image file"
        return first_line(e)
    height, width, _ = pixels.shape
    return Picture(height, width, coloured=bool((pixels != pixels[..., :1]).any()))


def _stamp(path: Path) -> tuple[int, int]:
    """The size of a file in bytes and when it was changed, in nanoseconds; zeros if it cannot be asked."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _cache(root: Path) -> Path:
    """The file that keeps what was found in a folder."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "bduo" / f"pictures-{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}.json"


def _kept(root: Path) -> dict[str, list]:
    """What an earlier start kept: for each name the size, the time of change, and the fields of `Picture`."""
    try:
        content = json.loads(_cache(root).read_text())
        # Another version of Pillow may read more files, or fewer.
        if [content["format"], content["pillow"]] != [_FORMAT, PIL.__version__]:
            return {}
        return {name: row for name, row in content["pictures"].items() if len(row) == 5}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        return {}  # not there, damaged, or there is no home: everything is examined anew


def _keep(root: Path, pictures: Mapping[str, tuple]) -> None:
    content = {"format": _FORMAT, "pillow": PIL.__version__, "folder": str(root), "pictures": pictures}
    with contextlib.suppress(OSError, RuntimeError, UnicodeError):  # where nothing can be kept, nothing is
        file = _cache(root)
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(content))
