"""What one would deploy instead of a binary network: the same network with ReLU and float kernels."""

from collections.abc import Iterable

import numpy as np

from bduo_tf import networks
from bduo_tf.backend import keras
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.metadata import Metadata, add_metadata
from bduo_tf.conversion.source import Source
from bduo_tf.conversion.tflite import convert_float32, convert_int8

__all__ = ["float_peer", "peer_files"]


def float_peer(source: Source) -> keras.Model:
    """Builds the float form of a run's network, in the widths of the binary baseline.

    It is not trained: it is there to compare the size of files and the latency, not the accuracy.

    Args:
        source: the folder of a training run.

    Raises:
        ConversionError: the source is a file alone, which does not say what network it is, or the run trained a network
            of the user's own, whose float form is not known.
    """
    config = source.config
    if config is None:
        raise ConversionError(
            "--float needs a run folder: a .keras file alone does not say which network to compare with."
        )
    if config.settings.network not in networks.NETWORKS:
        raise ConversionError(f"--float: the float form of {config.settings.network} is not known. Leave it out.")
    build, width = networks.NETWORKS[config.settings.network], config.settings.recipe.width
    return build(config.input_shape, len(config.class_names), form="float", width=width)


def peer_files(model: keras.Model, images: Iterable[np.ndarray], metadata: Metadata | None = None) -> dict[str, bytes]:
    """Converts a float model to a float32 and to an int8 .tflite file, as one would deploy it.

    Args:
        model: a float network, such as `bduo_tf.networks.vgg7(form="float")`.
        images: some images (height, width, channels), from which the int8 file learns the ranges of activations.
        metadata: what both files are to say of their inputs and outputs.

    Returns:
        The contents of the files, by "float32" and "int8".

    Raises:
        ConversionError: the model cannot be converted; the message has the converter's reason.
    """
    files = {"float32": convert_float32(model), "int8": convert_int8(model, images)}
    return {name: file if metadata is None else add_metadata(file, metadata) for name, file in files.items()}
