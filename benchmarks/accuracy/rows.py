"""The file of all trainings: a row for each, with all that determines it and what came of it."""

import csv
import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bduo_tf.files import replacing
from bduo_tf.runs import Recipe, Settings

__all__ = ["ROWS", "Row", "read_rows", "write_rows"]

ROWS = Path(__file__).parents[2] / "docs" / "accuracy.csv"
"""Where the rows of this project are."""


@dataclass(frozen=True)
class Row:
    """A training and what came of it.

    Attributes:
        settings: what determines the training. It names no folder, since the data set is the same everywhere.
        accuracy: of the final model on the test or validation images, in percent.
        first_accuracy: of the model of the first stage; of methods with one stage the same.
        parameters: number of kernel weights of the final model.
        seconds: duration of all epochs.
    """

    settings: Settings
    accuracy: float
    first_accuracy: float
    parameters: int
    seconds: float


_RESULTS = tuple(f.name for f in dataclasses.fields(Row) if f.name != "settings")
_FOLDERS = ("data_dir", "init")  # settings that rows leave out: they say where things lie on one machine
_TEXTS = {f.name for kind in (Settings, Recipe) for f in dataclasses.fields(kind) if f.type is str}


def read_rows(file: Path) -> list[Row]:
    """The rows of a file, none if it does not exist. Settings whose columns it lacks have their defaults."""
    if not file.exists():
        return []
    with file.open(newline="") as stream:
        return [_row(cells) for cells in csv.DictReader(stream)]


def _row(cells: dict[str, str]) -> Row:
    values: dict[str, Any] = {name: cell if name in _TEXTS else json.loads(cell) for name, cell in cells.items()}
    return Row(Settings.from_values(values), **{name: values[name] for name in _RESULTS})


def write_rows(file: Path, rows: Iterable[Row]) -> None:
    """Write a file anew. Its columns are the settings and the results, texts as they are and all else as JSON."""
    contents = []
    for row in rows:
        values = {**row.settings.values(), **{name: getattr(row, name) for name in _RESULTS}}
        contents.append({k: v if k in _TEXTS else json.dumps(v) for k, v in values.items() if k not in _FOLDERS})
    columns = [name for name in (*Settings("", "").values(), *_RESULTS) if name not in _FOLDERS]
    with replacing(file) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(contents)
