"""The analysis of the gradient mismatch as a command, on next to nothing."""

import dataclasses
import json

import pytest

from benchmarks import gradient_mismatch
from benchmarks.gradient_mismatch import QUICK, main


@pytest.fixture
def command(tmp_path, monkeypatch):
    tiny = {"samples": 500, "coordinates": 4, "full_precision_coordinates": 4}
    few = {"images": 16, "vgg7_coordinates": 3, "epochs": (1, 1), "speed_coordinates": 4, "speed_samples": 100}
    monkeypatch.setattr(gradient_mismatch, "QUICK", dataclasses.replace(QUICK, **tiny, **few, plain_coordinates=1))
    return ["--quick", "--docs", str(tmp_path / "docs"), "--folder", str(tmp_path / "numbers")]


def test_writes_what_it_prints_and_keeps_what_stands_around(command, capsys, tmp_path):
    page = tmp_path / "docs" / "gradient_mismatch.md"
    page.parent.mkdir()
    page.write_text("# By hand\n\n<!-- mlp -->\nold\n<!-- end of mlp -->\n\nAlso by hand.\n")
    assert main(["mlp", *command]) == 0
    printed, text = capsys.readouterr().out, page.read_text()
    row = next(line for line in printed.splitlines() if line.startswith("| 0.1 | full precision"))
    assert row in text
    assert row.endswith("| 1.000 +- 0.000 | 1.0 |")  # smooth in the last kernel, however few the samples
    assert "old" not in text
    assert text.startswith("# By hand")
    assert text.endswith("Also by hand.\n")

    # What was measured is there; other settings are another measurement.
    file = tmp_path / "numbers" / "mlp.json"
    before = file.stat().st_mtime_ns
    assert main(["mlp", *command]) == 0
    assert file.stat().st_mtime_ns == before
    file.write_text(json.dumps({**json.loads(file.read_text()), "scale": {}}))
    with pytest.raises(SystemExit):
        main(["mlp", *command])
    assert "other settings" in capsys.readouterr().err


def test_an_unknown_part_lists_the_known(capsys):
    with pytest.raises(SystemExit):
        main(["mpl"])
    assert "unknown part mpl; known: mlp, gradients, vgg7, speed" in capsys.readouterr().err


@pytest.mark.slow
def test_every_part(command, tmp_path):
    assert main(command) == 0
    text = (tmp_path / "docs" / "gradient_mismatch.md").read_text()
    for line in ("binary, SwishSign", "| decoupled | 1 |", "VGG-7, widths x 0.05, baseline, binary kernels, conv2"):
        assert line in text
    assert (tmp_path / "docs" / "gradient_mismatch.png").stat().st_size > 1000
