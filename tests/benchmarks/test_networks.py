"""The tables of networks and of conversion: every figure in its place. No test here depends on the machine's speed."""

import re
import subprocess
import sys

import pytest

from benchmarks import conversion, networks


def _rows(printed: str) -> dict[tuple[str, str], list[str]]:
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in printed.splitlines() if line.startswith("| ")]
    return {(row[0], row[1]): row[2:] for row in cells[1:]}


def test_forms_of_vgg7(capsys):
    assert networks.main(["vgg7", "--rounds", "2"]) == 0
    rows = _rows(capsys.readouterr().out)
    # Weights and MACs of the paper's table (shared by the first and the last float layer).
    assert rows["vgg7", "float"][:4] == ["1,575,616", "-", "-", "69.1M"]
    assert rows["vgg7", "binary baseline"][:4] == ["1,575,616", "67.4M", "-", "1.8M"]
    assert rows["vgg7", "coupled"] == ["789,782", "-", "33.3M", "1.2M", "-", "-", "-", "-"]
    assert rows["vgg7", "decoupled"][:4] == ["1,573,229", "66.6M", "-", "1.2M"]
    sizes = [int(rows["vgg7", form][4].replace(",", "")) for form in ("float", "decoupled")]
    assert sizes[0] > 20 * sizes[1]
    assert rows["vgg7", "float"][6:] == ["1.00", "-"]
    assert float(rows["vgg7", "decoupled"][7]) > 0


def test_widths_of_vgg7(capsys):
    assert networks.main(["vgg7", "--widths", "--rounds", "2"]) == 0
    names = [name for _, name in _rows(capsys.readouterr().out)]
    assert names == ["multiple of 1: 45, 45, 90, 90, 336, 512", "multiple of 32: 32, 32, 96, 96, 320, 512"]


def test_an_unknown_network_is_named(capsys):
    with pytest.raises(SystemExit):
        networks.main(["vgg8"])
    known = "alexnet, quicknet, quicknet_large, quicknet_small, resnet18, resnet18_block, vgg7"
    assert f"unknown network vgg8; known: {known}" in capsys.readouterr().err


def test_conversion_of_vgg7(capsys):
    assert conversion.main(["vgg7", "--samples", "4"]) == 0
    printed = capsys.readouterr().out
    assert "5 LceBconv2d, arg max agrees on 4 of 4 inputs" in printed
    assert [line.split("  ")[0] for line in printed.splitlines()[2:8]] == [
        "build the coupled network",
        "decouple",
        "deploy (to_lce_graph)",
        "convert",
        "verify on 4 inputs",
        "all",
    ]


@pytest.mark.slow
def test_conversion_of_resnet18_at_imagenets_size():
    command = [sys.executable, "-m", "benchmarks.conversion", "resnet18"]  # a process of its own, for its memory
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 LceBconv2d, arg max agrees on 8 of 8 inputs" in done.stdout
    assert float(re.search(r"([\d.]+) GiB of memory", done.stdout)[1]) < 6
