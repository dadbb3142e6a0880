"""Cosine similarity, and its estimate with a confidence interval from some of the coordinates or directions."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Similarity", "cosine", "of_coordinates", "of_directions"]

_RESAMPLES = 2000


@dataclass(frozen=True)
class Similarity:
    """Cosine similarity of the gradient of the smoothed loss and the backward gradient of one variable.

    Attributes:
        variable: the name of the variable.
        cosine: the estimate; NaN where one of the gradients is zero.
        low: the lower end of the confidence interval; equal to `cosine` when every coordinate was measured.
        high: the upper end of the confidence interval, likewise.
        measured: how many coordinates were measured, or how many directions of evolution strategies.
        size: how many coordinates the variable has.
    """

    variable: str
    cosine: float
    low: float
    high: float
    measured: int
    size: int


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """The cosine of the angle between two vectors of any shape; NaN if one is zero."""
    a, b = np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms > 0 else float("nan")


def _ratio(ab: np.ndarray, aa: np.ndarray, bb: np.ndarray) -> np.ndarray:
    """The cosine from scalar products, element by element; NaN where a . a or b . b is not positive."""
    product = aa * bb
    return np.where(product > 0, ab / np.sqrt(np.where(product > 0, product, 1)), np.nan)


def of_coordinates(
    discrete: np.ndarray, backward: np.ndarray, size: int, confidence: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Estimates the cosine over all coordinates from a simple random sample of them.

    The interval is the percentile bootstrap over the sampled coordinates, narrowed about the estimate by the
    finite-population factor sqrt(1 - sampled / size), which is 0 when all are measured.

    Args:
        discrete: the sampled coordinates of the discrete gradient, (sampled,).
        backward: the same coordinates of the backward gradient, (sampled,).
        size: the number of all coordinates.
        confidence: the probability that the interval is to cover, between 0 and 1.
        rng: draws the samples of the bootstrap.

    Returns:
        The estimate, and the lower and upper end of its confidence interval.
    """
    estimate, sampled = cosine(discrete, backward), len(discrete)
    if sampled >= size or not np.isfinite(estimate):
        return estimate, estimate, estimate
    a, b = discrete.astype(np.float64), backward.astype(np.float64)
    counts = rng.multinomial(sampled, np.full(sampled, 1 / sampled), size=_RESAMPLES)
    resampled = _ratio(counts @ (a * b), counts @ (a * a), counts @ (b * b))
    low, high = np.nanquantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2]) - estimate
    factor = np.sqrt(1 - sampled / size)
    return estimate, float(estimate + factor * low), float(estimate + factor * high)


def of_directions(
    slopes: np.ndarray,
    along: np.ndarray,
    overlaps: np.ndarray,
    norm: float,
    confidence: float,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Estimates the cosine of the smoothed gradient g and the backward gradient b from K directions u_k.

    The estimate of g is the mean of g_k = slope_k u_k, which is far longer than g when K is less than the number of
    coordinates. Therefore neither its length nor its angle is used, but unbiased estimates of g . b and of g . g: the
    mean of g_k . b, and the mean of g_k . g_l over the pairs k != l. The interval is the percentile bootstrap over
    the directions, in which pairs of a direction with itself are left out.

    Args:
        slopes: (K,), the central difference of the loss along each direction.
        along: (K,), u_k . b.
        overlaps: (K, K), u_k . u_l.
        norm: the length of b.
        confidence: the probability that the interval is to cover, between 0 and 1.
        rng: draws the samples of the bootstrap.

    Returns:
        The estimate, and the lower and upper end of its confidence interval; all NaN if the estimate of g . g is not
        positive, which means that there are too few directions.
    """
    count = len(slopes)
    gram = slopes[:, None] * overlaps * slopes[None, :]
    np.fill_diagonal(gram, 0)

    def estimate(weights: np.ndarray) -> np.ndarray:
        """R estimates, (R,), from how often each direction was drawn in each of R samples, (R, K)."""
        gb = weights @ (slopes * along) / count
        pairs = count**2 - np.sum(weights**2, axis=1)
        gg = np.einsum("rk,rk->r", weights @ gram, weights) / pairs
        return _ratio(gb, gg, np.full(len(gb), norm**2))

    [value] = estimate(np.ones((1, count)))
    resampled = estimate(rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES).astype(np.float64))
    if not np.isfinite(value) or not np.isfinite(resampled).any():
        return float("nan"), float("nan"), float("nan")
    low, high = np.nanquantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(value), float(low), float(high)
