"""Published networks through `python -m convert`; where larq-zoo is installed, which is no dependency, all of them."""

import json

import numpy as np
import pytest

from bduo_tf import couple, coupling_report
from bduo_tf.backend import keras, lq
from benchmarks import published


def test_the_float_peer_is_the_network_without_quantizers():
    image = keras.Input((8, 8, 3))
    x = lq.layers.QuantConv2D(
        4, 3, padding="same", pad_values=1.0, input_quantizer="ste_sign", kernel_quantizer="ste_sign"
    )(image)
    x = keras.layers.Lambda(lambda t: 2 * t)(x)
    peer = published.float_peer(keras.Model(image, keras.layers.GlobalAveragePooling2D()(x)))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    # Linear in its input, as no binary network is.
    np.testing.assert_allclose(peer(3 * images), 3 * peer(images), rtol=1e-4, atol=1e-5)


def test_unknown_networks_are_named(capsys, tmp_path):
    with pytest.raises(SystemExit):
        published.main(["NoSuchNet", "--folder", str(tmp_path)])
    assert "unknown: NoSuchNet; known: BinaryAlexNet, BiRealNet" in capsys.readouterr().err


def test_networks_are_functions_of_the_module():
    assert callable(published.QuickNet)
    with pytest.raises(AttributeError):
        _ = published.NoSuchNet


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the zoo's own
@pytest.mark.parametrize("name", published.NETWORKS)
def test_published_networks_are_converted_and_verified(name, tmp_path):
    pytest.importorskip("larq_zoo", reason="pip install --no-deps larq-zoo zookeeper click typeguard")
    status, summary = published.convert(name, tmp_path)
    assert status == 0
    for verification in summary["verification"].values():
        assert (verification["agreeing"], verification["problems"]) == (4, [])
        assert verification["operators"]["LceBconv2d"] >= 6
        assert len(verification["flips"]) >= 6
    assert json.loads((tmp_path / f"{name}.json").read_text())["output"] == str(tmp_path / f"{name}.tflite")


# What docs/own_networks.md says of each: the shares of weights and multiply-accumulates, or why it is refused.
COUPLED = {
    "BinaryAlexNet": (1.000, 0.969),
    "BiRealNet": (0.997, 0.975),
    "BinaryResNetE18": (0.997, 0.975),
    "BinaryDenseNet28": (0.999, 0.999),
    "BinaryDenseNet37": (0.989, 1.000),
    "BinaryDenseNet37Dilated": (0.956, 1.000),
    "BinaryDenseNet45": (0.968, 1.000),
    "QuickNetSmall": (0.999, 0.997),
    "QuickNet": (0.997, 0.994),
    "QuickNetLarge": (0.999, 0.995),
    "MeliusNet22": r"'section_0_block_0_improve_merge' \(Lambda\) does with them what cannot be told",
    "RealToBinaryNet": (0.998, 0.978),
    "XNORNet": (1.000, 0.965),
    "DoReFaNet": "is coupled already: layer 'do_re_fa.*' has an activation of 3 levels",
}


def test_every_published_network_is_named():
    assert COUPLED.keys() == published.NETWORKS.keys()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the zoo's own
@pytest.mark.parametrize("name", COUPLED)
def test_published_networks_are_coupled(name):
    pytest.importorskip("larq_zoo", reason="pip install --no-deps larq-zoo zookeeper click typeguard")
    model, expected = published.build(name), COUPLED[name]
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            couple(model)
        return
    report = coupling_report(model, couple(model))
    shares = tuple(after / before for before, after in (report.weights, report.macs))
    assert shares == pytest.approx(expected, abs=6e-4)
    assert max(shares) <= 1
