"""VGG-7: the paper's sizes, its forms and its options."""

import numpy as np
import pytest

import bduo_tf
from bduo_tf import CoupledStep, ScaledSign
from bduo_tf.backend import keras, lq, tf
from bduo_tf.networks import vgg7
from tests.bduo_tf.graphs import assert_same_function, images_for, outputs_of, randomize


def kernels_and_macs(model: keras.Model) -> tuple[int, int]:
    """The numbers of kernel weights and of multiply-adds: each weight is used at every position of the output."""
    convs = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convs) == 7
    sizes = [int(np.prod(layer.kernel.shape)) for layer in convs]
    positions = [layer.output_shape[1] * layer.output_shape[2] for layer in convs]
    return sum(sizes), sum(size * n for size, n in zip(sizes, positions, strict=True))


# For each layer kernel area * inputs * outputs, and the positions of its output. The paper states 69.1M, 34.6M and
# 67.9M multiply-adds for the baseline, the coupled and the decoupled network.
BASELINE = [9 * 3 * 64, 9 * 64 * 64, 9 * 64 * 128, 9 * 128 * 128, 16 * 128 * 512, 512 * 512, 512 * 10]
COUPLED = [9 * 3 * 45, 9 * 45 * 45, 9 * 45 * 90, 9 * 90 * 90, 16 * 90 * 336, 336 * 512, 512 * 10]
DECOUPLED = [COUPLED[0], *(2 * size for size in COUPLED[1:6]), COUPLED[6]]
POSITIONS = [1024, 1024, 256, 64, 1, 1, 1]


@pytest.mark.parametrize(
    ("model", "sizes", "weights", "macs"),
    [
        (lambda: vgg7(form="baseline"), BASELINE, 1_575_616, 69_145_600),
        (lambda: vgg7(form="float"), BASELINE, 1_575_616, 69_145_600),
        (lambda: vgg7(), COUPLED, 789_782, 34_564_352),
        (lambda: bduo_tf.decouple(vgg7()), DECOUPLED, 1_573_229, 67_879_424),
    ],
    ids=["baseline", "float", "coupled", "decoupled"],
)
def test_weights_and_macs_are_the_papers(model, sizes, weights, macs):
    assert sum(sizes) == weights
    assert sum(size * n for size, n in zip(sizes, POSITIONS, strict=True)) == macs
    assert kernels_and_macs(model()) == (weights, macs)


LAYERS = [
    *("image", "conv1", "norm1", "conv2", "pool2", "norm2", "conv3", "pool3", "norm3"),
    *("conv4", "pool4", "norm4", "conv5", "norm5", "conv6", "norm6", "relu6", "conv7", "logits"),
]


@pytest.mark.parametrize(("form", "levels"), [("coupled", 2), ("coupled", 3), ("baseline", 2)])
def test_quantized_forms(form, levels):
    model = vgg7((16, 16, 1), 7, form, levels=levels, width=0.25, gradient="steep")
    assert model.name == f"vgg7_{form}"
    assert [layer.name for layer in model.layers] == LAYERS
    quantized = [layer for layer in model.layers if getattr(layer, "input_quantizer", None)]
    assert [layer.name for layer in quantized] == ["conv2", "conv3", "conv4", "conv5", "conv6"]
    for layer in quantized:
        assert isinstance(layer.kernel_quantizer, ScaledSign)
        assert not layer.kernel_quantizer.per_channel
        assert isinstance(layer.input_quantizer, CoupledStep)
        assert layer.input_quantizer.levels == (levels if form == "coupled" else 1)
        assert layer.input_quantizer.gradient == "steep"
    assert model.output_shape == (None, 7)
    assert not any(layer.use_bias for layer in model.layers if isinstance(layer, keras.layers.Conv2D))


