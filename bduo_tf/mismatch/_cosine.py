"""Cosine similarity, and what it says of a variable of which only some coordinates, or directions, were measured."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Similarity", "cosine", "of_coordinates", "of_directions"]

_RESAMPLES = 2000


@dataclass(frozen=True)
class Similarity:
    """Cosine similarity of a discrete and the backward gradient of one variable.

    Attributes:
        variable: its name.
        cosine: the estimate; NaN where one of the gradients is zero.
        low: lower end of the confidence interval; `cosine` itself when every coordinate was measured.
        high: upper end.
        measured: coordinates, or pairs of evolution strategies' directions, measured.
        size: coordinates of the variable.
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
    product = aa * bb
    return np.where(product > 0, ab / np.sqrt(np.where(product > 0, product, 1)), np.nan)


def of_coordinates(
    discrete: np.ndarray, backward: np.ndarray, size: int, confidence: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Cosine of all `size` coordinates from a simple random sample of them, with its interval.

    The interval is the percentile bootstrap over the sampled coordinates, narrowed about the estimate by the
    finite-population factor sqrt(1 - sampled / size): nothing is left to chance when all are measured.

    Args:
        discrete: (sampled,)
        backward: (sampled,)
        size: coordinates there are.
        confidence: of the interval, between 0 and 1.
        rng: for the resampling.

    Returns:
        (cosine, low, high)
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
    """Cosine of the smoothed gradient g with b from K evolution-strategies directions, with its interval.

    The estimate of g is the mean of g_k = slope_k u_k, and far longer than g when K is below the number of
    coordinates. So neither its length nor its angle is used, but unbiased estimates of g . b and of g . g: the mean
    of g_k . b, and the mean of g_k . g_l over the pairs k != l. The interval is the percentile bootstrap over
    the directions, pairs of one direction with itself left out.

    Args:
        slopes: (K,), the central difference along each direction.
        along: (K,), u_k . b.
        overlaps: (K, K), u_k . u_l.
        norm: the length of b.
        confidence: of the interval, between 0 and 1.
        rng: for the resampling.

    Returns:
        (cosine, low, high); NaN where g . g is estimated as not positive: too few directions.
    """
    count = len(slopes)
    gram = slopes[:, None] * overlaps * slopes[None, :]
    np.fill_diagonal(gram, 0)

    def estimate(weights: np.ndarray) -> np.ndarray:
        """(R,) from (R, K), how often each direction was drawn."""
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
