"""The folder a run writes to: its files, written so that a kill never leaves half of one."""

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
from bduo_tf.training.errors import OptionError

__all__ = ["RunFolder"]


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

    def backup(self, stage: str) -> Path:
        """The folder of the checkpoint that an unfinished stage continues from."""
        return self.path / "backup" / stage

    def tensorboard(self, stage: str) -> Path:
        """The folder of a stage's TensorBoard logs."""
        return self.path / "tensorboard" / stage

    def prepare(self, options: dict[str, Any]) -> None:
        """Make the folder, or accept one that a run with the same `options` left.

        Raises:
            OptionError: it cannot be written, or belongs to another run.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path) as probe:
                probe.write(b"probe")
        except OSError as e:
            raise OptionError("--run", f"{self.path} cannot be written: {e.strerror}.") from e
        config = self.read("config.json")
        if config is None:
            if self.model("coupled").exists() or (self.path / "metrics.json").exists():
                raise OptionError("--run", f"{self.path} has results but no config.json; choose another folder.")
            return
        for name, value in options.items():
            if config.get(name) != value:
                option = name if name == "network" else "--" + name.replace("_", "-")
                raise OptionError(
                    option,
                    f"{self.path} holds a run with {_shown(config.get(name))}, not {_shown(value)}: "
                    "choose another --run, or remove that folder.",
                )

    def require_space(self, size: int) -> None:
        """Raises OptionError unless `size` bytes are free."""
        free = shutil.disk_usage(self.path).free
        if free < size:
            raise OptionError(
                "--run", f"{self.path} has {free / 2**20:.0f} MB free, but the run may write {size / 2**20:.0f} MB."
            )

    def read(self, name: str) -> Any:
        """The value in a JSON file, None if there is no such file."""
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        except ValueError as e:
            raise OptionError("--run", f"{self.path / name} is not JSON ({e}): choose another folder.") from e

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file."""
        with replacing(self.path / name) as temporary:
            temporary.write_text(json.dumps(value, indent=2) + "\n")

    def write_versions(self) -> None:
        """Record what the run was made with."""
        packages = ("tensorflow", "tf-keras", "larq", "tensorflow-datasets", "numpy")
        self.write(
            "versions.json",
            {
                "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                "python": platform.python_version(),
                "platform": platform.platform(),
                "cpus": os.cpu_count(),
                **{name: importlib.metadata.version(name) for name in packages},
            },
        )

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


def _shown(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
