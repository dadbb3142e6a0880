"""Explicit padding before strided float convolutions, in the one form that LCE's converter leaves right.

LCE takes a padding layer into the convolution behind it, as padding "same", wherever the sizes fit: before and after
differ by at most one, and the output has ceil(size / stride) pixels. With strides that is not enough. A margin of 3
around 224 pixels (ResNet's stem, kernel 7, stride 2) is 3 before and 3 after, of which "same" would put 2 before and 3
after. The last pixels of such a margin are read by no window: without them the sizes fit only where the two are equal.
"""

import numpy as np

from bduo_tf._graph import Call
from bduo_tf._kinds import is_exactly
from bduo_tf.backend import keras, tf

__all__ = ["margins_read", "zero_margins"]

Margins = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)

_STRIDED = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)


def zero_margins(call: Call) -> Margins | None:
    """The margins of zeros that a call puts around (batch, height, width, channels); None if it does anything else."""
    layer = call.layer
    if len(call.inputs) != 1 or len(call.inputs[0].shape) != 4:
        return None
    if is_exactly(layer, keras.layers.ZeroPadding2D) and layer.data_format == "channels_last":
        return layer.padding
    if getattr(layer, "symbol", "") in ("compat.v1.pad", "pad"):
        names = ("tensor", "paddings", "mode", "name", "constant_values")
        named = {**dict(zip(names, call.args, strict=False)), **call.kwargs}
        constant = named.get("mode", "CONSTANT").upper() == "CONSTANT" and named.get("constant_values", 0) == 0
        paddings = named["paddings"]
        if constant and isinstance(paddings, (list, tuple, np.ndarray, tf.Tensor)):
            batch, height, width, channels = [(int(before), int(after)) for before, after in np.asarray(paddings)]
            if batch == channels == (0, 0):
                return height, width
    return None


def margins_read(margins: Margins, size: tuple[int | None, ...], conv: keras.layers.Layer) -> Margins:
    """The same margins without those pixels at the end that no window of a convolution reads.

    Args:
        margins: the margins of zeros.
        size: (height, width) of the image that they are put around.
        conv: the only layer that reads the result.
    """
    if not (
        is_exactly(conv, _STRIDED)
        and not isinstance(conv, keras.layers.Conv2DTranspose)
        and conv.padding == "valid"
        and conv.data_format == "channels_last"
    ):
        return margins
    geometry = zip(margins, size, conv.kernel_size, conv.strides, conv.dilation_rate, strict=True)
    read = [(before, _read(before, after, *rest)) for (before, after), *rest in geometry]
    return read[0], read[1]


def _read(before: int, after: int, size: int | None, kernel: int, stride: int, dilation: int) -> int:
    """How many pixels of the margin behind the image at least one window covers, along one axis."""
    if size is None:
        return after
    window = (kernel - 1) * dilation + 1
    outputs = (size + before + after - window) // stride + 1
    return min(after, max(0, (outputs - 1) * stride + window - size - before))
