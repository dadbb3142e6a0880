"""Where the bytes, the multiply-accumulates and the time of a .tflite file go, layer by layer."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bduo_tf.conversion.inspection import product_of
from bduo_tf.conversion.operators import Operator, batch_size, read_operators

__all__ = ["LayerCost", "layer_costs"]


@dataclass(frozen=True)
class LayerCost:
    """What a layer that multiplies costs, with the operators that follow it up to the next such layer.

    A max pool or a comparison with thresholds belongs to the convolution before it, as bduo_runtime runs them together.

    Attributes:
        name: the layer's name in the Keras model; where the file does not tell it, its operator's name and number.
            "input" stands for the operators before the first layer.
        bits: the bits of the activations that it multiplies, such as 1 or 32; 0 for "input".
        macs: its multiply-accumulates for one image.
        size: the bytes of its kernel, biases and thresholds in the file. A constant of several layers counts once.
        output: the shape of what its last operator writes.
        operators: the numbers of its operators in the file's order.
        milliseconds: how long it takes; None where that was not measured.
    """

    name: str
    bits: int
    macs: int
    size: int
    output: tuple[int, ...]
    operators: tuple[int, ...] = field(repr=False)
    milliseconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}

    def timed(self, milliseconds: Mapping[int, float]) -> "LayerCost":
        """The same with its time.

        Args:
            milliseconds: the time of each operator, by its number, where it was measured.
        """
        known = [milliseconds[i] for i in self.operators if i in milliseconds]
        return replace(self, milliseconds=sum(known)) if known else self


def layer_costs(file: bytes, names: Collection[str] = ()) -> tuple[LayerCost, ...]:
    """Counts what each layer of a file costs, in the order in which they run.

    Args:
        file: the content of a .tflite file.
        names: the names of the Keras model's layers, which are looked for in the names of the file's tensors.
    """
    operators = read_operators(file)
    batch, taken, counted = batch_size(file), set[str](), set[int]()
    costs = []
    for first, group in _groups(operators):
        product = product_of(group[0])
        name = "input"
        if product is not None:
            name = next(_named(group[0], set(names) - taken), f"{group[0].name} {first}")
            taken.add(name)
        stored = {t.buffer: t.stored for o in group for t in o.inputs if t is not None and t.buffer not in counted}
        counted.update(stored)
        costs.append(
            LayerCost(
                name=name,
                bits=product.bits if product else 0,
                macs=product.macs * group[0].times // batch if product else 0,
                size=sum(stored.values()),
                output=group[-1].outputs[0].shape if group[-1].outputs else (),
                operators=tuple(range(first, first + len(group))),
            )
        )
    return tuple(costs)


def _groups(operators: Sequence[Operator]) -> Iterator[tuple[int, Sequence[Operator]]]:
    """Cuts the operators before each one that multiplies: the number of the first of a part, and the part."""
    starts = [i for i, operator in enumerate(operators) if product_of(operator) is not None]
    starts = starts if starts[:1] == [0] or not operators else [0, *starts]
    for start, end in zip(starts, [*starts[1:], len(operators)], strict=True):
        yield start, operators[start:end]


def _named(operator: Operator, names: Collection[str]) -> Iterator[str]:
    """The layers' names among the parts of the names of an operator's tensors, the surest first.

    The converter joins the names of what it fuses, and may cut the result short. A kernel often has its layer's name.
    The output may have that of the batch norm behind it, and the signs that are read have that of their reader.
    """
    inputs = [t for t in operator.inputs if t is not None]
    for tensor in [*(t for t in inputs if t.constant), *operator.outputs, *(t for t in inputs if not t.constant)]:
        for path in tensor.name.split(";"):
            yield from (part for part in path.split("/") if part in names)
