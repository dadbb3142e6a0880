"""The parts that a page is made of: tables, bars, pictures, and the document around them."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from bduo_tf.backend import tf
from bduo_tf.files import replacing

__all__ = ["Cell", "bar", "chart", "escape", "picture", "section", "table", "write_page"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8883; --blue: 60, 120, 216; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p.note { opacity: .75; margin: .4rem 0; max-width: 46rem; }
table { border-collapse: collapse; margin: .6rem 0; } .wide { overflow-x: auto; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th { font-weight: 600; white-space: nowrap; }
.bar { display: inline-block; height: .65rem; background: rgb(var(--blue)); vertical-align: middle; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; width: 8rem; font-size: .85rem; }
figure img { width: 8rem; height: 8rem; object-fit: contain; image-rendering: pixelated; background: var(--soft); }
img.chart { max-width: 100%; background: white; }
.failed { color: #c22; font-weight: 600; }
"""


@dataclass(frozen=True)
class Cell:
    """A cell of a table whose content is HTML, or that has a colour.

    Attributes:
        html: the content as HTML.
        shade: from 0 to 1: how strongly the cell is coloured.
        hint: the text that appears when the pointer rests on it.
    """

    html: str
    shade: float = 0.0
    hint: str = ""


def section(heading: str, *parts: str) -> str:
    """A heading and what stands under it."""
    return f"<section><h2>{escape(heading)}</h2>\n" + "\n".join(parts) + "\n</section>"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table. Numbers stand on the right; text is escaped unless it is a `Cell`.

    Args:
        head: the columns' headings.
        rows: a cell for each column, as text, number or `Cell`; None leaves it empty.
    """
    numeric = [all(isinstance(row[i], (int, float)) or row[i] is None for row in rows) for i in range(len(head))]
    heads = "".join(f"<th{_number(n)}>{escape(text)}</th>" for text, n in zip(head, numeric, strict=True))
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>\n" for row in rows)
    return f'<div class="wide"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def _number(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def _cell(value: object) -> str:
    if isinstance(value, Cell):
        style = f' style="background: rgba(var(--blue), {value.shade:.2f})"' if value.shade else ""
        hint = f' title="{escape(value.hint)}"' if value.hint else ""
        return f'<td class="number"{style}{hint}>{value.html}</td>'
    if value is None:
        return "<td></td>"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"<td>{escape(str(value))}</td>"
    return f'<td class="number">{value:,}</td>' if isinstance(value, int) else f'<td class="number">{value:.4g}</td>'


def bar(value: float, largest: float, text: str) -> Cell:
    """A number with a bar as long as it is large."""
    width = 0.0 if not largest else 6 * value / largest
    return Cell(f'{escape(text)} <span class="bar" style="width: {width:.2f}rem"></span>')


def picture(pixels: np.ndarray, caption: str) -> str:
    """A small picture inside the page.

    Args:
        pixels: uint8 (height, width, 1 or 3).
        caption: the text under it, which is HTML.
    """
    png = bytes(tf.io.encode_png(pixels).numpy())
    return f'<figure><img src="{_inside(png)}" alt=""><figcaption>{caption}</figcaption></figure>'


def chart(path: Path, alternative: str) -> str:
    """The picture in a PNG file, in its own size, inside the page."""
    return f'<img class="chart" src="{_inside(path.read_bytes())}" alt="{escape(alternative)}">'


def _inside(png: bytes) -> str:
    """An address of a picture that holds the picture itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[str]) -> None:
    """Writes a page, in one piece.

    Args:
        path: the file to write.
        title: its title, as text.
        subtitle: the line under it, as text.
        sections: what `section` returned.
    """
    content = f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title><style>{_STYLE}</style></head>
<body>
<h1>{escape(title)}</h1>
<p class="note">{escape(subtitle)}</p>
{"".join(sections)}
</body>
</html>
"""
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
