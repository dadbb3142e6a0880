"""The folder of a run: where its files are, written so that a kill never leaves half of one."""

import csv
import datetime
import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

from bduo_tf.files import replacing
from bduo_tf.runs.config import FORMAT, RunConfig
from bduo_tf.runs.errors import RunError
from bduo_tf.runs.evaluation import Evaluation
from bduo_tf.runs.metrics import Metrics
from bduo_tf.runs.settings import Settings

__all__ = ["RunFolder"]

_PACKAGES = ("tensorflow", "tf-keras", "larq", "tensorflow-datasets", "numpy")
_IMAGES = ("class_names", "fit", "input_shape", "num_train", "num_test")  # what a run's configuration says of them


class RunFolder:
    """Paths, JSON files and epoch tables of one run.

    Args:
        path: the folder; `prepare` makes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def model(self, name: str) -> Path:
        """The file of the model `name`, such as "coupled"."""
        return self.path / f"{name}.keras"

    def history(self, stage: str) -> Path:
        """The table of a stage's epochs."""
        return self.path / f"history-{stage}.csv"

    @property
    def backups(self) -> Path:
        """The folder of the checkpoints of all stages, which is removed once the run is finished."""
        return self.path / "backup"

    def backup(self, stage: str) -> Path:
        """The folder of the checkpoint that an unfinished stage continues from."""
        return self.backups / stage

    @property
    def initial(self) -> Path:
        """The file of the model that the first stage starts from, if it starts from the weights of another run.

        Once it is there, the other run is not needed any more.
        """
        return self.backups / "initial.keras"

    def tensorboard(self, stage: str) -> Path:
        """The folder of a stage's TensorBoard logs."""
        return self.path / "tensorboard" / stage

    @property
    def curves(self) -> Path:
        """The picture of accuracy and loss over the epochs."""
        return self.path / "curves.png"

    @property
    def page(self) -> Path:
        """The report: one page of HTML that shows the run, and what was converted of it."""
        return self.path / "report.html"

    @property
    def _evaluation(self) -> Path:
        return self.path / "evaluation.npz"

    @property
    def _config(self) -> Path:
        return self.path / "config.json"

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.json"

    def config(self) -> RunConfig:
        """The run as it was started.

        Raises:
            RunError: this is not the folder of a run, or its file cannot be read.
        """
        if (content := _read(self._config)) is None:
            raise RunError(f"{self.path} is not the folder of a training run: it has no {self._config.name}.")
        try:
            return RunConfig.from_json(content)
        except ValueError as e:
            raise RunError(f"{self._config} cannot be read: {e}.") from e

    def write_config(self, config: RunConfig) -> None:
        """Record the run as it is started, and the packages that it is trained with.

        Raises:
            RunError: the folder holds the same run, on images that are not these.
        """
        if self._config.exists():
            held = self.config()
            if any(getattr(held, name) != getattr(config, name) for name in _IMAGES):
                raise RunError(
                    f"{config.settings.dataset} has changed since the run in {self.path} began. It had "
                    f"{held.num_train} training and {held.num_test} test images of {len(held.class_names)} classes, "
                    f"and has {config.num_train} and {config.num_test} of {len(config.class_names)} now, or they are "
                    "of other classes or sizes: choose another --run.",
                    setting="dataset",
                )
        _write(self._config, config.as_json())
        _write(
            self.path / "versions.json",
            {
                "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                "python": platform.python_version(),
                "platform": platform.platform(),
                "cpus": os.cpu_count(),
                **{name: importlib.metadata.version(name) for name in _PACKAGES},
            },
        )

    def metrics(self) -> Metrics:
        """The results so far.

        Raises:
            RunError: their file cannot be read.
        """
        try:
            return Metrics.from_json(_read(self._metrics) or {})
        except RunError:
            raise
        except ValueError as e:
            raise RunError(f"{self._metrics} cannot be read: {e}.") from e

    def write_metrics(self, metrics: Metrics) -> None:
        """Record the results so far."""
        _write(self._metrics, metrics.as_json())

    def evaluation(self) -> Evaluation | None:
        """What the final model does to the images that it is evaluated on; None if that is missing or damaged."""
        try:
            return Evaluation.load(self._evaluation)
        except (OSError, ValueError):
            return None

    def write_evaluation(self, evaluation: Evaluation) -> None:
        """Record what the final model does to the images that it is evaluated on."""
        with replacing(self._evaluation) as temporary:
            evaluation.save(temporary)

    def final(self) -> Path:
        """The file of the model to deploy.

        Raises:
            RunError: the run is not finished.
        """
        final = self.metrics().final
        if final is None or not self.model(final).is_file():
            raise RunError(
                f"The run in {self.path} is not finished. Repeat its training command: it continues where it was."
            )
        return self.model(final)

    def prepare(self, settings: Settings) -> None:
        """Make the folder, or accept one that a run of the same settings left.

        Raises:
            RunError: it cannot be written, or belongs to another run.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path) as probe:
                probe.write(b"probe")
        except OSError as e:
            raise RunError(f"{self.path} cannot be written: {e.strerror}.") from e
        if not self._config.exists():
            if self._metrics.exists() or any(self.path.glob("*.keras")):
                raise RunError(f"{self.path} has results but no {self._config.name}; choose another folder.")
            return
        config = self.config()
        if config.format != FORMAT:
            raise RunError(
                f"{self.path} holds a run of an earlier version, to which --width meant other channels: "
                "choose another folder."
            )
        held = config.settings.values()
        for name, value in settings.values().items():
            if held[name] != value:
                raise RunError(
                    f"{self.path} holds a run with {_shown(held[name])}, not {_shown(value)}: "
                    "choose another --run, or remove that folder.",
                    setting=name,
                )

    def require_space(self, size: int) -> None:
        """Raises RunError unless `size` bytes are free."""
        free = shutil.disk_usage(self.path).free
        if free < size:
            raise RunError(f"{self.path} has {free / 2**20:.0f} MB free, but the run may write {size / 2**20:.0f} MB.")

    def epochs(self, stage: str) -> list[dict[str, float]]:
        """The rows of a stage's table so far."""
        try:
            with self.history(stage).open(newline="") as file:
                # A kill can cut the last row short.
                return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file) if all(row.values())]
        except FileNotFoundError:
            return []

    def trim_epochs(self, stage: str, count: int) -> None:
        """Drop the rows of the epochs from `count` on, which a resumed stage does again."""
        rows = [row for row in self.epochs(stage) if row["epoch"] < count]
        if not rows:
            self.history(stage).unlink(missing_ok=True)
            return
        with replacing(self.history(stage)) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows({**row, "epoch": int(row["epoch"])} for row in rows)


def _read(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if there is no such file."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as e:
        raise RunError(f"{path} is not JSON ({e}): this is not the folder of a run, or it is damaged.") from e
    except OSError as e:
        raise RunError(f"{path} cannot be read: {e.strerror}.") from e
    if not isinstance(content, dict):
        raise RunError(f"{path} cannot be read: it holds no JSON object.")
    return content


def _write(path: Path, value: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def _shown(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
