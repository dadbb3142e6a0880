"""Measures by how much perturbations of one variable change the mean loss of a batch, in bounded memory."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from bduo_tf.backend import keras, tf
from bduo_tf.mismatch._calls import Calls, latent, run
from bduo_tf.mismatch._channels import ChannelRoute, find_route

__all__ = ["Batch", "LossChanges"]

# How many perturbations are evaluated side by side where memory allows: enough to make the call of a convolution pay.
_SIDE_BY_SIDE = 64


class Batch:
    """A model, a loss and the samples on which they are evaluated, in inference mode.

    Args:
        model: a functional or sequential model, or any other built Keras model.
        loss: a Keras loss, its name, or a function of (targets, predictions) that returns a loss for each sample.
        x: array (samples, ...), or several nested as the model's inputs.
        y: array (samples, ...), or several nested as the loss takes them.

    Attributes:
        model: the model.
        calls: its layer calls.
        x: the inputs, in the order of the model's inputs.
        y: the targets, nested as they were given.
        samples: the number of samples.

    Raises:
        TypeError: `model` is no Keras model, or `loss` no loss.
        ValueError: `x` and `y` do not fit each other or the model.
    """

    def __init__(self, model: keras.Model, loss: Any, x: Any, y: Any) -> None:
        if not isinstance(model, keras.Model):
            raise TypeError(f"mismatch: model must be a Keras model, not {type(model).__name__}.")
        self.model, self.calls = model, Calls(model)
        self._loss = _by_sample(loss)
        flat = model._flatten_to_reference_inputs(x) if isinstance(x, dict) else tf.nest.flatten(x)
        if len(flat) != len(self.calls.inputs):
            raise ValueError(f"mismatch: model {model.name!r} has {len(self.calls.inputs)} inputs, x is {len(flat)}.")
        self.x = [_as_array(a, model.compute_dtype) for a in flat]
        self.y = tf.nest.map_structure(lambda a: _as_array(a, model.compute_dtype), y)
        lengths = {len(a) for a in (*self.x, *tf.nest.flatten(self.y))}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"mismatch: x and y must have the same number of samples, not {sorted(lengths)}.")
        [self.samples] = lengths

    def variable(self, variable: Any) -> Any:
        """Returns the latent variable behind a variable of the model; raises an error if the model does not have it."""
        found = latent(variable)
        if not any(latent(v) is found for v in self.model.weights):
            name = getattr(variable, "name", repr(variable))
            raise ValueError(f"mismatch: variable {name!r} is not in model {self.model.name!r}; see model.weights.")
        return found

    def chunks(self, size: int) -> Iterator[tuple[list[tf.Tensor], Any]]:
        """Cuts the samples into chunks: yields (inputs, targets) of at most `size` samples."""
        for start in range(0, self.samples, size):
            inputs, y = tf.nest.map_structure(lambda a, s=start: tf.constant(a[s : s + size]), (self.x, self.y))
            yield inputs, y

    def tensors(self, inputs: list[tf.Tensor]) -> dict[int, tf.Tensor]:
        """Runs the model; returns all its tensors by their keys."""
        return run(self.calls.calls, dict(zip(self.calls.inputs, inputs, strict=True)))

    def losses(self, y: Any, tensors: dict[int, tf.Tensor]) -> tf.Tensor:
        """The loss of each sample, (samples,).

        Args:
            y: the targets, nested as the loss takes them.
            tensors: the model's outputs, at least, by their keys.
        """
        predictions = tf.nest.map_structure(lambda i: tensors[i], self.calls.outputs)
        losses = tf.convert_to_tensor(self._loss(y, predictions))
        if losses.shape.rank == 0:
            raise ValueError("mismatch: loss returns one number for the whole batch; it must return one a sample.")
        return tf.reduce_mean(tf.reshape(losses, [tf.shape(losses)[0], -1]), axis=1)

    def sample_bytes(self) -> dict[int, int]:
        """How many bytes each tensor of the model takes for one sample, by its key."""
        [inputs, _] = next(self.chunks(1))
        return {i: t.shape.num_elements() * t.dtype.size for i, t in self.tensors(inputs).items()}


def _as_array(a: Any, dtype: str) -> np.ndarray:
    a = np.asarray(a)
    return a.astype(dtype, copy=False) if np.issubdtype(a.dtype, np.floating) else a


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function into one graph that serves any size of the first axis of the tensors that it is given.

    The option `reduce_retracing` of tf.function would do so too, but it traces twice and warns of it.
    """
    graph = None

    def call(*args: Any) -> Any:
        nonlocal graph
        if graph is None:
            specs = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), args)
            graph = tf.function(function, input_signature=specs)
        return graph(*args)

    return call


