"""Tables for the terminal, and in Markdown for the pages of docs/."""

from collections.abc import Sequence

__all__ = ["markdown", "table"]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lays out rows of cells in columns, between two rules."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = "-" * (sum(widths) + 2 * len(widths))
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([rule, *text, rule])


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Writes rows of cells as a table in Markdown; the first row is its head."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])
