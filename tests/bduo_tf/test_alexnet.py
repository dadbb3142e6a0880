"""AlexNet: the paper's sizes, its forms and stems, and that it can be decoupled and deployed."""

import numpy as np
import pytest

import bduo_tf
from bduo_tf.backend import keras, lq
from bduo_tf.networks import alexnet
from tests.bduo_tf.graphs import assert_same_function, images_for, outputs_of, randomize

# For each layer kernel area * inputs * outputs, and the positions of its output at 224x224. The paper states 32.4M
# weights and 684M multiply-adds for the coupled network, 60.8M and 1268M for the decoupled one.
COUPLED = [121 * 3 * 88, 25 * 88 * 192, 9 * 192 * 256, 9 * 256 * 256, 9 * 256 * 192, 36 * 192 * 2400, 2400 * 4096]
POSITIONS = [55**2, 27**2, 13**2, 13**2, 13**2, 1, 1, 1]


@pytest.mark.parametrize(
    ("decoupled", "weights", "macs"), [(False, 32_444_104, 684_276_040), (True, 60_760_264, 1_267_825_480)]
)
def test_weights_and_macs_are_the_papers(decoupled, weights, macs):
    sizes = [*COUPLED, 4096 * 1000]
    if decoupled:
        sizes = [sizes[0], *(2 * size for size in sizes[1:7]), sizes[7]]
    assert sum(sizes) == weights
    assert sum(size * n for size, n in zip(sizes, POSITIONS, strict=True)) == macs
    model = bduo_tf.decouple(alexnet()) if decoupled else alexnet()
    convs = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [int(np.prod(c.kernel.shape)) for c in convs] == sizes
    assert [int(np.prod(c.output_shape[1:3])) for c in convs] == POSITIONS


@pytest.mark.parametrize("form", ["coupled", "baseline", "float"])
def test_forms(form):
    model = alexnet((32, 32, 1), 7, form, width=0.05)
    assert (model.name, model.output_shape) == (f"alexnet_{form}", (None, 7))
    convs = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    binary = [isinstance(layer, lq.layers.QuantConv2D) for layer in convs]
    assert binary == [False, *[form != "float"] * 6, False]
    assert len([layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]) == 2


def test_stems():
    assert alexnet((64, 64, 3), 2, width=0.02).get_layer("conv1").kernel_size == (11, 11)
    assert alexnet((63, 64, 3), 2, width=0.02).get_layer("conv1").kernel_size == (5, 5)
    assert alexnet((64, 64, 3), 2, width=0.02, stem="small").get_layer("conv1").strides == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (14, 14, 1)}, "from 15x15 on with the stem 'small'"),
        ({"input_shape": (32, 32, 1), "stem": "imagenet"}, "from 64x64 on with the stem 'imagenet'"),
        ({"input_shape": (None, None, 1)}, "must be .height, width, channels."),
        ({"stem": "large"}, "unknown stem 'large'; known: imagenet, small"),
        ({"widths": [1, 2]}, "widths must be 7 positive integers"),
    ],
    ids=str,
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        alexnet(**{"width": 0.02, **arguments})


@pytest.mark.parametrize("size", [15, 32, 64])
def test_decoupled_and_deployed_compute_the_same(size):
    keras.utils.set_random_seed(size)
    model = randomize(alexnet((size, size, 1), width=0.05, classes=5), 0)
    images = images_for(1, 16, (size, size, 1))
    decoupled = bduo_tf.decouple(model)
    expected = outputs_of(decoupled, images)
    assert_same_function(outputs_of(model, images), expected)
    graph = bduo_tf.to_lce_graph(decoupled)
    assert_same_function(expected, outputs_of(graph, images))
    steps = [
        layer for layer in graph.layers if isinstance(getattr(layer, "input_quantizer", None), lq.quantizers.SteSign)
    ]
    assert len(steps) == 6
    assert np.ptp(expected, axis=0).min() > 0.01  # the output depends on the images
