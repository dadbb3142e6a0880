"""Files are replaced as a whole or not at all."""

from pathlib import Path

import pytest

from bduo_tf.files import replacing


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "model.keras"
    target.write_text("old")

    def half() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half of the n")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "model.keras"
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".keras"
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]
