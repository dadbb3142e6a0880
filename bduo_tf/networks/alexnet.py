"""AlexNet, the paper's single-tower variant with batch normalization for ImageNet."""

from collections.abc import Sequence

from bduo_tf.backend import keras
from bduo_tf.networks._blocks import Form, Stem, Style, choose_stem
from bduo_tf.networks._documentation import documented
from bduo_tf.networks._widths import choose_widths

__all__ = ["alexnet"]


@documented
def alexnet(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    form: Form = "coupled",
    *,
    stem: Stem | None = None,
    dropout: float = 0.1,
    levels: int = 2,
    width: float = 1.0,
    widths: Sequence[int] | None = None,
    binary_weights: bool = True,
    per_channel: bool = False,
    gradient: str = "relu1",
) -> keras.Model:
    """AlexNet of the paper: seven convolutions and a classifier, the first and the last in full precision.

    conv11x11/4 pool act; conv5x5 pool act; conv3x3 act; conv3x3 act; conv3x3 pool act; a valid convolution
    over all that is left (6x6 at 224x224) act dropout; conv1x1 ReLU dropout; conv1x1. Every convolution is
    followed by its pool (3x3/2), then by batch normalization, then by the activation. Six convolutions
    have quantized activations. The authors' code has no baseline; its widths here are those of the
    single-tower AlexNet, which has about as many weights as the decoupled network.

    Args:
        input_shape: (height, width, channels); at least 64x64 for the ImageNet stem, 15x15 for the small one.
        classes: the number of logits.
        {form}
        stem: "imagenet" (conv11x11/4 with a padding of 2 pixels) or "small" (conv5x5/1, for images such as
            32x32); None chooses by the size of the input.
        dropout: the rate of the two dropouts.
        widths: the channels of the seven convolutions, instead of the paper's.
        {options}

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020, ImageNet experiments.
    """
    stem = choose_stem("alexnet", input_shape, stem, {"imagenet": 64, "small": 15})
    style = Style("alexnet", form, levels, binary_weights, per_channel, gradient)
    widths = choose_widths("alexnet", form, widths, width)

    image = x = keras.Input(input_shape, name="image")
    if stem == "imagenet":
        x = keras.layers.ZeroPadding2D(2, name="pad1")(x)
        x = style.float_conv(x, widths[0], 11, strides=4, padding="valid", name="conv1")
    else:
        x = style.float_conv(x, widths[0], 5, name="conv1")
    x = keras.layers.MaxPool2D(3, 2, name="pool1")(x)
    x = style.norm(x, name="norm1")
    for i, (channels, kernel) in enumerate(zip(widths[1:5], (5, 3, 3, 3), strict=True), start=2):
        x = style.conv(x, channels, kernel, name=f"conv{i}")
        if i in (2, 5):
            x = keras.layers.MaxPool2D(3, 2, name=f"pool{i}")(x)
        x = style.norm(x, name=f"norm{i}")
    x = style.conv(x, widths[5], tuple(x.shape[1:3]), padding="valid", name="conv6")
    x = style.norm(x, name="norm6")
    x = style.conv(x, widths[6], 1, dropout=dropout, name="conv7")
    x = style.norm(x, name="norm7")
    x = keras.layers.ReLU(name="relu7")(x)
    x = keras.layers.Dropout(dropout, name="dropout7")(x)
    x = style.float_conv(x, classes, 1, name="conv8")
    return keras.Model(image, keras.layers.Flatten(name="logits")(x), name=f"alexnet_{form}")
