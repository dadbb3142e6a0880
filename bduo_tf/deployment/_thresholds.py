"""Folds scale, offset and level of a binary activation into float32 thresholds on the tensor it is computed from."""

import numpy as np

__all__ = ["least_on", "thresholds"]

_TINY = np.finfo(np.float32).tiny  # the least positive number that is not subnormal; runtimes may flush those to zero


def thresholds(
    scale: np.ndarray,
    offset: np.ndarray,
    *,
    level: float = 0.5,
    strict: bool = False,
    terms: int | None = None,
    spacing: int = 2,
) -> tuple[np.ndarray, np.ndarray]:
    """Finds thresholds on x for the activation that is on where scale * x + offset reaches `level`.

    Args:
        scale: float64, (channels, copies); all copies of a channel have the same scale.
        offset: float64, (channels, copies).
        level: the threshold on scale * x + offset.
        strict: whether the level must be exceeded, or equality suffices.
        terms: set where x is a sum of that many numbers +1 and -1, hence an integer of at most that size.
        spacing: the distance between the integers that x can be: 2 where each sum has all its terms, 1 where some
            terms may be 0.

    Returns:
        orientation, +1 or -1, (channels,), and tau, float32 (channels, copies). The activation is on exactly where
        orientation * x > tau. Where x is an integer, the two are never equal.
    """
    # The copies of a channel differ in their offsets only, so that one orientation serves them all.
    orientation = np.where(scale[:, 0] < 0, -1.0, 1.0)
    size = np.abs(scale)
    on = np.greater if strict else np.greater_equal
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        switch = (level - offset) / size  # on where orientation * x >= switch (strict: > switch)
    if terms is not None:
        k, s = terms, spacing
        switch = np.where(size > 0, np.clip(switch, -k - s, k + s), 0.0)
        first = -k + s * np.ceil((switch + k) / s)  # the first reachable integer that is on
        # The division was rounded, so that a neighbouring integer may be the first: the condition itself decides.
        first = np.where(on(size * (first - s) + offset, level), first - s, first)
        first = np.where(on(size * first + offset, level), first, first + s)
        first = np.where(size > 0, first, np.where(on(offset, level), -k, k + s))
        return orientation, (np.clip(first, -k, k + s) - s / 2).astype(np.float32)
    always, never = -1e30, 1e30
    switch = np.where(size > 0, switch, np.where(on(offset, level), always, never))
    switch = np.clip(switch, always, never)
    rounded = switch.astype(np.float32)
    first = np.where(on(rounded, switch), rounded, np.nextafter(rounded, np.float32(np.inf)))
    tau = np.nextafter(first, np.float32(-np.inf))
    return orientation, np.where(np.abs(tau) < _TINY, np.where(first > 0, 0, -_TINY), tau).astype(np.float32)


def least_on(tau: np.ndarray) -> np.ndarray:
    """The least float32 above each threshold, subnormal numbers left out."""
    above = np.nextafter(tau, np.float32(np.inf))
    return np.where(np.abs(above) < _TINY, np.where(tau < 0, 0, _TINY), above).astype(np.float32)
