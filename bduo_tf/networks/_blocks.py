"""What the networks share: one definition serves the coupled, the baseline and the float form."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bduo_tf._keras import keras, lq
from bduo_tf.quantizers import CoupledStep, ScaledSign

Form = Literal["coupled", "baseline", "float"]


def scale_widths(network: str, widths: Sequence[int], count: int, multiplier: float) -> list[int]:
    """`widths` times `multiplier`, halves rounded up, at least 1."""
    if len(widths) != count or any(w < 1 for w in widths):
        raise ValueError(f"{network}: widths must be {count} positive integers, not {list(widths)}.")
    if not multiplier > 0:
        raise ValueError(f"{network}: width must be positive, not {multiplier}.")
    # round() goes to the even neighbour: 22.5 would become 22, narrower than the width asked for.
    return [max(1, math.floor(w * multiplier + 0.5)) for w in widths]


@dataclass(frozen=True)
class Style:
    """How a network's form builds its convolutions; see `vgg7` for the fields."""

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
        # The authors' normal(0, sqrt(4 / n)), n = kernel area * (input + output channels).
        return keras.initializers.VarianceScaling(2.0, "fan_avg", "untruncated_normal")

    def float_conv(self, x: Any, channels: int, kernel: Any, *, padding: str = "same", **kwargs: Any) -> Any:
        """A full-precision convolution without bias."""
        return keras.layers.Conv2D(
            channels, kernel, padding=padding, use_bias=False, kernel_initializer=self._initializer, **kwargs
        )(x)

    def conv(self, x: Any, channels: int, kernel: Any, *, padding: str = "same", name: str, **kwargs: Any) -> Any:
        """The form's activation and a convolution of it, without bias."""
        if self.form == "float":
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
            return self.float_conv(x, channels, kernel, padding=padding, name=name, **kwargs)
        return lq.layers.QuantConv2D(
            channels,
            kernel,
            padding=padding,
            use_bias=False,
            kernel_initializer=self._initializer,
            input_quantizer=CoupledStep(self.levels if self.form == "coupled" else 1, self.gradient),
            kernel_quantizer=ScaledSign(self.per_channel) if self.binary_weights else None,
            name=name,
            **kwargs,
        )(x)

    def norm(self, x: Any, *, name: str) -> Any:
        """Batch normalization with the authors' (Torch's) momentum and epsilon."""
        return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)
