"""Trainings by the stages of `python -m train`, several at a time, each in a temporary run folder."""

import functools
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bduo_tf import data
from bduo_tf.backend import keras
from bduo_tf.runs import Metrics, RunFolder, Settings
from bduo_tf.training.methods import stages
from bduo_tf.training.stages import Training, be_deterministic, run_stages
from benchmarks.accuracy.rows import Row, read_rows, write_rows
from benchmarks.accuracy.selection import by_first_stage, rates

__all__ = ["train", "train_all"]


def train(trials: Sequence[Settings], data_dir: str | None, folder: Path) -> list[Row]:
    """Train and evaluate trials that have their first stage in common; a minute or more for each.

    Args:
        trials: a group of `by_first_stage`.
        data_dir: the folder of the data set.
        folder: an empty one, in which each trial has a run folder named by its number.
    """
    rows: list[Row] = []
    shared = trials[0]  # The first stage depends on the data set and the seed, so that all trials have these alike.
    first = stages(shared)[0].name
    be_deterministic(shared.seed)
    dataset = data.load(shared.dataset, shared.recipe.image_size, data_dir, validation=shared.validation)
    for number, settings in enumerate(trials):
        run = RunFolder(folder / str(number))
        run.path.mkdir()
        if number:
            _share(RunFolder(folder / "0"), run, first)
        models = run_stages(Training(settings, dataset, run, quiet=True)).models
        rows.append(
            Row(
                settings,
                accuracy=round(100 * models[stages(settings)[-1].name].accuracy, 2),
                first_accuracy=round(100 * models[first].accuracy, 2),
                parameters=_kernel_weights(run.final()),
                seconds=round(sum(model.seconds or 0.0 for model in models.values()), 1),
            )
        )
    return rows


def _share(run: RunFolder, other: RunFolder, first: str) -> None:
    """Give another run what the first stage of a run left, and the decoupled network if there is one."""
    models = {name: metrics for name, metrics in run.metrics().models.items() if name in (first, "decoupled")}
    for name in models:
        shutil.copy(run.model(name), other.model(name))
    shutil.copy(run.history(first), other.history(first))
    other.write_metrics(Metrics(models))


def _kernel_weights(file: Path) -> int:
    model = keras.models.load_model(file, compile=False)
    return sum(int(np.prod(w.shape)) for w in model.weights if "kernel" in w.name)


def train_all(trials: Sequence[Settings], data_dir: str | None, file: Path, jobs: int) -> None:
    """Train the trials that have no row in a file yet, and add their rows as they are done.

    Args:
        trials: what there is to be a row for.
        data_dir: the folder of the data set.
        file: of rows; it may be missing.
        jobs: number of trainings at a time.
    """
    done = {row.settings for row in read_rows(file)}
    missing = [settings for settings in trials if settings not in done]
    print(f"{len(trials)} trainings, {len(missing)} of them still to do, {jobs} at a time", flush=True)
    # A process each, so that none inherits another's memory or random state; one thread each is the fastest in sum.
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=1) as pool:
        for new in pool.imap_unordered(functools.partial(_train, data_dir=data_dir), by_first_stage(missing)):
            write_rows(file, [*read_rows(file), *new])
            for row in new:
                t = row.settings
                shown = " / ".join(f"{rate:g}" for rate in rates(t))
                split = "validation" if t.validation else "test"
                print(
                    f"{t.method:24} seed {t.seed}  {split:10} {shown:14} {row.accuracy:.2f}  {row.seconds:.0f} s",
                    flush=True,
                )


def _train(trials: Sequence[Settings], data_dir: str | None) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return train(trials, data_dir, Path(folder))
