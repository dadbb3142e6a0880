"""The network that a run starts from: its widths, its quantizers and its constraints, as method and recipe say."""

import functools
from collections.abc import Callable
from typing import Any

from bduo_tf import decouple, networks, user_code
from bduo_tf.backend import keras, lq
from bduo_tf.runs import Settings
from bduo_tf.training.methods import METHODS
from bduo_tf.training.own import own_network

__all__ = ["coupled_widths", "network"]


def network(
    settings: Settings,
    input_shape: tuple[int, int, int],
    classes: int,
    weighed: tuple[tuple[int, int, int], int] | None = None,
) -> Callable[[], keras.Model]:
    """A function that builds the network of a run's first stage, untrained and uncompiled.

    What is costly and does not depend on the seed is done here and not in that function. So a model depends on nothing
    but the seed that was set before it is built.

    Args:
        settings: of the run.
        input_shape: (height, width, channels).
        classes: number of logits.
        weighed: the input shape and the number of classes for which the widths of a coupled network are found, so that
            networks for different pictures can have the same layers; None stands for its own.

    Raises:
        ValueError: the network cannot be built for such an input, or with such a width.
        OptionError: the network is of the user's own, and its function fails or returns what cannot be trained.
    """
    if user_code.names_function(settings.network):
        return own_network(settings, input_shape, classes)
    r, method = settings.recipe, METHODS[settings.method]
    if method.form == "coupled":
        widths = coupled_widths(settings.network, r.width, r.levels, *(weighed or (input_shape, classes)))
    else:
        widths = networks.paper_widths(settings.network, "baseline", r.width)

    def build() -> keras.Model:
        model = networks.NETWORKS[settings.network](
            input_shape,
            classes,
            form=method.form,
            levels=r.levels,
            widths=widths,
            binary_weights=not r.float_weights,
            per_channel=r.per_channel,
            gradient=r.gradient,
        )
        if (activation := method.activation) is not None:
            model = _changed(model, lambda layer: _larq_quantizers(layer, activation))
        if method.decoupled == "at once":
            model = decouple(model)
        if r.clip:
            model = _changed(model, lambda layer: _clip(layer, r.clip))
        return model

    return build


@functools.cache
def coupled_widths(
    network: str, width: float, levels: int, input_shape: tuple[int, int, int], classes: int
) -> tuple[int, ...]:
    """The channels of a coupled network.

    Once it is decoupled it has at most the weights of the baseline whose channels `width` multiplies, and as many of
    them as it can (see `bduo_tf.networks.duo_widths`). So networks of one width cost the same, whatever the method.
    Pairs at a width of 1 have the paper's own channels. For VGG-7 at 32x32 pixels these are the same. At 224x224 pixels
    they make the decoupled ResNet-18 8 % heavier than its baseline, and AlexNet 3 % lighter.

    Args:
        network: a key of `bduo_tf.networks.NETWORKS`.
        width: multiplies the channels of the baseline.
        levels: number of binary activations that are coupled into one.
        input_shape: (height, width, channels).
        classes: number of logits.

    Raises:
        ValueError: the input is too small for the network, or no width is small enough.
    """
    if width == 1 and levels == 2:
        return networks.paper_widths(network, "coupled")
    baseline = networks.paper_widths(network, "baseline", width)
    return networks.duo_widths(
        networks.NETWORKS[network], baseline, levels=levels, input_shape=input_shape, classes=classes
    )


def _changed(model: keras.Model, change: Callable[[keras.layers.Layer], dict[str, Any]]) -> keras.Model:
    """A copy of the model, its weights included, with other options in its quantized layers."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        changes = change(layer) if isinstance(layer, lq.layers.QuantConv2D) else {}
        return type(layer).from_config({**layer.get_config(), **changes})

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def _larq_quantizers(layer: lq.layers.QuantConv2D, activation: str) -> dict[str, Any]:
    """The options of a layer with Larq's quantizers in place of ours.

    Signs are as in Larq's documentation: activations of +1 and -1 that are padded with +1, and clipped latent weights.
    """
    if layer.input_quantizer is None:
        return {}
    if activation == "dorefa":
        return {
            "input_quantizer": lq.quantizers.DoReFa(k_bit=1, mode="activations"),
            "kernel_quantizer": lq.quantizers.DoReFa(k_bit=1, mode="weights"),
        }
    return {
        "input_quantizer": activation,
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
        "pad_values": 1.0,
    }


def _clip(layer: lq.layers.QuantConv2D, limit: float) -> dict[str, Any]:
    return {} if layer.kernel_quantizer is None else {"kernel_constraint": lq.constraints.WeightClip(limit)}
