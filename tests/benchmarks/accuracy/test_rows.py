"""The file of rows: read as written, and none of the project's own is lost."""

import csv
from pathlib import Path

from benchmarks.accuracy.rows import ROWS, read_rows, write_rows
from tests.benchmarks.accuracy.some import row


def test_rows_are_read_as_written(tmp_path: Path) -> None:
    file = tmp_path / "accuracy.csv"
    assert read_rows(file) == []
    rows = [row(90.25, norms=True, drops=(0.5,)), row(91.0, method="duo3", validation=0.0)]
    write_rows(file, rows)
    assert read_rows(file) == rows
    assert [f.name for f in tmp_path.iterdir()] == ["accuracy.csv"]


def test_a_column_that_is_missing_is_at_its_default(tmp_path: Path) -> None:
    file = tmp_path / "accuracy.csv"
    write_rows(file, [row(90.25)])
    with file.open(newline="") as stream:
        [cells] = csv.DictReader(stream)
    del cells["schedule"]
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, cells)
        writer.writeheader()
        writer.writerow(cells)
    assert read_rows(file) == [row(90.25)]


def test_the_rows_of_the_project() -> None:
    rows = read_rows(ROWS)
    assert len({r.settings for r in rows}) == len(rows) >= 196
    triples = [r for r in rows if r.settings.method == "duo3"]
    assert {r.settings.recipe.levels for r in triples} == {3}