def _by_sample(loss: Any) -> Callable[[Any, Any], tf.Tensor]:
    loss = keras.losses.get(loss)
    if not callable(loss):
        raise TypeError(f"mismatch: loss must be a Keras loss, its name or a function, not {loss!r}.")
    if isinstance(loss, keras.losses.Loss):
        loss = copy.copy(loss)
        loss.reduction = keras.losses.Reduction.NONE
    return loss


class LossChanges:
    """Measures the change of the mean loss for many perturbed values of one variable.

    The difference is formed for each sample and added up in float64. The difference of two rounded means would have
    few correct digits: float32 resolves a loss near 1 to 6e-8, and a step of 0.01 often changes it by less than 1e-5.

    Args:
        batch: the model, the loss and the samples.
        variable: a latent variable of the model.
        memory_mb: a bound, in MiB, of the tensors that are alive at once, beside the model and the samples. To keep
            it, samples and perturbations are taken in chunks, which changes the result by rounding only. A chunk has
            at least one sample and one perturbation, so that a very small bound is exceeded.
        progress: whether to show a progress bar if it takes more than a few seconds.

    Raises:
        ValueError: `memory_mb` is not positive.
    """

    def __init__(self, batch: Batch, variable: Any, memory_mb: float = 256, progress: bool = False) -> None:
        if not memory_mb > 0:
            raise ValueError(f"mismatch: memory_mb must be positive, not {memory_mb}.")
        self._batch, self._variable, self._progress = batch, variable, progress
        self._budget = memory_mb * 2**20
        self._affected = batch.calls.affected_by(variable)
        self._route = find_route(batch.calls, self._affected, variable)
        self._bytes = batch.sample_bytes()

    def of_coordinates(self, coordinates: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Measures P perturbations, each of which replaces one coordinate of the variable.

        Args:
            coordinates: (P,), flat indices into the variable.
            values: (P,), the new value of each coordinate.

        Returns:
            (P,) float64: the mean loss with the perturbation minus the mean loss without it.
        """
        changes = None if self._route is None else self._by_channel(self._route, coordinates, values)
        if changes is not None:
            return changes
        before = self._variable.numpy()

        def value(p: int) -> np.ndarray:
            changed = before.copy()
            changed.flat[coordinates[p]] = values[p]
            return changed

        return self.of_values(len(coordinates), value)

    def of_values(self, count: int, value: Callable[[int], np.ndarray]) -> np.ndarray:
        """Measures P perturbations, each of which replaces the whole variable. This works for every layer.

        For each perturbation the variable is assigned and the calls that depend on it are run; all other calls are
        run once.

        Args:
            count: P, the number of perturbations.
            value: a function from the number of a perturbation to the variable's value.

        Returns:
            (P,) float64: the mean loss with the perturbation minus the mean loss without it.
        """
        written = {i for call in self._affected for i in call.outputs}
        kept = {i for call in self._affected for i in call.inputs} - written
        size = self._chunk(sum(self._bytes.values()), self._budget, self._batch.samples)
        known, batch = self._known(kept), self._batch

        @compiled
        def change(tensors: dict[int, tf.Tensor], y: Any, before: tf.Tensor) -> tf.Tensor:
            after = batch.losses(y, run(self._affected, tensors))
            return tf.reduce_sum(tf.cast(after - before, tf.float64))

        sums = np.zeros(count)
        original = self._variable.numpy()
        with self._bar(count * -(-batch.samples // size)) as bar:
            for inputs, y in batch.chunks(size):
                tensors, before = known(inputs, y)
                try:
                    for p in range(count):
                        self._variable.assign(value(p))
                        sums[p] += change(tensors, y, before)
                        bar.update()
                finally:
                    self._variable.assign(original)
        return self._mean(sums)

    def _by_channel(self, route: ChannelRoute, coordinates: np.ndarray, values: np.ndarray) -> np.ndarray | None:
        """Does what `of_coordinates` does in the fast way; None if a kernel quantizer changes other channels too."""
        batch, count = self._batch, len(coordinates)
        front = [route.owner, *route.by_channel]
        channels_of = self._variable.shape[-1]
        # Bytes of a pair of sample and perturbation before the mixing call, of a row behind it, and of a sample. The
        # factors 3 and 2 allow for what the operations need beside their outputs.
        pair = 3 * sum(self._bytes[i] for call in front for i in call.outputs) / channels_of
        behind = [*([] if route.mixing is None else [route.mixing]), *route.tail]
        row = 2 * sum(self._bytes[i] for call in behind for i in call.outputs) + self._bytes[route.front]
        share = self._budget / 3
        sample = max(sum(self._bytes.values()), pair * min(_SIDE_BY_SIDE, count))
        samples = self._chunk(sample, share, batch.samples)
        side_by_side = self._chunk(pair * samples, share, count)
        rows_at_once = self._chunk(row, share, samples * side_by_side)

        known = self._known(route.kept)
        changed_rows = compiled(route.changed_rows)

        @compiled
        def changes(
            tensors: dict[int, tf.Tensor], y: Any, before: tf.Tensor, channels: Any, rows: Any, channel: Any
        ) -> tf.Tensor:
            s, p = tf.unstack(rows, axis=1)
            after = batch.losses(
                tf.nest.map_structure(lambda a: tf.gather(a, s), y),
                route.row_tensors(tensors, s, tf.gather(channels, p), channel),
            )
            difference = tf.cast(after - tf.gather(before, s), tf.float64)
            return tf.math.unsorted_segment_sum(difference, p, tf.size(channels))

        parts = []
        for start in range(0, count, side_by_side):
            part = slice(start, start + side_by_side)
            channels = coordinates[part] % channels_of
            columns = route.columns(coordinates[part], values[part])
            if columns is None:
                return None
            parts.append((part, tf.constant(channels), columns, route.norms(channels)))
        sums = np.zeros(count)
        with self._bar(count * -(-batch.samples // samples)) as bar:
            for inputs, y in batch.chunks(samples):
                tensors, before = known(inputs, y)
                for part, channels, columns, norms in parts:
                    rows, channel = changed_rows(tensors, channels, columns, norms)
                    for i in range(0, len(rows), rows_at_once):
                        j = i + rows_at_once
                        sums[part] += changes(tensors, y, before, channels, rows[i:j], channel[i:j])
                    bar.update(len(channels))
        return self._mean(sums)

    def _known(self, kept: set[int]) -> Callable[[list[tf.Tensor], Any], tuple[dict[int, tf.Tensor], tf.Tensor]]:
        """Makes a function from inputs and targets to the tensors `kept` and the losses, both without perturbation."""

        @compiled
        def known(inputs: list[tf.Tensor], y: Any) -> tuple[dict[int, tf.Tensor], tf.Tensor]:
            tensors = self._batch.tensors(inputs)
            return {i: tensors[i] for i in kept}, self._batch.losses(y, tensors)

        def checked(inputs: list[tf.Tensor], y: Any) -> tuple[dict[int, tf.Tensor], tf.Tensor]:
            tensors, losses = known(inputs, y)
            require_finite(losses, "without perturbation")
            return tensors, losses

        return checked

    def _chunk(self, size: float, budget: float, most: int) -> int:
        return max(1, min(most, int(budget // max(size, 1))))

    def _bar(self, total: int) -> tqdm:
        return tqdm(total=total, desc=self._variable.name, disable=not self._progress, delay=3, leave=False)

    def _mean(self, sums: np.ndarray) -> np.ndarray:
        require_finite(sums, f"with {self._variable.name!r} perturbed: try a smaller eps")
        return sums / self._batch.samples


def require_finite(losses: Any, when: str) -> None:
    """Raises an error unless all losses are finite; `when` says in which circumstances they were computed."""
    if not np.all(np.isfinite(losses)):
        raise ValueError(f"mismatch: the loss is not finite {when}.")
