"""FlatBuffers that are not trusted, read without generated code."""

import struct
from collections.abc import Iterator
from typing import Any

from flatbuffers import number_types
from flatbuffers.table import Table as _Table

__all__ = ["MALFORMED", "Table", "root"]

MALFORMED = (struct.error, IndexError, TypeError)
"""What is raised where a FlatBuffer refers to what lies outside of it."""

_MOST_ENTRIES = 1000


class Table:
    """A table of a FlatBuffer, its fields by their places.

    Any method may raise one of MALFORMED, and none takes long.
    """

    def __init__(self, table: _Table) -> None:
        self._table = table

    def _place(self, field: int) -> int | None:
        """Where a field's value is, if it has one."""
        offset = self._table.Offset(4 + 2 * field)
        return self._table.Pos + offset if offset else None

    def number(self, field: int, flags: type, default: int = 0) -> int:
        place = self._place(field)
        return default if place is None else self._table.Get(flags, place)

    def table(self, field: int) -> "Table | None":
        place = self._place(field)
        return None if place is None else self._at(place)

    def item(self, field: int, index: int) -> "Table":
        """One of a vector of tables."""
        start, length = self._vector(field)
        if index >= length:
            raise IndexError(index)
        return self._at(start + 4 * index)

    def tables(self, field: int) -> Iterator["Table"]:
        """A vector of tables, those beyond _MOST_ENTRIES left out."""
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
        """Where its first element is, and how many there are."""
        place = self._place(field)
        if place is None:
            return 0, 0
        start = self._table.Indirect(place)
        return start + 4, self._table.Get(number_types.UOffsetTFlags, start)

    def _at(self, place: int) -> "Table":
        return Table(_Table(self._table.Bytes, self._table.Indirect(place)))


def root(content: bytes) -> Table:
    """The table that a FlatBuffer begins with."""
    return Table(_Table(content, _Table(content, 0).Get(number_types.UOffsetTFlags, 0)))
