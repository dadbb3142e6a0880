"""A folder of pictures for tests: drawn shapes of several sizes, in every kind of file that people have."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["CLASSES", "KINDS", "draw", "picture_folder", "save"]

CLASSES = ("disc", "frame", "stripes")
KINDS = ("jpeg", "rotated", "png", "transparent", "palette", "grey", "grey alpha", "cmyk", "gif", "bmp", "webp", "tiff")
_ROTATED_BY = 6  # the value of EXIF's orientation for a camera that was turned by a quarter


def draw(kind: str, size: tuple[int, int], seed: int) -> Image.Image:
    """A shape in a random bright colour on a dark ground.

    Args:
        kind: one of `CLASSES`.
        size: (width, height).
        seed: of the colour and the place.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    picture = Image.new("RGB", size, tuple(rng.integers(0, 40, 3).tolist()))
    colour = tuple(rng.integers(150, 256, 3).tolist())
    drawing = ImageDraw.Draw(picture)
    left, top = (int(rng.integers(0, side // 8 + 1)) for side in size)
    box = (left + width // 8, top + height // 8, left + width * 3 // 4, top + height * 3 // 4)
    if kind == "disc":
        drawing.ellipse(box, colour)
    elif kind == "frame":
        drawing.rectangle(box, outline=colour, width=max(2, min(size) // 8))
    else:
        for x in range(0, width, max(4, width // 4)):
            drawing.rectangle((x, 0, x + max(1, width // 10), height), colour)
    return picture


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


def picture_folder(root: Path, count: int, kinds: tuple[str, ...] = KINDS, classes: tuple[str, ...] = CLASSES) -> Path:
    """Makes a folder with `count` pictures of each class, of all the kinds in turn; returns it."""
    for label, kind in enumerate(classes):
        (root / kind).mkdir(parents=True)
        for i in range(count):
            size = (24 + 5 * (i % 4), 20 + 7 * (i % 3))
            save(draw(kind, size, 1000 * label + i), root / kind / f"{i:03}", kinds[i % len(kinds)])
    return root
