"""What the file config.json of a run holds: its settings, and what they meant for the data set at hand."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bduo_tf.fitting import Fit
from bduo_tf.runs.settings import Settings
from bduo_tf.runs.values import restored

__all__ = ["FORMAT", "RunConfig"]

FORMAT = 2
"""Of the files that are written now. Those of the first format had `scheme` for `method`, and another `width`."""


@dataclass(frozen=True)
class RunConfig:
    """A run as it was started.

    Attributes:
        settings: what determines it.
        input_shape: (height, width, channels) of the network's input.
        class_names: the names of the classes in the order of their labels.
        fit: how pictures are brought to the size of the input.
        scaling: how pixels become the network's input, as in `bduo_tf.data.Dataset`.
        num_train: number of training images.
        num_test: number of images that are evaluated on.
        test_split: which images those are, as in `bduo_tf.data.Dataset`.
        stages: the names of the models that are trained, in order.
        format: `FORMAT`, or that of the program that wrote the file.
    """

    settings: Settings
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    fit: Fit
    scaling: str
    num_train: int
    num_test: int
    test_split: str
    stages: tuple[str, ...]
    format: int = FORMAT

    def as_json(self) -> dict[str, Any]:
        """The contents of the file."""
        values = {k: v for k, v in asdict(self).items() if k != "settings"}
        return {**self.settings.values(), **values}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "RunConfig":
        """The run that the contents of a file describe.

        Raises:
            ValueError: something is missing or of another type.
        """
        values = content if "format" in content else _from_first_format(content)
        fit = restored(Fit, values["fit"]) if isinstance(values.get("fit"), dict) else None
        return restored(cls, {**values, "settings": Settings.from_values(values), "fit": fit})


def _from_first_format(content: Mapping[str, Any]) -> dict[str, Any]:
    arguments = content.get("network_arguments")
    shape = arguments.get("input_shape") if isinstance(arguments, dict) else None
    moved = {"method": content.get("scheme"), "input_shape": shape, "format": 1}
    return {**content, **{name: value for name, value in moved.items() if value is not None}}
