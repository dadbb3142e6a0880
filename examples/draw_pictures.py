"""Draws a folder of pictures for those who have none at hand: three kinds of shapes, each in a folder of its own.

python -m examples.draw_pictures FOLDER

They are JPEG files of several sizes, each with its own colours and place.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("disc", "frame", "stripes")


def drawn(shape: str, rng: np.random.Generator) -> Image.Image:
    """A bright shape on a dark ground, (40 to 80, 40 to 80) pixels."""
    width, height = (int(side) for side in rng.integers(40, 81, 2))
    picture = Image.new("RGB", (width, height), tuple(rng.integers(0, 60, 3).tolist()))
    colour, drawing = tuple(rng.integers(140, 256, 3).tolist()), ImageDraw.Draw(picture)
    left, top = int(rng.integers(0, width // 5)), int(rng.integers(0, height // 5))
    box = (left + width // 8, top + height // 8, left + width * 5 // 8, top + height * 5 // 8)
    if shape == "disc":
        drawing.ellipse(box, colour)
    elif shape == "frame":
        drawing.rectangle(box, outline=colour, width=max(3, min(width, height) // 9))
    else:
        for x in range(left, width, max(6, width // 5)):
            drawing.rectangle((x, 0, x + width // 10, height), colour)
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.draw_pictures", description="Draws a folder of pictures.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=80, help="of each shape (default: %(default)s)")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        (args.folder / shape).mkdir(parents=True)
        for i in range(args.count):
            drawn(shape, rng).save(args.folder / shape / f"{i:03}.jpg", quality=90)
    print(f"{args.count} pictures of each of {', '.join(SHAPES)} in {args.folder}")


if __name__ == "__main__":
    main()
