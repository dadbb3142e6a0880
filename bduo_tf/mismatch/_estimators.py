"""Estimates the gradient of the smoothed loss, takes that of the backward pass, and compares the two."""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from bduo_tf.backend import keras, tf
from bduo_tf.mismatch._changes import Batch, LossChanges, compiled, require_finite
from bduo_tf.mismatch._cosine import Similarity, of_coordinates, of_directions

__all__ = ["backward_gradients", "discrete_gradient", "evolution_gradient", "similarities"]


def backward_gradients(
    model: keras.Model, loss: Any, x: Any, y: Any, variables: Iterable[Any], *, memory_mb: float = 256
) -> list[np.ndarray]:
    """The gradient of the mean loss as the backward pass computes it, through the straight-through estimators.

    Args:
        model, loss, x, y, memory_mb: as for `discrete_gradient`.
        variables: variables of the model.

    Returns:
        For each variable a float64 array of its shape; zeros where the loss does not depend on the variable.

    Raises:
        ValueError: a variable is not in the model, or the loss is not finite.
    """
    batch = Batch(model, loss, x, y)
    found = [batch.variable(v) for v in variables]
    return _backward(batch, found, memory_mb)


def _backward(batch: Batch, variables: list[Any], memory_mb: float) -> list[np.ndarray]:
    @compiled
    def gradients(inputs: list[tf.Tensor], y: Any) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            # The tape would not watch variables that are not trainable.
            tape.watch(variables)
            losses = batch.losses(y, batch.tensors(inputs))
            total = tf.reduce_sum(losses)
        return losses, tape.gradient(total, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    # The tape keeps all tensors, and their gradients need as much again; the factor 4 leaves room for temporary ones.
    size = max(1, int(memory_mb * 2**20 // (4 * sum(batch.sample_bytes().values()))))
    sums = [np.zeros(v.shape) for v in variables]
    for inputs, y in batch.chunks(size):
        losses, parts = gradients(inputs, y)
        require_finite(losses, "without perturbation")
        for total, part in zip(sums, parts, strict=True):
            total += tf.convert_to_tensor(part).numpy()
    return [total / batch.samples for total in sums]


def discrete_gradient(
    model: keras.Model,
    loss: Any,
    x: Any,
    y: Any,
    variable: Any,
    *,
    eps: float,
    coordinates: Any = None,
    memory_mb: float = 256,
    progress: bool = False,
) -> np.ndarray:
    r"""The coordinate discrete gradient (CDG) of a variable, through the true quantized forward pass.

    \\[
    g_i = \frac{L(w + \epsilon e_i) - L(w - \epsilon e_i)}{2 \epsilon}
    = \frac{\partial}{\partial w_i} \mathbb{E}_{z \sim U(-1, 1)} L(w + \epsilon z e_i)
    \\]

    It is the gradient of the mean loss L of a fixed batch, smoothed along each coordinate. Many perturbations
    are evaluated at once, and each only as far as it changes anything: see `bduo_tf.mismatch`.

    Args:
        model: a functional or sequential model, or any other built Keras model. It is run in inference mode:
            batch normalization frozen, dropout off.
        loss: a Keras loss, its name, or a function of (targets, predictions) that returns a loss for each
            sample.
        x: array (samples, ...), or several nested as the model's inputs.
        y: array (samples, ...), or several nested as the loss takes them.
        variable: a variable of the model. While this runs it may hold other values; in the end it has its own.
        eps: the step.
        coordinates: flat indices into the variable; None stands for all.
        memory_mb: a bound, in MiB, of the tensors that are alive at once, kept by taking samples and
            perturbations in chunks.
        progress: whether to show a progress bar if it takes more than a few seconds.

    Returns:
        (coordinates,) float64; if no coordinates were given, an array of the variable's shape.

    Raises:
        ValueError: the variable is not in the model; eps is not positive or vanishes beside the variable's
            values; a coordinate is out of range; the loss is not finite.

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020, section 3 (arXiv 2002.06517).
    """
    batch = Batch(model, loss, x, y)
    found = batch.variable(variable)
    size = found.shape.num_elements()
    chosen = np.arange(size) if coordinates is None else np.asarray(coordinates, np.int64).ravel()
    if len(chosen) and not (chosen.min() >= 0 and chosen.max() < size):
        raise ValueError(f"mismatch: coordinates of {found.name!r} must be from 0 to {size - 1}.")
    gradient = _discrete(LossChanges(batch, found, memory_mb, progress), found, chosen, eps)
    return gradient.reshape(found.shape) if coordinates is None else gradient


def _discrete(changes: LossChanges, variable: Any, coordinates: np.ndarray, eps: float) -> np.ndarray:
    """The central difference for a step of `eps` in each coordinate, (coordinates,)."""
    values = variable.numpy().ravel()[coordinates]
    upper, lower = (values + np.asarray(s * _positive("eps", eps), values.dtype) for s in (1, -1))
    if np.any((upper == values) | (lower == values)):
        raise ValueError(
            f"mismatch: eps {eps:g} vanishes beside the values of {variable.name!r} (up to {np.abs(values).max():.3g}) "
            f"in {values.dtype}; take a larger eps."
        )
    # The two perturbations of a coordinate are neighbours, so that what they share is computed in one chunk.
    measured = changes.of_coordinates(np.repeat(coordinates, 2), np.stack([upper, lower], axis=1).ravel())
    # Since w + eps is rounded, the step that was taken is not quite the one that was asked for.
    step = upper.astype(np.float64) - lower.astype(np.float64)
    return (measured[0::2] - measured[1::2]) / step


def evolution_gradient(
    model: keras.Model,
    loss: Any,
    x: Any,
    y: Any,
    variable: Any,
    *,
    sigma: float,
    directions: int = 256,
    seed: int = 0,
    memory_mb: float = 256,
    progress: bool = False,
) -> np.ndarray:
    r"""The evolution-strategies estimate of the gradient of the loss smoothed by a Gaussian.

    \\[
    \hat g = \frac{1}{K} \sum_{k=1}^K \frac{L(w + \sigma u_k) - L(w - \sigma u_k)}{2 \sigma} u_k, \quad
    u_k \sim N(0, I), \qquad \mathbb{E} \hat g = \nabla_w \mathbb{E}_{u \sim N(0, I)} L(w + \sigma u)
    \\]

    Cheaper than the coordinate discrete gradient (2 K evaluations of the loss, whatever the size), and noisier:
    with fewer directions than coordinates most of its length is noise. `similarities` allows for that.

    Args:
        model, loss, x, y, variable, memory_mb, progress: as for `discrete_gradient`.
        sigma: the standard deviation of the Gaussian.
        directions: K, the number of directions, each of which is taken forwards and backwards.
        seed: the seed from which the directions are drawn.

    Returns:
        A float64 array of the variable's shape.

    Raises:
        ValueError: the variable is not in the model; sigma is not positive or vanishes beside the variable's
            values; the loss is not finite.

    Reference:
        Salimans et al., "Evolution Strategies as a Scalable Alternative to Reinforcement Learning", 2017,
        section 2; used for the mismatch by Kim et al., "BinaryDuo", ICLR 2020, section 3.
    """
    batch = Batch(model, loss, x, y)
    found = batch.variable(variable)
    slopes = _slopes(LossChanges(batch, found, memory_mb, progress), found, sigma, directions, seed)
    return sum(s * _direction(found, seed, k) for k, s in enumerate(slopes)) / directions


def _direction(variable: Any, seed: int, k: int) -> np.ndarray:
    """The direction u_k. It is drawn anew whenever it is needed: many of a large variable would not fit the memory."""
    return np.random.default_rng([seed, k]).normal(size=variable.shape)


def _slopes(changes: LossChanges, variable: Any, sigma: float, directions: int, seed: int) -> np.ndarray:
    """The central difference for a step of `sigma` along each direction, (directions,)."""
    if directions < 2:
        raise ValueError(f"mismatch: directions must be at least 2, not {directions}.")
    before = variable.numpy()
    # A step of typical size must not vanish; the small components of a direction may.
    if np.any(before + np.asarray(_positive("sigma", sigma), before.dtype) == before):
        raise ValueError(
            f"mismatch: sigma {sigma:g} vanishes beside the values of {variable.name!r}; take a larger one."
        )

    def value(p: int) -> np.ndarray:
        return (before + (-1) ** p * sigma * _direction(variable, seed, p // 2)).astype(before.dtype)

    measured = changes.of_values(2 * directions, value)
    return (measured[0::2] - measured[1::2]) / (2 * sigma)


def similarities(
    model: keras.Model,
    loss: Any,
    x: Any,
    y: Any,
    variables: Iterable[Any] | None = None,
    *,
    eps: float = 0.1,
    method: Literal["coordinates", "evolution"] = "coordinates",
    count: int | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    memory_mb: float = 256,
    progress: bool = False,
) -> list[Similarity]:
    """Measures the cosine similarity of the backward pass and the gradient of the smoothed loss for each variable.

    Args:
        model, loss, x, y, memory_mb, progress: as for `discrete_gradient`.
        variables: variables of the model; None stands for its trainable kernels, that is all trainable variables
            of rank 2 or more.
        eps: the step of the coordinate discrete gradient, or the standard deviation of evolution strategies.
        method: "coordinates" (the coordinate discrete gradient) or "evolution" (evolution strategies).
        count: how many coordinates of each variable to draw at random and measure (None: all), or how many
            directions of evolution strategies (None: 256).
        confidence: the probability that the intervals are to cover. They are bootstraps over the sampled coordinates
            or over the directions.
        seed: the seed from which coordinates, directions and bootstraps are drawn. The batch is fixed: the intervals
            say nothing about other samples.

    Returns:
        A similarity for each variable, in the order of `variables`.

    Raises:
        ValueError: as for `discrete_gradient`, or an option has no such value.

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020, section 3.
    """
    if method not in ("coordinates", "evolution"):
        raise ValueError(f"mismatch: unknown method {method!r}; known: coordinates, evolution.")
    if not 0 < confidence < 1:
        raise ValueError(f"mismatch: confidence must be between 0 and 1, not {confidence}.")
    if count is not None and count < 2:
        raise ValueError(f"mismatch: count must be at least 2, not {count}.")
    batch = Batch(model, loss, x, y)
    if variables is None:
        variables = [v for v in model.trainable_variables if len(v.shape) > 1]
    found = [batch.variable(v) for v in variables]
    results = []
    for i, (variable, backward) in enumerate(zip(found, _backward(batch, found, memory_mb), strict=True)):
        size = backward.size
        rng = np.random.default_rng([seed, i])
        changes = LossChanges(batch, variable, memory_mb, progress)
        if method == "evolution":
            measured = count or 256
            slopes = _slopes(changes, variable, eps, measured, seed)
            drawn = np.stack([_direction(variable, seed, k).ravel() for k in range(measured)])
            b = backward.ravel()
            interval = of_directions(slopes, drawn @ b, drawn @ drawn.T, float(np.linalg.norm(b)), confidence, rng)
        else:
            measured = size if count is None else min(count, size)
            chosen = np.sort(rng.choice(size, measured, replace=False))
            discrete = _discrete(changes, variable, chosen, eps)
            interval = of_coordinates(discrete, backward.ravel()[chosen], size, confidence, rng)
        results.append(Similarity(variable.name, *interval, measured, size))
    return results


def _positive(option: str, value: float) -> float:
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"mismatch: {option} must be positive, not {value}.")
    return value
