"""The run folder: never half a file, and epochs trimmed to what the backup holds."""

import json
from pathlib import Path

import pytest

from bduo_tf.runs import RunError, RunFolder, Settings

SETTINGS = Settings("vgg7", "digits")


def test_trimming_drops_the_epochs_that_are_done_again(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.history("coupled").write_text("epoch,loss\n0,3.5\n1,2.5\n2,1.5\n")
    run.trim_epochs("coupled", 2)
    assert run.history("coupled").read_text().split() == ["epoch,loss", "0,3.5", "1,2.5"]
    run.trim_epochs("coupled", 0)
    assert not run.history("coupled").exists()
    run.trim_epochs("coupled", 1)  # nothing to trim


def test_a_row_cut_short_by_a_kill_is_not_read(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.history("coupled").write_text("epoch,loss\n0,3.5\n1")
    assert run.epochs("coupled") == [{"epoch": 0, "loss": 3.5}]


def test_results_without_a_config_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(RunError, match=r".* has results but no config"):
        RunFolder(tmp_path).prepare(SETTINGS)


def test_a_damaged_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(RunError, match=r"config.json is not JSON"):
        RunFolder(tmp_path).prepare(SETTINGS)


@pytest.mark.parametrize("final", ["../other", "/tmp/other", "a/b", 3, []])
def test_the_final_model_is_a_file_of_the_folder(final: object, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"final": final}))
    with pytest.raises(RunError, match=r"metrics.json cannot be read: it names as final no file of that folder"):
        RunFolder(tmp_path).final()
