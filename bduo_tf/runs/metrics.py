"""What the file metrics.json of a run holds: how good each of its models is, and which one is to be deployed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath
from typing import Any

from bduo_tf.runs.values import restored

__all__ = ["Metrics", "ModelMetrics"]


@dataclass(frozen=True)
class ModelMetrics:
    """How good a model is on the test images.

    Attributes:
        accuracy: fraction of the images that are classified correctly.
        loss: mean cross-entropy, in nats.
        epochs: number of epochs that it was trained; None for a model that was made, not trained.
        seconds: duration of those epochs.
    """

    accuracy: float
    loss: float
    epochs: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Metrics:
    """The results of a run so far.

    Attributes:
        models: those of each model, by its name, in the order in which they were made.
        final: the name of the model to deploy; None while the run is not finished.
    """

    models: Mapping[str, ModelMetrics] = field(default_factory=dict)
    final: str | None = None

    def adding(self, name: str, metrics: ModelMetrics) -> "Metrics":
        """These results and those of one more model."""
        return replace(self, models={**self.models, name: metrics})

    def as_json(self) -> dict[str, Any]:
        """The contents of the file."""
        models = {name: {k: v for k, v in asdict(m).items() if v is not None} for name, m in self.models.items()}
        return models if self.final is None else {**models, "final": self.final}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Metrics":
        """The results that the contents of a file describe.

        Raises:
            ValueError: something is missing or of another type, or the final model would be a file elsewhere.
        """
        final = content.get("final")
        if final is not None and not (isinstance(final, str) and PurePath(final).name == final):
            raise ValueError(f"it names as final no file of that folder, but {final!r}")
        return cls({name: restored(ModelMetrics, m) for name, m in content.items() if isinstance(m, dict)}, final)
