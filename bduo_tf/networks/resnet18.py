"""ResNet-18, the paper's two variants for ImageNet: a shortcut for each convolution, or for each two."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from bduo_tf.backend import keras
from bduo_tf.layers import ChannelPad
from bduo_tf.networks._blocks import Form, Stem, Style, choose_stem
from bduo_tf.networks._documentation import documented
from bduo_tf.networks._widths import choose_widths

__all__ = ["Shortcut", "resnet18"]

Shortcut = Literal["conv", "block"]


@documented
def resnet18(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    form: Form = "coupled",
    *,
    shortcut: Shortcut = "conv",
    stem: Stem | None = None,
    levels: int = 2,
    width: float = 1.0,
    widths: Sequence[int] | None = None,
    binary_weights: bool = True,
    per_channel: bool = False,
    gradient: str = "relu1",
) -> keras.Model:
    """ResNet-18 of the paper: a stem, four stages of four 3x3 convolutions, a classifier.

    A stream of floats, to which every block adds, runs through the stages. The sixteen convolutions have
    quantized activations: each is activation, convolution and batch normalization, plus the shortcut. A
    stage that halves the size has as shortcut an average pool 2x2, a full-precision 1x1 convolution and a
    batch normalization. The very last convolution may be wider than the one before; its shortcut is then
    padded with channels of zeros. Stem and classifier are in full precision.

    Args:
        input_shape: (height, width, channels); at least 32x32 for the ImageNet stem, 8x8 for the small one.
        classes: the number of logits.
        {form}
        shortcut: "conv" (a shortcut around each convolution, the better variant of the paper) or "block" (a
            shortcut around each two convolutions).
        stem: "imagenet" (conv7x7/2 BN ReLU pool3x3/2 BN) or "small" (conv3x3 BN ReLU BN, for images such as
            32x32); None chooses by the size of the input.
        widths: the channels of the stem and the first stage, of the other three stages, and of the very last
            convolution, instead of the paper's.
        {options}

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020, ImageNet experiments; the shortcut for each convolution is that
        of Liu et al., "Bi-Real Net", ECCV 2018.
    """
    if shortcut not in get_args(Shortcut):
        raise ValueError(f"resnet18: unknown shortcut {shortcut!r}; known: {', '.join(get_args(Shortcut))}.")
    stem = choose_stem("resnet18", input_shape, stem, {"imagenet": 32, "small": 8})
    style = Style("resnet18", form, levels, binary_weights, per_channel, gradient)
    widths = choose_widths("resnet18", form, widths, width)
    if widths[4] < widths[3]:
        raise ValueError(f"resnet18: the last of the widths must be at least the one before it, not {list(widths)}.")

    image = x = keras.Input(input_shape, name="image")
    large = stem == "imagenet"
    x = style.float_conv(x, widths[0], 7 if large else 3, strides=2 if large else 1, name="conv1")
    x = keras.layers.ReLU(name="relu1")(style.norm(x, name="norm1"))
    if large:
        x = keras.layers.MaxPool2D(3, 2, padding="same", name="pool1")(x)
    x = style.norm(x, name="norm_pool1")

    for stage, channels in enumerate(widths[:4], start=1):
        for block in (1, 2):
            name = f"stage{stage}_block{block}"
            strides = 2 if stage > 1 and block == 1 else 1
            last = widths[4] if (stage, block) == (4, 2) else channels
            y = _convolution(style, x, channels, strides, f"{name}_conv1")
            if shortcut == "conv":
                x = y = _add(style, x, y, f"{name}_conv1")
            y = _convolution(style, y, last, 1, f"{name}_conv2")
            x = _add(style, x, y, f"{name}_conv2" if shortcut == "conv" else name)

    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(classes, name="logits")(x)
    return keras.Model(image, x, name=f"resnet18_{form}")


def _convolution(style: Style, x: Any, channels: int, strides: int, name: str) -> Any:
    """The activation of the stream, a 3x3 convolution of that, and its batch normalization."""
    return style.norm(style.conv(x, channels, 3, strides=strides, name=name), name=f"{name}_norm")


def _add(style: Style, x: Any, y: Any, name: str) -> Any:
    """The sum of `y` and a shortcut from `x`, which is brought to the shape of `y`."""
    if x.shape[1:3] != y.shape[1:3]:
        # With padding "same" an odd size is halved as the convolution with strides halves it: rounded up.
        x = keras.layers.AveragePooling2D(2, padding="same", name=f"{name}_shortcut_pool")(x)
        x = style.float_conv(x, y.shape[-1], 1, name=f"{name}_shortcut")
        x = style.norm(x, name=f"{name}_shortcut_norm")
    elif x.shape[-1] != y.shape[-1]:
        x = ChannelPad(y.shape[-1], name=f"{name}_shortcut_pad")(x)
    return keras.layers.Add(name=f"{name}_add")([x, y])
