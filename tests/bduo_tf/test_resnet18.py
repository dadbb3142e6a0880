"""ResNet-18: the sizes of both variants, their streams and shortcuts, and that both can be decoupled and deployed."""

import numpy as np
import pytest

import bduo_tf
from bduo_tf.backend import keras, lq
from bduo_tf.deployment import deploy
from bduo_tf.networks import resnet18
from tests.bduo_tf.graphs import assert_same_function, images_for, outputs_of, randomize

BOTH = pytest.mark.parametrize("shortcut", ["conv", "block"])


def convolutions(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


def expected_weights(widths, factor):
    """The weights of stem, sixteen 3x3 convolutions (inputs in `factor` copies), three shortcuts and classifier."""
    stem, *_, last = widths
    weights, channels = 49 * 3 * stem, stem
    for stage, width in enumerate(widths[:4]):
        outputs = [width, width, width, last if stage == 3 else width]
        for inputs, output in zip([channels, *outputs], outputs, strict=False):
            weights += factor * 9 * inputs * output
        weights += channels * width if stage else 0
        channels = width
    return weights + last * 1000


@BOTH
@pytest.mark.parametrize(
    ("form", "decoupled", "widths", "factor"),
    [
        ("coupled", False, (64, 90, 180, 360, 512), 1),
        ("coupled", True, (64, 90, 180, 360, 512), 2),
        ("baseline", False, (64, 128, 256, 512, 512), 1),
        ("float", False, (64, 128, 256, 512, 512), 1),
    ],
)
def test_weights(shortcut, form, decoupled, widths, factor):
    model = resnet18(form=form, shortcut=shortcut)
    model = bduo_tf.decouple(model) if decoupled else model
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    assert sum(int(np.prod(k.shape)) for k in kernels) == expected_weights(widths, factor)


@BOTH
def test_sizes_of_the_stages_and_number_of_shortcuts(shortcut):
    model = resnet18(width=0.1, shortcut=shortcut)
    binary = [layer for layer in convolutions(model) if isinstance(layer, lq.layers.QuantConv2D)]
    assert [layer.output_shape[1] for layer in binary] == [56] * 4 + [28] * 4 + [14] * 4 + [7] * 4
    adds = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert len(adds) == (16 if shortcut == "conv" else 8)
    assert len([layer for layer in model.layers if isinstance(layer, keras.layers.AveragePooling2D)]) == 3


def test_the_last_convolution_of_the_coupled_form_has_a_padded_shortcut():
    pads = [layer for layer in resnet18(width=0.1).layers if layer.name.endswith("_pad")]
    assert [layer.output_shape for layer in pads] == [(None, 7, 7, 51)]
    assert not [layer for layer in resnet18(form="baseline", width=0.1).layers if layer.name.endswith("_pad")]


def test_stems():
    small = resnet18((32, 32, 1), 10, width=0.1)
    assert small.get_layer("conv1").strides == (1, 1)
    assert "pool1" not in [layer.name for layer in small.layers]
    large = resnet18((64, 64, 3), 10, width=0.1)
    assert (large.get_layer("conv1").kernel_size, large.get_layer("pool1").output_shape[1]) == ((7, 7), 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shortcut": "none"}, "unknown shortcut 'none'; known: conv, block"),
        ({"stem": "tiny"}, "unknown stem 'tiny'"),
        ({"input_shape": (7, 9, 1)}, "from 8x8 on with the stem 'small'"),
        ({"widths": (8, 8, 8, 8, 4), "width": 1.0}, "the last of the widths must be at least the one before it"),
        ({"form": "binary"}, "unknown form 'binary'"),
    ],
    ids=str,
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        resnet18(**{"width": 0.05, **arguments})


@BOTH
@pytest.mark.parametrize("size", [(32, 32), (28, 20), (9, 13)], ids=str)
def test_decoupled_and_deployed_compute_the_same(shortcut, size):
    """The networks have sums, halved and padded shortcuts, odd sizes, and a stream that is read several times."""
    keras.utils.set_random_seed(0)
    model = randomize(resnet18((*size, 1), 5, width=0.125, shortcut=shortcut), 1)
    images = images_for(2, 16, (*size, 1))
    decoupled = bduo_tf.decouple(model)
    expected = outputs_of(decoupled, images)
    # Thresholds that act on sums of floats have more values within rounding of them than those on integers.
    assert_same_function(outputs_of(model, images), expected, ties=4)
    deployment = deploy(decoupled)
    assert_same_function(expected, outputs_of(deployment.graph, images), ties=4)
    flips = deployment.count_flips(images, deployment.probes()(images, training=False).numpy())
    assert len(flips) == 16
    assert sum(flipped for flipped, _ in flips.values()) < 1e-4 * sum(total for _, total in flips.values())
    assert np.ptp(expected, axis=0).min() > 0.01  # the output depends on the images


def test_inner_convolutions_of_a_block_have_integer_thresholds():
    """Between the two convolutions of a block nothing is added, so that the thresholds there act on integers."""
    decoupled = bduo_tf.decouple(randomize(resnet18((8, 8, 1), 2, width=0.1, shortcut="block"), 0))
    graph = bduo_tf.to_lce_graph(decoupled)
    integer = 0
    for layer in graph.layers:
        source = layer.input._keras_history.layer if layer.name.endswith("_compare") else None
        if isinstance(getattr(source, "input_quantizer", None), lq.quantizers.SteSign):
            terms = int(np.prod(source.kernel.shape[:-1]))
            np.testing.assert_array_equal((layer.tau.numpy() - terms) % 2, 1)
            integer += 1
    assert integer == 8
