"""QuickNet: the sizes of its original, its sections and stems, and that it is decoupled, deployed and verified."""

import numpy as np
import pytest

import bduo_tf
from bduo_tf import CoupledStep
from bduo_tf.backend import keras, lq
from bduo_tf.layers import BinomialBlur
from bduo_tf.networks import duo_widths, paper_widths, quicknet
from bduo_tf.networks._widths import decoupled_weights
from tests.bduo_tf.graphs import assert_same_function, images_for, outputs_of, randomize

BLOCKS = {"small": (4, 4, 4, 4), "medium": (4, 4, 4, 4), "large": (6, 8, 12, 6)}
# What Larq's zoo 2.4.0 has in kernels, biases left out.
ORIGINAL = {"small": 12_646_016, "medium": 13_223_424, "large": 23_324_160}
NAMES = {"small": "quicknet_small", "medium": "quicknet", "large": "quicknet_large"}


def expected_weights(size, widths, copies):
    """The kernel weights at 1000 classes, those of 3x3 convolutions with inputs in `copies` copies."""
    quarter, channels = widths[0] // 4, widths[0]
    weights = 27 * quarter + 9 * quarter + quarter * channels
    for section, (width, blocks) in enumerate(zip(widths[:4], BLOCKS[size], strict=True)):
        if section:
            weights += 9 * channels + channels * width
            channels = width
        for block in range(blocks):
            output = widths[4] if (section, block) == (3, blocks - 1) else width
            weights += copies * 9 * channels * output
            channels = output
    return weights + channels * 1000


@pytest.mark.parametrize("size", BLOCKS)
def test_the_baseline_has_the_weights_of_the_original_and_the_coupled_form_fits(size):
    baseline, coupled = (paper_widths(NAMES[size], form) for form in ("baseline", "coupled"))
    assert expected_weights(size, baseline, 1) == ORIGINAL[size]
    assert 0.995 * ORIGINAL[size] < expected_weights(size, coupled, 2) <= ORIGINAL[size]
    wider = (*coupled[:3], coupled[3] + 1, coupled[4])
    assert expected_weights(size, wider, 2) > ORIGINAL[size]  # so that these are the widths of duo_widths


@pytest.mark.parametrize(("form", "copies"), [("coupled", 2), ("baseline", 1), ("float", 1)])
def test_weights(form, copies):
    model = quicknet((32, 32, 3), 1000, form, size="small", width=0.25, stem="imagenet")
    widths = paper_widths("quicknet_small", form, 0.25)
    assert decoupled_weights(model) == expected_weights("small", widths, copies)


def test_duo_widths_take_it():
    arguments = {"size": "small", "input_shape": (32, 32, 1), "classes": 10}
    widths = duo_widths(quicknet, (16, 16, 24, 32, 32), **arguments)
    weights = [
        decoupled_weights(quicknet(form=form, widths=w, **arguments))
        for form, w in (("baseline", (16, 16, 24, 32, 32)), ("coupled", widths))
    ]
    assert widths[:3] + widths[4:] == (11, 11, 16, 32)
    assert 0.95 * weights[0] < weights[1] <= weights[0]


def test_sections_and_forms():
    model = quicknet((64, 64, 3), 7, size="large", width=0.1)
    assert model.name == "quicknet_large_coupled"
    binary = [layer for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)]
    assert [layer.output_shape[1] for layer in binary] == [16] * 6 + [8] * 8 + [4] * 12 + [2] * 6
    assert all(isinstance(layer.input_quantizer, CoupledStep) for layer in binary)
    assert [layer.filters for layer in binary][-2:] == [35, 51]
    assert model.output_shape == (None, 7)
    floats = quicknet((8, 8, 1), form="float", size="small", width=0.1)
    assert not any(isinstance(layer, lq.layers.QuantConv2D) for layer in floats.layers)


def test_stems():
    small = quicknet((32, 32, 3), 10, size="small", width=0.1)
    assert small.get_layer("section1_block1").output_shape[1] == 32
    large = quicknet((64, 64, 3), 10, size="small", width=0.1)
    assert (large.get_layer("conv1").strides, large.get_layer("section1_block1").output_shape[1]) == ((2, 2), 16)


def test_the_blur_is_binomial_and_stays():
    model = quicknet((8, 8, 1), 3, size="small", width=0.1)
    blur = model.get_layer("transition2_blur")
    kernel = blur.depthwise_kernel.numpy()
    np.testing.assert_allclose(kernel[:, :, 0, 0], np.outer([1, 2, 1], [1, 2, 1]) / 16)
    assert (kernel == kernel[:, :, :1]).all()
    assert not blur.trainable_weights
    np.testing.assert_allclose(BinomialBlur()((2, 5, 1, 1))[..., 0, 0], np.outer([1, 1], [1, 4, 6, 4, 1]) / 32)
    coupled = bduo_tf.couple(quicknet((8, 8, 1), 3, "baseline", size="small"))
    other = coupled.get_layer("transition2_blur").depthwise_kernel.numpy()
    assert other.shape[2] == coupled.get_layer("section1_block1").filters < 32
    np.testing.assert_array_equal(other[:, :, 0], kernel[:, :, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": "huge"}, "unknown size 'huge'; known: small, medium, large"),
        ({"stem": "tiny"}, "unknown stem 'tiny'"),
        ({"input_shape": (7, 9, 1)}, "quicknet: input_shape must be .* from 8x8 on with the stem 'small'"),
        ({"widths": (8, 8, 8, 8, 4), "width": 1.0}, "the last of the widths must be at least the one before it"),
        ({"form": "binary"}, "unknown form 'binary'"),
    ],
    ids=str,
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        quicknet(**{"width": 0.05, **arguments})


def test_decoupled_deployed_and_verified():
    pytest.importorskip("larq_compute_engine")
    keras.utils.set_random_seed(0)
    model = randomize(quicknet((9, 13, 1), 5, size="small", width=0.125), 1)
    images = images_for(2, 16, (9, 13, 1))
    decoupled = bduo_tf.decouple(model)
    assert_same_function(outputs_of(model, images), outputs_of(decoupled, images), ties=4)
    converted = bduo_tf.to_tflite(decoupled, images)
    assert converted.report.verified
    assert converted.report.verifications["LCE"].operators["LceBconv2d"] == 16
