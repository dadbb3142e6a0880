"""The files of a network and its peers: the operators that make them what they are called."""

from bduo_tf.conversion.inspection import operators
from benchmarks import peers


def test_files_of_vgg7(tmp_path, capsys):
    assert peers.main(["vgg7", "--folder", str(tmp_path)]) == 0
    found = {path.stem: operators(path.read_bytes()) for path in tmp_path.iterdir()}
    assert set(found) == {"vgg7", "vgg7-float32", "vgg7-int8"}
    assert found["vgg7"]["LceBconv2d"] == 5
    assert "QUANTIZE" not in found["vgg7-float32"]
    assert found["vgg7-int8"]["QUANTIZE"] == 1
    assert found["vgg7-float32"]["CONV_2D"] + found["vgg7-float32"].get("FULLY_CONNECTED", 0) == 7
    assert len(capsys.readouterr().out.splitlines()) == 3
