"""What a file is verified on: the test images of a data set, or seeded inputs of every type and number."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bduo_tf import data
from bduo_tf.backend import keras
from bduo_tf.conversion.errors import ConversionError

__all__ = ["Inputs", "Sampler", "first", "of_dataset", "samplers", "seeded", "seeded_inputs"]

_BATCH = 64
_SEEDED = 256

Batches = Iterator[tuple[Any, np.ndarray | None]]


@dataclass(frozen=True)
class Inputs:
    """What a file is verified on.

    Attributes:
        described: what it is, in words.
        count: how many images, or other examples.
        batches: gives batches of (inputs, labels or None) from the start: an array, or of several inputs a list.
    """

    described: str
    count: int
    batches: Callable[[], Batches]


@dataclass(frozen=True)
class Sampler:
    """The values of a seeded input.

    Attributes:
        shape: of one example.
        dtype: of the input.
        low: the least value.
        high: the largest value, for integers itself among them.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    low: float
    high: float

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """An array (count, *shape)."""
        size = (count, *self.shape)
        if self.dtype.kind == "f":
            return rng.uniform(self.low, self.high, size).astype(self.dtype)
        return rng.integers(int(self.low), int(self.high), size, endpoint=True).astype(self.dtype)

    def __str__(self) -> str:
        if self.dtype.kind == "f":
            return f"uniform in [{self.low:g}, {self.high:g}]"
        return "true and false" if self.dtype.kind == "b" else f"integers from {self.low:g} to {self.high:g}"


def of_dataset(dataset: data.Dataset, samples: int | None) -> Inputs:
    """The first test images of a data set, or all of them."""
    count = min(samples or dataset.num_test, dataset.num_test)
    return Inputs(
        f"{count} test images of {dataset.name}",
        count,
        lambda: dataset.test.take(count).batch(_BATCH).as_numpy_iterator(),
    )


def seeded_inputs(
    model: keras.Model, samples: int | None, seed: int, limits: tuple[float, float] | None = None
) -> Inputs:
    """Inputs drawn at random, the same for the same seed.

    Args:
        model: a graph without nested models.
        samples: how many.
        seed: of the random numbers.
        limits: between which values are; None for those that make sense for each input's type.

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
    """Batches of (inputs, None): an array, or of several inputs a list."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, _BATCH):
        batch = [sampler.sample(rng, min(_BATCH, count - start)) for sampler in inputs]
        yield batch if len(batch) > 1 else batch[0], None


def samplers(model: keras.Model, limits: tuple[float, float] | None = None) -> dict[str, Sampler]:
    """How to draw each input of a model, by name; arguments and errors as of `seeded_inputs`."""
    found = {}
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        dtype = np.dtype(tensor.dtype.as_numpy_dtype)
        low, high = _range(model, tensor, name, dtype) if limits is None or dtype.kind == "b" else sorted(limits)
        found[name] = Sampler(tuple(tensor.shape[1:]), dtype, low, high)
    return found


def _range(model: keras.Model, tensor: Any, name: str, dtype: np.dtype) -> tuple[float, float]:
    """What values an input takes: indices of an embedding, grey levels, else what is small."""
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
    """The first `count` images of a model of one input."""
    images: list[np.ndarray] = []
    for batch, _ in batches:
        images.extend(batch[: count - len(images)])
        if len(images) == count:
            break
    return images
