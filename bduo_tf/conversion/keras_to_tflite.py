"""`to_tflite`: from a Keras model to the bytes of a verified .tflite file, in one call."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bduo_tf.backend import keras
from bduo_tf.conversion.errors import ConversionError, explained
from bduo_tf.conversion.inputs import Inputs, of_arrays, seeded_inputs
from bduo_tf.conversion.inspection import cost
from bduo_tf.conversion.interpreters import interpreters, require_runnable
from bduo_tf.conversion.layer_costs import layer_costs
from bduo_tf.conversion.metadata import Metadata, add_metadata
from bduo_tf.conversion.preparation import as_float32, decoupled, deployed, sized
from bduo_tf.conversion.report import Report
from bduo_tf.conversion.signature import Names, names_of
from bduo_tf.conversion.tflite import convert_lce
from bduo_tf.conversion.timing import time_files
from bduo_tf.conversion.verification import verify_in_each
from bduo_tf.deployment import Deployment
from bduo_tf.files import replacing
from bduo_tf.fitting import Fit
from bduo_tf.scores import KINDS, output_kinds

__all__ = ["Conversion", "check_numbers", "to_tflite"]


@dataclass(frozen=True)
class Conversion:
    """What `to_tflite` returns.

    Attributes:
        file: the content of the .tflite file, metadata included.
        deployment: the binary model, its deployment graph, and what corresponds in the two.
        metadata: what the file says of its inputs and outputs.
        inputs: what the file was verified on.
        report: what the file costs, and whether it computes what the model computes.
    """

    file: bytes = field(repr=False)
    deployment: Deployment = field(repr=False)
    metadata: Metadata
    inputs: Inputs = field(repr=False)
    report: Report = field(repr=False)

    def timed(self, peers: Mapping[str, bytes] | None = None, threads: int = 1) -> "Conversion":
        """Measures how long the file takes on this machine, layer by layer, and other files beside it.

        Args:
            peers: the contents of other .tflite files by name, such as those of a float network.
            threads: the number of threads.

        Returns:
            This conversion with a report that tells the times.

        Raises:
            ConversionError: bduo_runtime is not installed.
        """
        timing = time_files({"binary": self.file, **(peers or {})}, threads)
        layers = tuple(layer.timed(timing.operators) for layer in self.report.layers)
        return replace(self, report=replace(self.report, layers=layers, timing=timing))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the file, unless its verification failed.

        Raises:
            ConversionError: the file does not compute what the model computes.
        """
        if not self.report.verified:
            raise ConversionError(f"{path} is not written, since its verification failed: {self.report.problems[0]}.")
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(self.file)


def to_tflite(
    model: keras.Model,
    images: Any = None,
    labels: Any = None,
    *,
    decouple: bool = False,
    allow_float: bool = False,
    image_size: int | tuple[int, int] | None = None,
    class_names: Sequence[str] = (),
    input_range: tuple[float, float] | None = None,
    fit: Fit | None = None,
    scores: str | None = None,
    samples: int | None = None,
    seed: int = 0,
    min_agreement: float = 0.99,
) -> Conversion:
    """Converts a binary Keras model for Larq Compute Engine, and verifies the file against the model.

    The file is run in LCE's own interpreter, and in bduo_runtime where that is installed. Every output is compared
    with Keras', binary layers that became float ones are found, and activations that flipped are counted layer by
    layer. A file that fails is returned all the same, but `Conversion.save` does not write it.

    ```python
    converted = bduo_tf.to_tflite(binary, images, labels, class_names=["cat", "dog"], input_range=(0, 1))
    print(converted.report)
    converted.save("model.tflite")
    ```

    Args:
        model: a functional or built sequential model whose activations are binary, such as `bduo_tf.decouple` returns.
        images: what to verify on, as the model takes it: array (count, height, width, channels), for a model of several
            inputs a list of arrays or a dictionary of them by name, or an `Inputs`, such as
            `bduo_tf.conversion.of_dataset` makes of a data set. None draws random inputs.
        labels: the classes of `images`, int (count,), for the accuracy.
        decouple: decouples a model whose activations are still coupled. That fine-tunes nothing.
        allow_float: lets layers stay float that read a binary activation, but that LCE has no binary kernels for.
        image_size: (height, width), or one number for both, for a model that leaves them open.
        class_names: the names of the classes, which the file is to carry.
        input_range: what the model takes a black and a white pixel for, such as (-1, 1), which the file is to say.
        fit: how pictures are fitted to the input's size, which the file is to say: `bduo_tf.fitting.Fit`, or any object
            with its attributes.
        scores: what the output is, one of "softmax", "sigmoid", "logits" (of a softmax) and "sigmoid_logits". None
            reads it off the last layers.
        samples: on how many of the arrays in `images` to verify, or how many inputs to draw. None takes all, or draws
            256. An `Inputs` is always taken whole.
        seed: the seed of drawn inputs.
        min_agreement: the share of images whose outputs must agree: scores by their arg max, maps and other values
            within a twentieth of their size.

    Returns:
        The file with its report; `report.verified` says whether it computes what the model computes.

    Raises:
        ConversionError: the model cannot be converted or verified as asked, or a package is missing; the message is
            one line that says what to do.
    """
    check_numbers(samples, seed, min_agreement, input_range)
    if not isinstance(model, keras.Model):
        raise ConversionError(f"What is converted must be a Keras model, not {type(model).__name__}.")
    known = sized(as_float32(model), _size(image_size))
    names = names_of(model)
    about = _metadata(known, names, tuple(class_names), input_range, fit, scores)
    binary = decoupled(known) if decouple else known
    deployment = deployed(binary, allow_float=allow_float)
    metadata = replace(about, scores=about.scores or output_kinds(deployment.binary))
    if labels is not None and (images is None or isinstance(images, Inputs)):
        raise ConversionError("`labels` are those of the arrays in `images`, and there are none.")
    if images is None:
        inputs = seeded_inputs(deployment.binary, samples, seed, input_range)
    else:
        inputs = images if isinstance(images, Inputs) else of_arrays(deployment.binary, images, labels, samples)

    file = add_metadata(convert_lce(deployment.graph, names), metadata)
    require_runnable(file)
    with explained("The file cannot be compared with Keras"):
        verifications = verify_in_each(
            deployment,
            file,
            inputs.batches(),
            interpreters(),
            total=inputs.count,
            min_agreement=min_agreement,
            names=names.outputs,
            boundary=0.0 if metadata.scores[0] in ("logits", "sigmoid_logits") else 0.5,
        )
    report = Report(
        title=model.name,
        size=len(file),
        cost=cost(file),
        decoupled=binary is not known,
        floats={layer.name: layer.reason for layer in deployment.floats},
        inputs=names.inputs,
        outputs=dict(zip(names.outputs, metadata.scores, strict=True)),
        verified_on=inputs.described,
        verifications=verifications,
        layers=layer_costs(file, [layer.name for layer in deployment.graph.layers if hasattr(layer, "kernel")]),
    )
    return Conversion(file, deployment, metadata, inputs, report)


