"""Draws a folder of pictures for those who have none at hand: three kinds of shapes, each in a folder of its own.

python -m examples.draw_pictures FOLDER

They are JPEG files of several sizes, each with its own colours and place.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("disc", "frame", "stripes")


def draw(kind: str, size: tuple[int, int], seed: int) -> Image.Image:
    """A shape in a random bright colour on a dark ground.

    Args:
        kind: one of `SHAPES`.
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.draw_pictures", description="Draws a folder of pictures.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=80, help="of each shape (default: %(default)s)")
    args = parser.parse_args()
    sizes = np.random.default_rng(0).integers(40, 81, (len(SHAPES), args.count, 2)).tolist()
    for label, shape in enumerate(SHAPES):
        (args.folder / shape).mkdir(parents=True)
        for i, (width, height) in enumerate(sizes[label]):
            draw(shape, (width, height), args.count * label + i).save(args.folder / shape / f"{i:03}.jpg", quality=90)
    print(f"{args.count} pictures of each of {', '.join(SHAPES)} in {args.folder}")


if __name__ == "__main__":
    main()
