"""VGG-7, the paper's network for CIFAR-10."""

from collections.abc import Sequence

from bduo_tf.backend import keras
from bduo_tf.networks._blocks import Form, Style
from bduo_tf.networks._documentation import documented
from bduo_tf.networks._widths import choose_widths

__all__ = ["vgg7"]


@documented
def vgg7(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    form: Form = "coupled",
    *,
    levels: int = 2,
    width: float = 1.0,
    widths: Sequence[int] | None = None,
    binary_weights: bool = True,
    per_channel: bool = False,
    gradient: str = "relu1",
) -> keras.Model:
    """VGG-7 of the paper: six convolutions and a classifier, the first and the last in full precision.

    conv3x3 act; conv3x3 pool act; conv3x3 pool act; conv3x3 pool act; a valid convolution over all
    that is left (4x4 at 32x32) act; conv1x1 ReLU; conv1x1. Every convolution is followed by its pool,
    then by batch normalization, then by the activation. The authors' VGG-7 has float kernels in the five
    layers with quantized activations; `binary_weights=False` gives these.

    Args:
        input_shape: (height, width, channels); height and width are at least 8.
        classes: the number of logits.
        {form}
        widths: the channels of the six convolutions, instead of the paper's.
        {options}

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020, CIFAR-10 experiments.
    """
    if len(input_shape) != 3 or any(d is None for d in input_shape) or min(input_shape[:2]) < 8:
        raise ValueError(f"vgg7: input_shape must be (height, width, channels) from 8x8 on, not {input_shape}.")
    style = Style("vgg7", form, levels, binary_weights, per_channel, gradient)
    widths = choose_widths("vgg7", form, widths, width)

    image = x = keras.Input(input_shape, name="image")
    x = style.float_conv(x, widths[0], 3, name="conv1")
    x = style.norm(x, name="norm1")
    for i, channels in enumerate(widths[1:4], start=2):
        x = style.conv(x, channels, 3, name=f"conv{i}")
        x = keras.layers.MaxPool2D(name=f"pool{i}")(x)
        x = style.norm(x, name=f"norm{i}")
    x = style.conv(x, widths[4], tuple(x.shape[1:3]), padding="valid", name="conv5")
    x = style.norm(x, name="norm5")
    x = style.conv(x, widths[5], 1, name="conv6")
    x = style.norm(x, name="norm6")
    x = keras.layers.ReLU(name="relu6")(x)
    x = style.float_conv(x, classes, 1, name="conv7")
    return keras.Model(image, keras.layers.Flatten(name="logits")(x), name=f"vgg7_{form}")
