"""Larq quantizers of BinaryDuo: the coupled step for activations and the scaled sign for kernels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bduo_tf._kinds import is_exactly, is_known
from bduo_tf.backend import lq, serializable, tf

__all__ = [
    "GRADIENTS",
    "CoupledStep",
    "ScaledQuantizer",
    "ScaledSign",
    "Step",
    "coupled_step",
    "is_sign",
    "scaled_sign",
    "step_of",
]


def _from_nearest(x: tf.Tensor, levels: int) -> tf.Tensor:
    """The signed distance of x from the nearest threshold, in units of the distance between thresholds."""
    scaled = levels * x
    # Of the n equal intervals each has a threshold in its middle. tf.floor numbers the interval of x, and the clip
    # gives values outside of [0, 1] the outermost one. NaN stays NaN and fails every comparison.
    return scaled - (tf.clip_by_value(tf.floor(scaled), 0, levels - 1) + 0.5)


def _relu1(x: tf.Tensor, levels: int) -> tf.Tensor:
    del levels
    return tf.cast((x >= 0) & (x <= 1), x.dtype)


def _steep(x: tf.Tensor, levels: int) -> tf.Tensor:
    return 2.0 * tf.cast(tf.abs(_from_nearest(x, levels)) <= 0.25, x.dtype)


def _approx_sign(x: tf.Tensor, levels: int) -> tf.Tensor:
    return tf.nn.relu(2.0 - 4.0 * tf.abs(_from_nearest(x, levels)))


def _swish_sign(x: tf.Tensor, levels: int) -> tf.Tensor:
    bu = 5.0 * (2.0 * _from_nearest(x, levels))
    # cosh overflows beyond |bu| ~ 89, where the gradient has long vanished.
    bounded = tf.clip_by_value(bu, -40.0, 40.0)
    return 5.0 * (2.0 - bounded * tf.tanh(bounded / 2.0)) / (1.0 + tf.cosh(bounded))


GRADIENTS: dict[str, Callable[[tf.Tensor, int], tf.Tensor]] = {
    "relu1": _relu1,
    "steep": _steep,
    "approx_sign": _approx_sign,
    "swish_sign": _swish_sign,
}
"""Backward passes by name: functions of x and n that give the pseudo-derivative of the coupled step of n levels at x.

