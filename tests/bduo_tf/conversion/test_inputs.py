"""Seeded inputs have values that suit the type and the use of each input."""

import numpy as np
import pytest

from bduo_tf.backend import keras
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.inputs import seeded_inputs
from tests.bduo_tf.conversion.models import several


def batches(model, *args):
    found = seeded_inputs(model, *args)
    return found, [np.concatenate(parts) for parts in zip(*(x for x, _ in found.batches()), strict=True)]


def test_each_input_has_values_of_its_type():
    found, (zeta, a, ids, flag) = batches(several(), 100, 0)
    assert found.described == (
        "100 inputs, zeta uniform in [-1, 1], a uniform in [-1, 1], ids integers from 0 to 6, flag true and false, "
        "seed 0"
    )
    assert (zeta.dtype, ids.dtype, flag.dtype) == (np.float32, np.int32, np.bool_)
    assert (zeta.shape, ids.shape, flag.shape) == ((100, 8, 8, 3), (100, 5), (100, 2))
    assert not np.array_equal(zeta, a)
    assert (ids.min(), ids.max()) == (0, 6)  # the indices that the embedding has
    assert 0 < flag.sum() < flag.size
    np.testing.assert_array_equal(batches(several(), 100, 0)[1][0], zeta)


@pytest.mark.parametrize(
    ("shape", "dtype", "limits", "described"),
    [
        ((8, 8, 3), "uint8", None, "integers from 0 to 255"),
        ((8, 8, 3), "uint8", (10.0, 5.0), "integers from 5 to 10"),
        ((8,), "int32", None, "integers from 0 to 1"),
        ((8,), "bool", (0.0, 255.0), "true and false"),
        ((8,), "float32", (0.0, 1.0), "uniform in [0, 1]"),
    ],
)
def test_ranges(shape, dtype, limits, described):
    x = keras.Input(shape, dtype=dtype)
    found = seeded_inputs(keras.Model(x, keras.layers.Flatten()(x)), 70, 3, limits)
    assert found.described == f"70 inputs, {described}, seed 3"
    values = np.concatenate([x for x, _ in found.batches()])
    assert values.shape == (70, *shape)
    low, high = (0, 1) if dtype == "bool" else limits or (values.min(), values.max())
    assert min(low, high) <= values.min() < values.max() <= max(low, high)


def test_text_has_no_numbers():
    x = keras.Input((3,), dtype="string", name="text")
    with pytest.raises(ConversionError, match="input 'text' is of type object, which TFLite cannot run"):
        seeded_inputs(keras.Model(x, keras.layers.Flatten()(x)), 4, 0)
