"""The result of a conversion, for a person and as JSON."""

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bduo_tf.conversion.inspection import Cost
from bduo_tf.conversion.layer_costs import LayerCost
from bduo_tf.conversion.timing import Timing
from bduo_tf.conversion.verification import Verification

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """What became of a model. `print(report)` shows it, a notebook shows the same text, and `plot` draws it.

    Attributes:
        title: what the file is called in the first line.
        size: the size of the file in bytes.
        cost: the weights and multiply-accumulates of the binary model.
        decoupled: whether the model was decoupled on the way.
        floats: why layers with binary kernels stayed float, by the layers' names.
        inputs: the names of the model's inputs.
        outputs: what kind of scores each output is, by the output's name; None where that is not known.
        verified_on: what the file was verified on, in words.
        verifications: what was found in each interpreter, by the interpreter's name.
        layers: what each layer of the file costs.
        timing: how long the file and its peers take on this machine; None where that was not measured.
        peers: the size in bytes of each float peer's file, by the peer's name.
    """

    title: str
    size: int
    cost: Cost
    decoupled: bool
    floats: Mapping[str, str]
    inputs: tuple[str, ...]
    outputs: Mapping[str, str | None]
    verified_on: str
    verifications: Mapping[str, Verification]
    layers: tuple[LayerCost, ...] = ()
    timing: Timing | None = None
    peers: Mapping[str, int] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """Why the file is not verified, one line for each reason; empty if it is."""
        return [f"{problem} ({name})" for name, v in self.verifications.items() for problem in v.problems]

    @property
    def verified(self) -> bool:
        """Whether the file computes in every interpreter what the model computes."""
        return not self.problems

    @property
    def flips(self) -> dict[str, tuple[int, int]]:
        """For each layer that reads binary activations how many flipped, and of how many; the most of any interpreter.

        A flipped activation falls on another side of its threshold in the file than in Keras.
        """
        found: dict[str, tuple[int, int]] = {}
        for verification in self.verifications.values():
            for name, flips in verification.flips.items():
                found[name] = max(flips, found.get(name, flips))
        return found

    def plot(self) -> "Figure":
        """Draws where bytes, multiply-accumulates and milliseconds go, and which activations flipped, layer by layer.

        Returns:
            A figure of matplotlib, which a notebook shows; `figure.savefig(path)` writes it.

        Raises:
            ConversionError: matplotlib is not installed.
        """
        from bduo_tf.conversion.plotting import draw

        return draw(self)

    def as_json(self) -> dict[str, Any]:
        return {
            "bytes": self.size,
            **self.cost.as_json(),
            "decoupled": self.decoupled,
            "float_layers": dict(self.floats),
            "inputs": list(self.inputs),
            "outputs": dict(self.outputs),
            "verified_on": self.verified_on,
            "verification": {name: v.as_json() for name, v in self.verifications.items()},
            "layers": [layer.as_json() for layer in self.layers],
            "timing": None if self.timing is None else self.timing.as_json(),
            "peers": {name: {"bytes": size, "trained": False} for name, size in self.peers.items()},
        }

    def __str__(self) -> str:
        macs = ", ".join(f"{n:,} of {bits} bit" for bits, n in sorted(self.cost.macs.items()))
        counted = next(iter(self.verifications.values())).operators
        lines = [
            f"{self.title}: {self.size:,} bytes",
            f"  weights      {self.cost.weights:,}",
            f"  MACs         {macs or 'none'}",
            "  operators    " + ", ".join(f"{n} {name}" for name, n in sorted(counted.items())),
        ]
        if self.decoupled:
            lines.append(
                "  decoupled    here, and not fine-tuned: training what bduo_tf.decouple returns makes it better"
            )
        lines += [f"  float, though its kernels are binary: {name}, {why}" for name, why in self.floats.items()]
        for name, size in self.peers.items():
            times = f"{size / self.size:.1f} times this file"
            lines.append(f"  {name:<12} {size:,} bytes, {times} (untrained, for size and speed)")
        for name, verification in self.verifications.items():
            lines.append(f"  {name} against Keras, on {self.verified_on}")
            lines += [f"    {line}" for line in _comparison(verification)]
        if "bduo_runtime" not in self.verifications:
            lines.append("  bduo_runtime is not installed (pip install ./runtime): not verified with it")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def _difference(verb: str, found: Mapping[str, float]) -> str:
    sizes = f"{found['median']:.2g} (median image), {found['largest']:.2g} (largest)"
    return f"{verb} by {sizes}, their size being {found['scale']:.2g}"


def _comparison(v: Verification) -> list[str]:
    """The lines on one interpreter."""
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
