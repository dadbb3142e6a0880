"""Counts of instructions: what is read of the counter's file, and on the emulated Raspberry Pi the bound for VGG-7."""

import re
from pathlib import Path

import pytest

from benchmarks import arm_instructions, peers

PI = Path(__file__).parents[2] / ".venv/pi"

# eor v0.16b, v1.16b, v2.16b; cnt v0.16b, v0.16b; add v3.16b, v3.16b, v0.16b; b.ne back to the first
LOOP = "6e221c20 4e205800 4e208463 54ffffa1"


def blocks():
    text = f"count 409\nblock 100 1000 {LOOP}\nblock 9 2000 d503201f\n"
    return arm_instructions.parse(text, {0x1000: "loop", 0x2000: "rest"})


def test_parse():
    loop, rest = blocks()
    assert loop.function == "loop"
    assert loop.instructions == 400
    assert rest.words == ("d503201f",)
    assert rest.instructions == 9


@pytest.mark.parametrize("processor", ["cortex-a72", "neoverse-n1"])
def test_cycles(processor):
    estimate = arm_instructions.cycles(blocks(), processor)
    if estimate is None:
        pytest.skip("llvm-mca 17 or newer is not installed")
    # Three vector instructions for two vector units.
    assert estimate["loop"] == 150


def test_no_emulation(tmp_path):
    with pytest.raises(SystemExit, match=r"there is no emulated Raspberry Pi in .*: make emulation"):
        arm_instructions.main(["model.tflite", "--pi", str(tmp_path)])


@pytest.mark.slow
@pytest.mark.skipif(not (PI / "ready").exists(), reason="no emulated Raspberry Pi: make emulation")
def test_vgg7_takes_at_most_four_million(tmp_path, capsys):
    assert peers.main(["vgg7", "--folder", str(tmp_path)]) == 0
    capsys.readouterr()
    files = [str(tmp_path / name) for name in ("vgg7.tflite", "vgg7-float32.tflite")]
    assert arm_instructions.main(files) == 0
    ours, floats = re.findall(r"^\| vgg7\S*\.tflite .*$", capsys.readouterr().out, re.MULTILINE)
    for column in (1, 5):  # Raspberry Pi 4 and 5
        count, peer = (float(row.split(" | ")[column].strip("| M")) for row in (ours, floats))
        assert 1 < count <= 4.0
        assert peer > 5 * count
