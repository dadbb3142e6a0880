"""QuickNet, the network of Larq Compute Engine's authors, in forms for BinaryDuo."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from bduo_tf.backend import keras
from bduo_tf.layers import BinomialBlur, ChannelPad
from bduo_tf.networks._blocks import Form, Stem, Style, choose_stem
from bduo_tf.networks._documentation import documented
from bduo_tf.networks._widths import choose_widths

__all__ = ["Size", "quicknet"]

Size = Literal["small", "medium", "large"]

_BLOCKS: dict[Size, tuple[int, ...]] = {"small": (4, 4, 4, 4), "medium": (4, 4, 4, 4), "large": (6, 8, 12, 6)}
_NAMES: dict[Size, str] = {"small": "quicknet_small", "medium": "quicknet", "large": "quicknet_large"}


@documented
def quicknet(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    form: Form = "coupled",
    *,
    size: Size = "medium",
    stem: Stem | None = None,
    levels: int = 2,
    width: float = 1.0,
    widths: Sequence[int] | None = None,
    binary_weights: bool = True,
    per_channel: bool = False,
    gradient: str = "relu1",
) -> keras.Model:
    """QuickNet: a light stem, four sections of residual 3x3 convolutions, a classifier.

    A stream of floats, to which every block adds, runs through the sections. A block is activation, 3x3
    convolution, ReLU and batch normalization, plus the shortcut; all of them have quantized activations. Before
    each section but the first the stream is halved and widened: ReLU, a max pool with strides 1 and a fixed blur
    with strides 2, a full-precision 1x1 convolution and a batch normalization. The very last convolution may be
    wider than the one before; its shortcut is then padded with channels of zeros. Stem and classifier are in full
    precision. The baseline has scaled signs as kernels and steps as activations, where the original has signs for
    both.

    Args:
        input_shape: (height, width, channels); at least 32x32 for the ImageNet stem, 8x8 for the small one.
        classes: the number of logits.
        {form}
        size: "small" and "medium" have 4 blocks in each section, "large" has 6, 8, 12 and 6. The first two sections
            of "small" are half as wide. Larq calls them QuickNetSmall, QuickNet and QuickNetLarge.
        stem: "imagenet" (conv3x3/2 BN ReLU, a depthwise conv3x3/2 BN, conv1x1 BN) or "small" (the same without
            strides, for images such as 32x32); None chooses by the size of the input.
        widths: the channels of the four sections, and of the very last convolution. The stem's first two
            convolutions have a quarter of the first section's. The original's are the baseline's; those of the
            coupled form are `duo_widths` of these.
        {options}

    Reference:
        Bannink et al., "Larq Compute Engine: Design, Benchmark, and Deploy State-of-the-Art Binarized Neural
        Networks", MLSys 2021, and the documentation of Larq's zoo; the blur is that of Zhang, "Making Convolutional
        Networks Shift-Invariant Again", ICML 2019.
    """
    if size not in get_args(Size):
        raise ValueError(f"quicknet: unknown size {size!r}; known: {', '.join(get_args(Size))}.")
    network = _NAMES[size]
    stem = choose_stem(network, input_shape, stem, {"imagenet": 32, "small": 8})
    style = Style(network, form, levels, binary_weights, per_channel, gradient)
    widths = choose_widths(network, form, widths, width)
    if widths[4] < widths[3]:
        raise ValueError(f"quicknet: the last of the widths must be at least the one before it, not {list(widths)}.")

    image = keras.Input(input_shape, name="image")
    x = _stem(style, image, widths[0], 2 if stem == "imagenet" else 1)
    for section, (channels, blocks) in enumerate(zip(widths[:4], _BLOCKS[size], strict=True), start=1):
        if section > 1:
            x = _transition(style, x, channels, f"transition{section}")
        for block in range(1, blocks + 1):
            last = (section, block) == (4, blocks)
            x = _block(style, x, widths[4] if last else channels, f"section{section}_block{block}")
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(classes, name="logits")(x)
    return keras.Model(image, x, name=f"{network}_{form}")


def _stem(style: Style, x: Any, channels: int, strides: int) -> Any:
    """Reduces the image by `strides` twice, at the cost of a few multiply-accumulates a pixel."""
    x = style.float_conv(x, max(1, channels // 4), 3, strides=strides, name="conv1")
    x = keras.layers.ReLU(name="relu1")(style.norm(x, name="norm1"))
    depthwise = keras.layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False, name="depthwise1")
    x = style.norm(depthwise(x), scale=False, center=False, name="depthwise1_norm")
    return style.norm(style.float_conv(x, channels, 1, name="conv2"), name="norm2")


def _transition(style: Style, x: Any, channels: int, name: str) -> Any:
    """Halves the stream and gives it another number of channels."""
    x = keras.layers.ReLU(name=f"{name}_relu")(x)
    x = keras.layers.MaxPool2D(2, 1, padding="same", name=f"{name}_pool")(x)
    blur = keras.layers.DepthwiseConv2D(
        3,
        strides=2,
        padding="same",
        use_bias=False,
        depthwise_initializer=BinomialBlur(),
        trainable=False,
        name=f"{name}_blur",
    )
    return style.norm(style.float_conv(blur(x), channels, 1, name=name), name=f"{name}_norm")


def _block(style: Style, x: Any, channels: int, name: str) -> Any:
    """The stream plus a convolution of its activations."""
    y = style.conv(x, channels, 3, name=name)
    # ReLU before the norm: Larq Compute Engine has both in the convolution's own output stage, in this order only.
    y = style.norm(keras.layers.ReLU(name=f"{name}_out_relu")(y), name=f"{name}_norm")
    if x.shape[-1] != channels:
        x = ChannelPad(channels, name=f"{name}_pad")(x)
    return keras.layers.Add(name=f"{name}_add")([x, y])