def check_numbers(
    samples: int | None, seed: int, min_agreement: float, input_range: Sequence[float] | None = None
) -> None:
    """Refuses numbers that make no sense for any model; see `to_tflite` for their meaning.

    Raises:
        ConversionError: a number makes no sense.
    """
    if samples is not None and samples < 1:
        raise ConversionError(f"`samples` must be at least 1, not {samples}.")
    if not 0 <= min_agreement <= 1:
        raise ConversionError(f"`min_agreement` is a share from 0 to 1, not {min_agreement}.")
    if seed < 0:
        raise ConversionError(f"`seed` must not be negative, but it is {seed}.")
    if input_range is not None:
        black, white = input_range
        if not np.isfinite(input_range).all() or black == white:
            raise ConversionError(f"`input_range` takes two different numbers, not {black:g} and {white:g}.")


def _size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    with explained("`image_size` is (height, width), or one number for both"):
        height, width = np.broadcast_to(image_size, 2).tolist()
    return height, width


def _metadata(
    model: keras.Model,
    names: Names,
    class_names: tuple[str, ...],
    input_range: tuple[float, float] | None,
    fit: Fit | None,
    scores: str | None,
) -> Metadata:
    """What the file is to say of its inputs and outputs, if that fits the model."""
    shapes = [tuple(t.shape[1:]) for t in model.inputs]
    image = len(shapes) == 1 and len(shapes[0]) == 3
    if class_names:
        _require_classes(model, class_names)
    if scores is not None and scores not in KINDS:
        raise ConversionError(f"`scores` is one of {', '.join(KINDS)}, not {scores!r}.")
    if scores is not None and len(model.outputs) != 1:
        raise ConversionError(f"`scores` is for one output, but model {model.name!r} has {len(model.outputs)}.")
    if input_range is not None and not image:
        listed = ", ".join(map(str, shapes))
        raise ConversionError(f"`input_range` is for images, but model {model.name!r} takes inputs of shape {listed}.")
    return Metadata(
        model.name,
        class_names,
        None if input_range is None else (input_range[0], input_range[1]),
        shapes[0][-1] if image else 3,
        scores=() if scores is None else (scores,),
        fit=fit,
        inputs=("image",) if len(names.inputs) == 1 else names.inputs,
    )


def _require_classes(model: keras.Model, class_names: tuple[str, ...]) -> None:
    """Fails unless the model has one output for so many classes, or one unit that tells two classes apart."""
    if not all(isinstance(name, str) and len(name.splitlines()) == 1 for name in class_names):
        raise ConversionError("`class_names` must be text, one line for each class.")
    if len(model.outputs) != 1:
        raise ConversionError(
            f"Model {model.name!r} has {len(model.outputs)} outputs, `class_names` is for a classifier's."
        )
    outputs, count = tuple(model.outputs[0].shape[1:]), len(class_names)
    if outputs != (count,) and not (outputs == (1,) and count == 2):
        raise ConversionError(f"Model {model.name!r} has outputs {outputs}, `class_names` has {count} classes.")
