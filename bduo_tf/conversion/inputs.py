"""What a file is verified on: given arrays, the test images of a data set, or seeded inputs of any type and number."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bduo_tf.backend import keras
from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.signature import names_of

if TYPE_CHECKING:  # The package of data sets needs TensorFlow Datasets, which conversion does without.
    from bduo_tf.data import Dataset

__all__ = ["Inputs", "Sampler", "first", "of_arrays", "of_dataset", "samplers", "seeded", "seeded_inputs"]

_BATCH = 64
_SEEDED = 256

Batches = Iterator[tuple[Any, np.ndarray | None]]


@dataclass(frozen=True)
class Inputs:
    """What a file is verified on.

    Attributes:
        described: what these inputs are, in words.
        count: how many images, or other examples, there are.
        batches: starts from the beginning and gives batches of (inputs, labels or None). The inputs are an array
            (batch, ...), or a list of such arrays for a model of several inputs.
    """

    described: str
    count: int
    batches: Callable[[], Batches]


@dataclass(frozen=True)
class Sampler:
    """How the values of one seeded input are drawn.

    Attributes:
        shape: the shape of one example.
        dtype: the type of the input.
        low: the least value.
        high: the largest value; integers may be equal to it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    low: float
    high: float

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draws an array (count, *shape)."""
        size = (count, *self.shape)
        if self.dtype.kind == "f":
            return rng.uniform(self.low, self.high, size).astype(self.dtype)
        return rng.integers(int(self.low), int(self.high), size, endpoint=True).astype(self.dtype)

    def __str__(self) -> str:
        if self.dtype.kind == "f":
            return f"uniform in [{self.low:g}, {self.high:g}]"
        return "true and false" if self.dtype.kind == "b" else f"integers from {self.low:g} to {self.high:g}"


def of_arrays(model: keras.Model, images: Any, labels: Any = None, samples: int | None = None) -> Inputs:
    """Given examples.

    Args:
        model: the model that they are for.
        images: array (count, ...), such as images (count, height, width, channels). For a model of several inputs a
            list of such arrays, or a dictionary of them by the inputs' names. They are cast to the inputs' types.
        labels: the classes, int (count,); None if they are not known.
        samples: how many of the first examples to take; None takes all.

    Raises:
        ConversionError: the arrays are not what the model takes.
    """
    arrays = _arrays(model, images)
    for tensor, name, array in zip(model.inputs, model.input_names, arrays, strict=True):
        shape = tuple(tensor.shape[1:])
        if array.ndim == 0 or array.shape[1:] != shape:
            raise ConversionError(
                f"Input {name!r} of model {model.name!r} takes arrays of shape (count, {', '.join(map(str, shape))}), "
                f"`images` has {array.shape}."
            )
    classes = None if labels is None else np.asarray(labels).reshape(-1)
    counts = {len(array) for array in [*arrays, *([] if classes is None else [classes])]}
    if len(counts) > 1:
        raise ConversionError(f"`images` and `labels` must be of one length, but have {sorted(counts)} elements.")
    count = min(samples or len(arrays[0]), len(arrays[0]))

    def batches() -> Batches:
        for start in range(0, count, _BATCH):
            part = slice(start, min(start + _BATCH, count))
            batch = [array[part] for array in arrays]
            yield batch if len(batch) > 1 else batch[0], None if classes is None else classes[part]

    return Inputs(f"{count} given {'image' if count == 1 else 'images'}", count, batches)


def _arrays(model: keras.Model, images: Any) -> list[np.ndarray]:
    """One array for each input, of its type."""
    names = list(model.input_names)
    if isinstance(images, Mapping):
        known = [keys for keys in (names, list(names_of(model).inputs)) if set(keys) == set(images)]
        if not known:
            raise ConversionError(f"`images` is for the inputs {', '.join(images)}; the model has {', '.join(names)}.")
        images = [images[key] for key in known[0]]
    elif len(names) == 1:
        images = [images]
    if not isinstance(images, (list, tuple)) or len(images) != len(names):
        raise ConversionError(f"`images` must be a list of {len(names)} arrays, one for each input of the model.")
    try:
        return [np.asarray(x, t.dtype.as_numpy_dtype) for x, t in zip(images, model.inputs, strict=True)]
    except (TypeError, ValueError) as error:
        raise ConversionError(f"`images` cannot be used as arrays of the inputs' types: {error}") from error


def of_dataset(dataset: "Dataset", samples: int | None = None) -> Inputs:
    """The first test images of a data set with their labels, or all of them.

    Args:
        dataset: what `bduo_tf.data.load` returns.
        samples: how many images; None takes all.
    """
    count = min(samples or dataset.num_test, dataset.num_test)
    return Inputs(
        f"{count} test images of {dataset.name}",
        count,
        lambda: dataset.test.take(count).batch(_BATCH).as_numpy_iterator(),
    )


def seeded_inputs(
    model: keras.Model, samples: int | None, seed: int, limits: tuple[float, float] | None = None
) -> Inputs:
    """Inputs that are drawn at random, and are the same for the same seed.

    Args:
        model: a graph without nested models.
        samples: how many to draw; None draws 256.
        seed: the seed of the random numbers.
        limits: the least and the largest value; None chooses those that make sense for each input's type.

    Raises:
        ConversionError: an input is of a type that has no numbers.
    """
    count = samples or _SEEDED
    found = samplers(model, limits)
    values = {str(sampler) for sampler in found.values()}
    if len(values) > 1:
        values = {", ".join(f"{name} {sampler}" for name, sampler in found.items())}
    return Inputs(
        f"{count} inputs, {values.pop()}, seed {seed}", count, lambda: seeded(list(found.values()), count, seed)
    )


def seeded(inputs: list[Sampler], count: int, seed: int) -> Iterator[tuple[Any, None]]:
    """Draws batches of (inputs, None): an array, or a list of arrays for several inputs."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, _BATCH):
        batch = [sampler.sample(rng, min(_BATCH, count - start)) for sampler in inputs]
        yield batch if len(batch) > 1 else batch[0], None


def samplers(model: keras.Model, limits: tuple[float, float] | None = None) -> dict[str, Sampler]:
    """Returns how to draw each input of a model, by its name; the arguments and errors are those of `seeded_inputs`."""
    found = {}
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        dtype = np.dtype(tensor.dtype.as_numpy_dtype)
        low, high = _range(model, tensor, name, dtype) if limits is None or dtype.kind == "b" else sorted(limits)
        found[name] = Sampler(tuple(tensor.shape[1:]), dtype, low, high)
    return found


def _range(model: keras.Model, tensor: Any, name: str, dtype: np.dtype) -> tuple[float, float]:
    """The values that an input takes: the indices of an embedding, the grey levels of pictures, else small numbers."""
    if dtype.kind == "f":
        return -1.0, 1.0
    if dtype.kind not in "iub":
        raise ConversionError(f"Model {model.name!r}: input {name!r} is of type {dtype.name}, which TFLite cannot run.")
    sizes = [
        node.layer.input_dim
        for nodes in model._nodes_by_depth.values()
        for node in nodes
        if isinstance(node.layer, keras.layers.Embedding) and any(t is tensor for t in node.keras_inputs)
    ]
    if sizes:
        return 0, min(sizes) - 1
    return 0, 255 if dtype == np.uint8 and len(tensor.shape) == 4 else 1


def first(batches: Batches, count: int) -> list[np.ndarray]:
    """Returns the first `count` images of batches for a model of one input."""
    images: list[np.ndarray] = []
    for batch, _ in batches:
        images.extend(batch[: count - len(images)])
        if len(images) == count:
            break
    return images