def test_float_form_has_relus_and_no_quantizers():
    model = vgg7((16, 16, 1), form="float", width=0.25)
    assert not any(isinstance(layer, lq.quantizers.Quantizer) for layer in model._flatten_layers())
    assert not any(isinstance(layer, lq.layers.QuantConv2D) for layer in model.layers)
    relus = [layer.name for layer in model.layers if isinstance(layer, keras.layers.ReLU)]
    assert relus == ["conv2_relu", "conv3_relu", "conv4_relu", "conv5_relu", "conv6_relu", "relu6"]


def test_options_of_the_kernels():
    model = vgg7((8, 8, 1), width=0.1, binary_weights=False)
    assert model.get_layer("conv3").kernel_quantizer is None
    model = vgg7((8, 8, 1), width=0.1, per_channel=True)
    assert model.get_layer("conv3").kernel_quantizer.per_channel


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        ({"width": 0.5}, [23, 23, 45, 45, 168, 256]),  # 22.5 rounds up
        ({"width": 0.25}, [11, 11, 23, 23, 84, 128]),  # 11.25 and 22.5
        ({"width": 1e-6}, [1, 1, 1, 1, 1, 1]),
        ({"form": "baseline", "width": 0.5}, [32, 32, 64, 64, 256, 256]),
        ({"widths": [1, 2, 3, 4, 5, 6], "width": 2}, [2, 4, 6, 8, 10, 12]),
    ],
    ids=str,
)
def test_widths(options, channels):
    model = vgg7((8, 8, 1), 3, **options)
    assert [model.get_layer(f"conv{i}").filters for i in range(1, 8)] == [*channels, 3]


@pytest.mark.parametrize(
    ("size", "kernel"), [((8, 8, 3), (1, 1)), ((17, 24, 1), (2, 3)), ((32, 32, 3), (4, 4))], ids=str
)
def test_fifth_convolution_covers_all_that_is_left(size, kernel):
    model = vgg7(size, width=0.05)
    assert model.get_layer("conv5").kernel_size == kernel
    assert model.get_layer("conv5").output_shape[1:3] == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (7, 32, 3)}, "from 8x8 on"),
        ({"input_shape": (None, None, 3)}, "from 8x8 on"),
        ({"input_shape": (32, 32)}, "from 8x8 on"),
        ({"form": "ternary"}, "unknown form 'ternary'; known: coupled, baseline, float"),
        ({"widths": [1, 2, 3]}, "widths must be 6 positive integers"),
        ({"widths": [1, 2, 3, 4, 5, 0]}, "widths must be 6 positive integers"),
        ({"width": 0}, "width must be positive"),
        ({"width": float("nan")}, "width must be positive"),
        ({"levels": 0}, "levels must be a positive integer"),
        ({"gradient": "none"}, "unknown gradient 'none'"),
    ],
    ids=str,
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        vgg7(**{"width": 0.05, **arguments})


@pytest.mark.parametrize("binary_weights", [True, False], ids=["binary weights", "float weights"])
@pytest.mark.parametrize("levels", [2, 3, 4])
def test_decoupled_equals_coupled(levels, binary_weights):
    keras.utils.set_random_seed(levels)
    model = vgg7((16, 16, 1), levels=levels, width=0.25, binary_weights=binary_weights)
    images = images_for(1, 64, (16, 16, 1))
    randomize(model, 0)
    a, b = outputs_of(model, images), outputs_of(bduo_tf.decouple(model), images)
    assert_same_function(a, b, ties=1)
    assert np.median(np.abs(a - b)) < 1e-5
    assert np.ptp(a, axis=0).min() > 0.05  # the output depends on the images


def test_coupled_form_trains():
    keras.utils.set_random_seed(0)
    model = vgg7((8, 8, 1), 3, width=0.25)
    x = images_for(0, 48, (8, 8, 1))
    y = x.mean(axis=(1, 2, 3)).argsort().argsort() * 3 // 48
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = model.fit(tf.constant(x), tf.constant(y), epochs=8, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
