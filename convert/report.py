"""The result of a conversion, for a person and as JSON."""

import json
from typing import Any

from convert.inspection import Cost
from convert.verification import Verification

__all__ = ["as_json", "as_text"]


def as_json(summary: dict[str, Any]) -> str:
    return json.dumps(summary, indent=2) + "\n"


def as_text(
    path: str, size: int, cost: Cost, verifications: dict[str, Verification], peers: dict[str, int], inputs: str
) -> str:
    """The summary that `python -m convert` prints.

    Args:
        path: of the file, or what it would have been.
        size: of the file in bytes.
        cost: of the binary model.
        verifications: of the file, by the name of the interpreter.
        peers: size in bytes of each peer's file, by name.
        inputs: what it was verified on.
    """
    macs = ", ".join(f"{n:,} of {bits} bit" for bits, n in sorted(cost.macs.items()))
    counted = next(iter(verifications.values())).operators
    lines = [
        f"{path}: {size:,} bytes",
        f"  weights      {cost.weights:,}",
        f"  MACs         {macs}",
        "  operators    " + ", ".join(f"{n} {name}" for name, n in sorted(counted.items())),
    ]
    for name, peer_size in peers.items():
        lines.append(
            f"  {name:<12} {peer_size:,} bytes, {peer_size / size:.1f} times this file (untrained, for size and speed)"
        )
    for name, verification in verifications.items():
        lines.append(f"  {name} against Keras, on {inputs}")
        lines += [f"    {line}" for line in _comparison(verification)]
    if "bduo_runtime" not in verifications:
        lines.append("  bduo_runtime is not installed (pip install ./runtime): not verified with it")
    return "\n".join(lines)


def _comparison(v: Verification) -> list[str]:
    lines = [
        f"arg max    agrees on {v.agreeing} of {v.images}",
        f"logits     differ by {v.median_difference:.2g} (median image), {v.largest_difference:.2g} (largest), "
        f"their size being {v.logit_scale:.2g}",
    ]
    if v.accuracy is not None and v.keras_accuracy is not None:
        lines.append(f"accuracy   {v.accuracy:.2%} (Keras: {v.keras_accuracy:.2%})")
    if v.flips:
        counts = ", ".join(f"{name} {flipped}/{total}" for name, (flipped, total) in v.flips.items())
        lines.append(f"flipped activations, {v.traced} images ({v.clean} without any): {counts}")
    for index, flips in v.disagreements.items():
        counts = ", ".join(f"{name} {flipped}" for name, (flipped, _) in flips.items() if flipped)
        lines.append(f"image {index}: another arg max; activations that flipped: {counts or 'none'}")
    return lines + [f"FAILED: {problem}" for problem in v.problems]
