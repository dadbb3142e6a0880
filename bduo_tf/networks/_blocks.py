"""The layers that the networks are built of, in the coupled, the baseline or the float form, and the choice of stem."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bduo_tf.backend import keras, lq
from bduo_tf.quantizers import CoupledStep, ScaledSign

Form = Literal["coupled", "baseline", "float"]
Stem = Literal["imagenet", "small"]


def choose_stem(network: str, input_shape: Sequence[int | None], stem: Stem | None, least: dict[Stem, int]) -> Stem:
    """The stem of a network, chosen by the size of its input unless the user names one.

    Args:
        network: the network's name, for error messages.
        input_shape: (height, width, channels).
        stem: the stem that the user asks for; None stands for "small" below 64 pixels, else "imagenet".
        least: for each stem that the network has, the least height and width in pixels.

    Raises:
        ValueError: the input is too small for the stem or its size unknown, or there is no such stem.
    """
    if len(input_shape) != 3 or any(d is None for d in input_shape):
        raise ValueError(f"{network}: input_shape must be (height, width, channels), not {input_shape}.")
    size = min(input_shape[:2])  # type: ignore[type-var]
    chosen: Stem = stem or ("imagenet" if size >= 64 else "small")  # type: ignore[operator]
    if chosen not in least:
        raise ValueError(f"{network}: unknown stem {chosen!r}; known: {', '.join(least)}.")
    if size < least[chosen]:  # type: ignore[operator]
        raise ValueError(
            f"{network}: input_shape must be (height, width, channels) from {least[chosen]}x{least[chosen]} on with "
            f"the stem {chosen!r}, not {input_shape}."
        )
    return chosen


@dataclass(frozen=True)
class Style:
    """The form of a network: builds its convolutions and batch norms.

    Attributes:
        network: the network's name, for error messages.
        form, levels, binary_weights, per_channel, gradient: the arguments of these names that every network has.

    Raises:
        ValueError: there is no such form.
    """

    network: str
    form: Form
    levels: int = 2
    binary_weights: bool = True
    per_channel: bool = False
    gradient: str = "relu1"

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise ValueError(f"{self.network}: unknown form {self.form!r}; known: {', '.join(get_args(Form))}.")

    @property
    def _initializer(self) -> keras.initializers.Initializer:
        # As the authors initialize: normal(0, sqrt(4 / n)), n = kernel area * (input + output channels).
        return keras.initializers.VarianceScaling(2.0, "fan_avg", "untruncated_normal")

    def float_conv(self, x: Any, channels: int, kernel: Any, *, padding: str = "same", **kwargs: Any) -> Any:
        """A full-precision convolution without bias."""
        return keras.layers.Conv2D(
            channels, kernel, padding=padding, use_bias=False, kernel_initializer=self._initializer, **kwargs
        )(x)

    def conv(
        self,
        x: Any,
        channels: int,
        kernel: Any,
        *,
        padding: str = "same",
        dropout: float = 0.0,
        name: str,
        **kwargs: Any,
    ) -> Any:
        """The form's activation of `x`, dropout if its rate is not 0, and a convolution without bias of the result."""
        step = CoupledStep(self.levels if self.form == "coupled" else 1, self.gradient)
        if self.form == "float":
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
        elif dropout:
            x = keras.layers.Activation(step, name=f"{name}_step")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
        if self.form == "float":
            return self.float_conv(x, channels, kernel, padding=padding, name=name, **kwargs)
        return lq.layers.QuantConv2D(
            channels,
            kernel,
            padding=padding,
            use_bias=False,
            kernel_initializer=self._initializer,
            input_quantizer=None if dropout else step,
            kernel_quantizer=ScaledSign(self.per_channel) if self.binary_weights else None,
            name=name,
            **kwargs,
        )(x)

    def norm(self, x: Any, **kwargs: Any) -> Any:
        """Batch normalization with the authors' momentum and epsilon, which are Torch's defaults."""
        return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **kwargs)(x)
