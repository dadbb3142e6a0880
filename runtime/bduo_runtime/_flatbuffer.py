"""Reads FlatBuffers that may be damaged or hostile, without generated code."""

import struct
from collections.abc import Iterator
from typing import Any

from flatbuffers import number_types
from flatbuffers.table import Table as _Table

__all__ = ["MALFORMED", "Table", "root"]

MALFORMED = (struct.error, IndexError, TypeError)
"""The errors that are raised where a FlatBuffer refers to places outside of itself."""

_MOST_ENTRIES = 1000  # so many elements of a vector are read: a hostile file could claim billions


class Table:
    """A table of a FlatBuffer, whose fields are named by their numbers in the schema.

    Any method may raise one of MALFORMED. None takes long, whatever the file claims.
    """

    def __init__(self, table: _Table) -> None:
        self._table = table

    def _place(self, field: int) -> int | None:
        """The position of a field's value in the buffer; None if the table does not have the field."""
        offset = self._table.Offset(4 + 2 * field)
        return self._table.Pos + offset if offset else None

    def number(self, field: int, flags: type, default: int = 0) -> int:
        """A number, of the type that one of flatbuffers.number_types stands for."""
        place = self._place(field)
        return default if place is None else self._table.Get(flags, place)

    def table(self, field: int) -> "Table | None":
        """A table; None if there is none."""
        place = self._place(field)
        return None if place is None else self._at(place)

    def item(self, field: int, index: int) -> "Table":
        """One table of a vector of tables."""
        start, length = self._vector(field)
        if index >= length:
            raise IndexError(index)
        return self._at(start + 4 * index)

    def tables(self, field: int) -> Iterator["Table"]:
        """The tables of a vector of tables, no more than _MOST_ENTRIES of them."""
        start, length = self._vector(field)
        return (self._at(start + 4 * i) for i in range(min(length, _MOST_ENTRIES)))

    def bytes(self, field: int) -> bytes:
        """A vector of bytes."""
        start, length = self._vector(field)
        return bytes(self._table.Bytes[start : start + length])

    def string(self, field: int) -> str:
        """A string, no more than _MOST_ENTRIES bytes of it."""
        start, length = self._vector(field)
        return bytes(self._table.Bytes[start : start + min(length, _MOST_ENTRIES)]).decode(errors="replace")

    def numbers(self, field: int, flags: Any) -> tuple[Any, ...]:
        """A vector of numbers, of the type that one of flatbuffers.number_types stands for."""
        start, length = self._vector(field)
        if length > _MOST_ENTRIES:
            raise IndexError(length)
        return tuple(self._table.Get(flags, start + flags.bytewidth * i) for i in range(length))

    def length(self, field: int) -> int:
        """How many elements a vector says that it has."""
        return self._vector(field)[1]

    def _vector(self, field: int) -> tuple[int, int]:
        """The position of the first element of a vector, and how many elements it says that it has."""
        place = self._place(field)
        if place is None:
            return 0, 0
        start = self._table.Indirect(place)
        return start + 4, self._table.Get(number_types.UOffsetTFlags, start)

    def _at(self, place: int) -> "Table":
        return Table(_Table(self._table.Bytes, self._table.Indirect(place)))


def root(content: bytes) -> Table:
    """The root table of a FlatBuffer, from which all others are reached."""
    return Table(_Table(content, _Table(content, 0).Get(number_types.UOffsetTFlags, 0)))
