"""The result of a conversion, for a person and as JSON."""

import json
from collections.abc import Mapping
from typing import Any

from convert.inspection import Cost
from convert.verification import Verification

__all__ = ["as_json", "as_text"]


def as_json(summary: dict[str, Any]) -> str:
    return json.dumps(summary, indent=2) + "\n"


def as_text(
    path: str,
    size: int,
    cost: Cost,
    verifications: Mapping[str, Verification],
    peers: Mapping[str, int],
    inputs: str,
    *,
    floats: Mapping[str, str],
    decoupled: bool,
) -> str:
    """The summary that `python -m convert` prints.

    Args:
        path: of the file, or what it would have been.
        size: of the file in bytes.
        cost: of the binary model.
        verifications: of the file, by the name of the interpreter.
        peers: size in bytes of each peer's file, by name.
        inputs: what it was verified on.
        floats: why layers with binary kernels stayed float, by name.
        decoupled: whether the model was decoupled on the way.
    """
    macs = ", ".join(f"{n:,} of {bits} bit" for bits, n in sorted(cost.macs.items()))
    counted = next(iter(verifications.values())).operators
    lines = [
        f"{path}: {size:,} bytes",
        f"  weights      {cost.weights:,}",
        f"  MACs         {macs}",
        "  operators    " + ", ".join(f"{n} {name}" for name, n in sorted(counted.items())),
    ]
    if decoupled:
        lines.append("  decoupled    here, and not fine-tuned: training what bduo_tf.decouple returns makes it better")
    lines += [f"  float, though its kernels are binary: {name}, {reason}" for name, reason in floats.items()]
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


def _difference(verb: str, found: Mapping[str, float]) -> str:
    sizes = f"{found['median']:.2g} (median image), {found['largest']:.2g} (largest)"
    return f"{verb} by {sizes}, their size being {found['scale']:.2g}"


def _comparison(v: Verification) -> list[str]:
    classes = v.agreement == "arg max"
    lines = [
        f"arg max    agrees on {v.agreeing} of {v.images}"
        if classes
        else f"outputs    agree on {v.agreeing} of {v.images}"
    ]
    for name, found in v.outputs.items():
        lines.append(f"{name:<10} agrees on {found['agreeing']}, " + _difference("differs", found))
    if not v.outputs:
        found = {"median": v.median_difference, "largest": v.largest_difference, "scale": v.logit_scale}
        lines.append(f"{'logits' if classes else 'values':<10} " + _difference("differ", found))
    if v.accuracy is not None and v.keras_accuracy is not None:
        lines.append(f"accuracy   {v.accuracy:.2%} (Keras: {v.keras_accuracy:.2%})")
    if v.flips:
        counts = ", ".join(f"{name} {flipped}/{total}" for name, (flipped, total) in v.flips.items())
        lines.append(f"flipped activations, {v.traced} images ({v.clean} without any): {counts}")
    for index, flips in v.disagreements.items():
        counts = ", ".join(f"{name} {flipped}" for name, (flipped, _) in flips.items() if flipped)
        what = "another arg max" if classes else "other outputs"
        lines.append(f"image {index}: {what}; activations that flipped: {counts or 'none'}")
    return lines + [f"FAILED: {problem}" for problem in v.problems]
