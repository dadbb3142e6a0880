"""A folder of pictures for tests: drawn shapes of several sizes, in every kind of file that people have."""

from pathlib import Path

import numpy as np
from PIL import Image

from examples.draw_pictures import SHAPES, draw

__all__ = ["KINDS", "picture_folder", "save"]

KINDS = ("jpeg", "rotated", "png", "transparent", "palette", "grey", "grey alpha", "cmyk", "gif", "bmp", "webp", "tiff")
_ROTATED_BY = 6  # the value of EXIF's orientation for a camera that was turned by a quarter


def save(picture: Image.Image, stem: Path, kind: str) -> Path:
    """Saves a picture in one of the kinds of files; returns the file."""
    if kind in ("jpeg", "rotated", "cmyk"):
        file, exif = stem.with_suffix(".jpg"), Image.Exif()
        if kind == "rotated":
            exif[0x0112] = _ROTATED_BY
            picture = picture.transpose(Image.Transpose.ROTATE_90)
        (picture.convert("CMYK") if kind == "cmyk" else picture).save(file, quality=95, exif=exif)
        return file
    ending = {"gif": ".gif", "bmp": ".bmp", "webp": ".webp", "tiff": ".TIF"}.get(kind, ".png")
    if kind in ("transparent", "grey alpha"):
        # The ground is transparent and white below: it must not show.
        shown = np.asarray(picture).max(-1, keepdims=True) >= 100
        pixels = np.where(shown, np.asarray(picture), 255).astype(np.uint8)
        picture = Image.fromarray(np.concatenate([pixels, (shown * 255).astype(np.uint8)], -1))
    modes = {"palette": "P", "grey": "L", "grey alpha": "LA", "gif": "P"}
    file = stem.with_suffix(ending)
    (picture.convert(modes[kind]) if kind in modes else picture).save(file)
    return file


def picture_folder(root: Path, count: int, kinds: tuple[str, ...] = KINDS, classes: tuple[str, ...] = SHAPES) -> Path:
    """Makes a folder with `count` pictures of each class, of all the kinds in turn; returns it."""
    for label, kind in enumerate(classes):
        (root / kind).mkdir(parents=True)
        for i in range(count):
            size = (24 + 5 * (i % 4), 20 + 7 * (i % 3))
            save(draw(kind, size, 1000 * label + i), root / kind / f"{i:03}", kinds[i % len(kinds)])
    return root