Each is some h(u) in place of the derivative of the unit step, where u is the distance of x from the nearest threshold
in units of the distance between thresholds. ReLU1 (h = 1 for |u| <= 1/2, which is 0 <= x <= 1), SwishSign (beta = 5)
and ApproxSign are the variants that the paper compares, rescaled from the range [-1, 1] of the sign to that of the
step. "steep" is 2 for |u| <= 1/4 and else 0."""


def coupled_step(x: tf.Tensor, levels: int = 2, gradient: str = "relu1") -> tf.Tensor:
    r"""The sum of `levels` coupled binary activations; see `CoupledStep`."""

    @tf.custom_gradient
    def _call(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        reached = [tf.cast(x >= tf.cast((2 * k - 1) / (2 * levels), x.dtype), x.dtype) for k in range(1, levels + 1)]
        return tf.add_n(reached) / levels, lambda dy: dy * GRADIENTS[gradient](x, levels)

    return _call(x)


@lq.utils.register_alias("coupled_step")
@serializable
class CoupledStep(lq.quantizers.Quantizer):
    r"""n binary activations coupled into one activation of n + 1 levels.

    \\[
    a(x) = \frac{1}{n} \sum_{k=1}^n [x \geq t_k], \qquad t_k = \frac{2k - 1}{2n}
    \\]

    n = 1 is the binary activation (0 or 1, threshold 0.5), n = 2 the paper's ternary one (0, 1/2 or 1,
    thresholds 0.25 and 0.75). The gradient is straight-through: with the default `"relu1"`

    \\[
    \frac{\partial a(x)}{\partial x} = \begin{cases} 1 & 0 \leq x \leq 1 \\ 0 & \text{else} \end{cases}
    \\]

    Use it as `input_quantizer=CoupledStep(2)` of a Larq layer, or as a layer of its own.

    Args:
        levels: n, the number of coupled binary activations, at least 1.
        gradient: the name of the backward pass, a key of `GRADIENTS`: "relu1", "steep", "approx_sign"
            or "swish_sign".

    Input and output shape:
        any: the quantizer works on each element alone.

    Raises:
        ValueError: `levels` is not a positive integer, or `gradient` is unknown.

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020, section 4 (arXiv 2002.06517).
    """

    def __init__(self, levels: int = 2, gradient: str = "relu1", **kwargs: Any) -> None:
        if isinstance(levels, bool) or int(levels) != levels or levels < 1:
            raise ValueError(f"CoupledStep: levels must be a positive integer, not {levels!r}.")
        if gradient not in GRADIENTS:
            raise ValueError(f"CoupledStep: unknown gradient {gradient!r}; known: {', '.join(GRADIENTS)}.")
        super().__init__(**kwargs)
        self.levels = int(levels)
        self.gradient = gradient

    @property
    def precision(self) -> int:
        """The number of bits that hold an activation; `larq.models.summary` reads it."""
        return self.levels.bit_length()

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return coupled_step(inputs, self.levels, self.gradient)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels, "gradient": self.gradient}


def scaled_sign(x: tf.Tensor, per_channel: bool = False) -> tf.Tensor:
    r"""sign(x) * mean|x| with a straight-through gradient; see `ScaledSign`."""

    @tf.custom_gradient
    def _call(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        axes = list(range(len(x.shape) - 1)) if per_channel else None
        scale = tf.reduce_mean(tf.abs(x), axis=axes, keepdims=True)
        return lq.math.sign(x) * scale, lambda dy: dy

    return _call(x)


@lq.utils.register_alias("scaled_sign")
@serializable
class ScaledSign(lq.quantizers.Quantizer):
    r"""Binary kernels with one scale: the kernel quantizer of the paper.

    \\[
    q(W) = \mathrm{sign}(W) \cdot \mathrm{mean}|W|, \qquad \mathrm{sign}(0) = +1
    \\]

    The gradient passes straight through. Since q(W / n) = q(W) / n, decoupling may divide the kernel and
    stays exact.

    Args:
        per_channel: whether each output channel (the kernel's last axis) has a scale of its own, or all
            have one together.

    Input and output shape:
        that of a kernel, its last axis the output channels.

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020; the scale is that of Rastegari et al., "XNOR-Net", ECCV 2016.
    """

    precision = 1

    def __init__(self, per_channel: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.per_channel = per_channel

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return scaled_sign(inputs, self.per_channel)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "per_channel": self.per_channel}


@serializable
class ScaledQuantizer(lq.quantizers.Quantizer):
    r"""Another quantizer times a constant: q(x) = scale * quantizer(x).

    Decoupling divides a kernel among the n copies of its input. A quantizer that forgets the scale of the
    latent kernel, such as Larq's `ste_sign`, is multiplied by 1 / n instead.

    Args:
        quantizer: a quantizer as Larq's layers take it: an object, a name or a configuration.
        scale: the constant.

    Input and output shape:
        that of `quantizer`.

    Raises:
        ValueError: there is no quantizer of that name.
    """

    def __init__(self, quantizer: Any, scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.quantizer = lq.quantizers.get_kernel_quantizer(quantizer)  # with Larq's metrics, if any are asked for
        if not callable(self.quantizer):
            raise ValueError(f"ScaledQuantizer: {quantizer!r} is not the name of a known quantizer.")
        self.scale = float(scale)

    @property
    def precision(self) -> int:
        """The number of bits of the quantizer that is scaled; 32 if it does not tell."""
        return getattr(self.quantizer, "precision", 32)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.scale * self.quantizer(inputs)

    def get_config(self) -> dict[str, Any]:
        quantizer = lq.quantizers.serialize(self.quantizer)
        return {**super().get_config(), "quantizer": quantizer, "scale": self.scale}


@dataclass(frozen=True)
class Step:
    """Describes an activation that rises from 0 to 1 in n equal steps, be it this package's quantizer or Larq's.

    Attributes:
        levels: n. Step k is taken at (2k - 1) / (2n), or if there is only one at `threshold`.
        threshold: where the only step of an activation of one level is taken.
        strict: whether a value must exceed that threshold, or equality suffices.
        gradient: the key of `GRADIENTS` that is the backward pass, or comes nearest to it.
    """

    levels: int
    threshold: float = 0.5
    strict: bool = False
    gradient: str = "relu1"


def step_of(quantizer: Any) -> Step | None:
    """Describes a quantizer as a step; None if it is no step, or of a subclass that computes something else.

    Larq's `DoReFa` activation of k bits is a coupled step of 2^k - 1 levels, except that it rounds a value
    exactly on a threshold to the even level. Larq's `SteHeaviside` is a step of one level at 0.
    """
    if not is_known(quantizer):
        return None
    if isinstance(quantizer, CoupledStep):
        return Step(quantizer.levels, gradient=quantizer.gradient)
    if isinstance(quantizer, lq.quantizers.DoReFa) and quantizer.mode == "activations":
        return Step(2**quantizer.precision - 1, strict=quantizer.precision == 1)
    if isinstance(quantizer, lq.quantizers.SteHeaviside):
        return Step(1, threshold=0.0, strict=True)
    return None


_SIGNS = (lq.quantizers.SteSign, lq.quantizers.ApproxSign, lq.quantizers.SwishSign)


def is_sign(quantizer: Any) -> bool:
    """Whether a quantizer is the sign (+1 for 0 and above, else -1), whatever its gradient."""
    # Layers take the bare functions as quantizers too.
    functions = (lq.quantizers.ste_sign, lq.quantizers.approx_sign, lq.quantizers.swish_sign, lq.math.sign)
    return is_exactly(quantizer, _SIGNS) or any(quantizer is function for function in functions)
