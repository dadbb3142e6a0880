"""The authors' form of a decoupled residual network, and the comparison with ours."""

import re

import numpy as np
import pytest

import bduo_tf
from benchmarks import residual_forms
from benchmarks.residual_forms import stream_doubled
from tests.bduo_tf.graphs import assert_same_function, images_for, outputs_of, randomize


@pytest.fixture(scope="module")
def coupled():
    return randomize(bduo_tf.networks.resnet18((16, 16, 1), 10, width=0.125), seed=0)


def test_doubled_streams_compute_the_same(coupled):
    doubled = stream_doubled(coupled)
    images = images_for(1, 16, (16, 16, 1))
    assert_same_function(outputs_of(coupled, images), outputs_of(doubled, images))
    assert_same_function(outputs_of(coupled, images), outputs_of(bduo_tf.to_lce_graph(doubled), images))
    # Each of its batch norms is there twice, but for the stem's first, the shortcuts' and the last.
    assert len([one for one in doubled.layers if one.name.endswith("_norm_low")]) == 15


def test_doubled_streams_have_a_norm_for_each(coupled):
    doubled = stream_doubled(coupled)
    low, high = (doubled.get_layer(f"norm_pool1_{copy}") for copy in ("low", "high"))
    np.testing.assert_allclose(high.beta - low.beta, 0.5, rtol=1e-5)
    np.testing.assert_array_equal(high.gamma, low.gamma)
    inner = [doubled.get_layer(f"stage1_block1_conv1_norm_{copy}").beta for copy in ("low", "high")]
    np.testing.assert_array_equal(*inner)  # the shift is the stream's already


def test_options_of_the_comparison_are_its_own(capsys, tmp_path):
    with pytest.raises(SystemExit):
        residual_forms.main(["--folder", str(tmp_path), "--", "--dataset", "digits", "--seed", "3"])
    assert "--seed is set by this comparison" in capsys.readouterr().err


@pytest.mark.slow
def test_comparison(capsys, tmp_path):
    training = ["--dataset", "digits", "--image-size", "16", "--width", "0.125", "--epochs", "1"]
    command = ["--folder", str(tmp_path), "--seeds", "2", "--rounds", "2", "--samples", "360", "--", *training]
    command += ["--fine-tune-epochs", "1", "--learning-rate", "1e-3", "--fine-tune-learning-rate", "1e-3"]
    assert residual_forms.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {cells[0]: cells[1:] for line in lines if (cells := re.split(r"\s{2,}", line.strip()))}
    assert rows["LceBconv2d"] == ["16", "16"]
    floats = [int(n.replace(",", "")) for n in rows["floats written by other operators"]]
    assert floats[0] > 0
    assert floats[1] > 0
    assert {"seed 0", "seed 1", "file, bytes", "trainable parameters"} <= rows.keys()
    # What is there already is not trained again.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("seed*/*.keras")}
    assert residual_forms.main(command) == 0
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("seed*/*.keras")}
