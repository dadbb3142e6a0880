"""What a user would deploy instead: the same network with ReLU and float kernels in the baseline's widths."""

from collections.abc import Iterable

import numpy as np

from bduo_tf import networks
from bduo_tf.backend import keras
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.source import Source
from bduo_tf.conversion.tflite import convert_float32, convert_int8

__all__ = ["float_peer", "peer_files"]


def float_peer(source: Source) -> keras.Model:
    """The float form of the run's network, untrained: for file size and latency, not for accuracy.

    Raises:
        ConversionError: the source is a file alone, which does not say what network it is.
    """
    config = source.config
    if config is None:
        raise ConversionError(
            "--float needs a run folder: a .keras file alone does not say which network to compare with."
        )
    build, width = networks.NETWORKS[config.settings.network], config.settings.recipe.width
    return build(config.input_shape, len(config.class_names), form="float", width=width)


def peer_files(model: keras.Model, images: Iterable[np.ndarray]) -> dict[str, bytes]:
    """The float32 and the int8 file of a float peer, the latter calibrated on `images`."""
    return {"float32": convert_float32(model), "int8": convert_int8(model, images)}
