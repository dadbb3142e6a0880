"""A table for the terminal, and the same for a page of docs/."""

from collections.abc import Sequence

__all__ = ["markdown", "table"]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Cells in columns, between two rules."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = "-" * (sum(widths) + 2 * len(widths))
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([rule, *text, rule])


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The same in Markdown; the first row is the head."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])
