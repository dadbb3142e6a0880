"""The stages of a run over `model.fit`: each starts from the file of the one before and leaves its own."""

import functools
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bduo_tf import data, decouple
from bduo_tf.backend import keras, tf
from bduo_tf.files import replacing
from bduo_tf.runs import Metrics, ModelMetrics, RunFolder, Settings
from bduo_tf.training.building import network
from bduo_tf.training.callbacks import EpochRecord, SeedEpochs
from bduo_tf.training.distribution import ALONE, Distribution
from bduo_tf.training.initial import Donor
from bduo_tf.training.methods import METHODS, Stage, stages
from bduo_tf.training.optimization import compile_model, optimizer
from bduo_tf.training.statistics import estimate_norms
from bduo_tf.training.transfer import softened

__all__ = [
    "Training",
    "be_deterministic",
    "begin_from",
    "disk_estimate",
    "run_stages",
    "saved_epochs",
    "train_stage",
]

_NORM_BATCH = 256


def be_deterministic(seed: int) -> None:
    """What a stage draws and adds up is then the same in every process on this machine."""
    keras.backend.experimental.enable_tf_random_generator()
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)


@dataclass(frozen=True)
class Training:
    """What all stages of a run share.

    Attributes:
        settings: of the run.
        dataset: at the size of the network.
        run: the folder to write to. Of several workers only the chief writes. The others read its files at the start
            of every stage, so that the folder must be one that all of them see.
        distribution: where it is trained.
        quiet: whether nothing is printed.
    """

    settings: Settings
    dataset: data.Dataset
    run: RunFolder
    distribution: Distribution = ALONE
    quiet: bool = False

    def say(self, text: str) -> None:
        """Print a line, once for all workers."""
        if not self.quiet:
            self.distribution.say(text)

    def load(self, name: str) -> keras.Model:
        """A model that is finished, uncompiled."""
        return keras.models.load_model(self.run.model(name), compile=False)

    def load_initial(self) -> keras.Model:
        """The model that the first stage starts from if that has weights of another run, uncompiled."""
        return keras.models.load_model(self.run.initial, compile=False)

    def train_batches(self, stage: Stage, start_epoch: int) -> Any:
        """The images of a stage from an epoch on, in batches that all workers share."""
        return self.distribution.batches(
            lambda share: data.train_batches(
                self.dataset,
                self.settings.recipe.batch_size,
                seed=self.settings.seed,
                epochs=stage.epochs,
                start_epoch=start_epoch,
                augmentation=self.settings.recipe.augmentation,
                share=share,
            )
        )

    def test_batches(self) -> Any:
        """The images to evaluate on, in batches that all workers share."""
        size = self.settings.recipe.batch_size
        return self.distribution.batches(lambda share: data.test_batches(self.dataset, size, share))

    @property
    def test_steps(self) -> int:
        """Number of those batches."""
        return data.test_steps(self.dataset, self.settings.recipe.batch_size)


def run_stages(training: Training) -> Metrics:
    """Train what of the run is not yet trained.

    Args:
        training: the run. If it is to start from the weights of another, `begin_from` has been called.

    Returns:
        How good each model is; and the one to deploy.

    Raises:
        DivergenceError: a loss is not finite; the last good epoch stays backed up.
    """
    settings, run = training.settings, training.run
    first, *rest = stages(settings)
    if settings.init is None:
        start = network(settings, training.dataset.input_shape, len(training.dataset.class_names))
    else:
        training.distribution.wait()  # until the chief has written that file
        start = training.load_initial
    train_stage(training, first, start)
    last = first.name
    if METHODS[settings.method].decoupled == "between":
        _decouple(training, last)
        last = "decoupled"
    for stage in rest:
        train_stage(training, stage, functools.partial(training.load, last))
        last = stage.name
    metrics = run.metrics()
    if training.distribution.chief:
        shutil.rmtree(run.backups, ignore_errors=True)
        metrics = Metrics(metrics.models, final=last)
        run.write_metrics(metrics)
    return metrics


def begin_from(training: Training, donor: Donor, model: keras.Model) -> None:
    """Give a new model the weights of another run's, and keep it as what the first stage starts from.

    Args:
        training: the run.
        donor: the other model.
        model: the network of the first stage; it is changed.
    """
    training.say(donor.give(model, training.dataset.class_names))
    if training.distribution.chief:
        training.run.initial.parent.mkdir(exist_ok=True)
        with replacing(training.run.initial) as temporary:
            model.save(temporary)


def saved_epochs(backup: Path) -> int:
    """Number of epochs of an unfinished stage that its backup holds."""
    checkpoint = tf.train.latest_checkpoint(backup / "chief")
    if checkpoint is None:
        return 0
    return int(tf.train.load_variable(checkpoint, "ckpt_saved_epoch/.ATTRIBUTES/VARIABLE_VALUE")) + 1


def disk_estimate(model: keras.Model) -> int:
    """Bytes that a run which starts from `model` may write."""
    # The decoupled network has about twice the parameters. Two checkpoints of it while one replaces the
    # other, each with the optimizer's two moments; three model files and one being written; and logs.
    return 2 * model.count_params() * 4 * (2 * 3 + 4) + 16 * 2**20


def train_stage(training: Training, stage: Stage, start: Callable[[], keras.Model]) -> None:
    """One `model.fit` of the model that `start` returns, unless its file is there; continues one that was killed.

    Writes the model's file, its metrics, and the table and logs of its epochs.
    """
    settings, dataset, run, distribution = training.settings, training.dataset, training.run, training.distribution
    recipe = settings.recipe
    if run.model(stage.name).exists():
        return
    # Each stage alone: one that starts in a new process draws what it would have drawn.
    keras.utils.set_random_seed(settings.seed)
    model = start()
    steps = data.steps_per_epoch(dataset, recipe.batch_size)
    done = saved_epochs(run.backup(stage.name))
    batches, test, loss = training.train_batches(stage, done), training.test_batches(), None
    if stage.teacher is not None:
        teacher = training.load(stage.teacher)
        batches, test = softened(batches, teacher, recipe.transfer), softened(test, teacher, 0.0)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    placed = distribution.place(model)
    compile_model(placed, lambda: optimizer(recipe, stage, steps * stage.epochs), distribution, loss)
    training.say(
        f"\n{stage.name}: {stage.epochs} epochs of {steps} steps" + (f", resumed after epoch {done}" if done else "")
    )
    records: list[keras.callbacks.Callback] = []
    if distribution.chief:
        run.trim_epochs(stage.name, done)
        records = [
            keras.callbacks.CSVLogger(run.history(stage.name), append=True),
            keras.callbacks.TensorBoard(run.tensorboard(stage.name), write_graph=False),
        ]
    placed.fit(
        batches,
        epochs=stage.epochs,
        steps_per_epoch=steps,
        validation_data=test,
        validation_steps=training.test_steps,
        verbose=0 if training.quiet or not distribution.chief else 1 if sys.stdout.isatty() else 2,
        callbacks=[
            EpochRecord(stage.name),
            SeedEpochs(settings.seed),
            *records,
            # The backup comes last: what it holds, the logs hold too. All workers take part, the chief's is kept.
            keras.callbacks.BackupAndRestore(str(run.backup(stage.name)), delete_checkpoint=False),
        ],
    )
    if recipe.norms:
        estimate_norms(placed, data.train_batches(dataset, _NORM_BATCH, seed=settings.seed, epochs=1))
    distribution.fetch(placed, model)
    seconds = round(math.fsum(row["seconds"] for row in run.epochs(stage.name)), 1)
    _finish(training, stage.name, model, placed, test, epochs=stage.epochs, seconds=seconds)


def _decouple(training: Training, coupled: str) -> None:
    if training.run.model("decoupled").exists():
        return
    model = decouple(training.load(coupled))
    placed = training.distribution.place(model)
    compile_model(placed, lambda: "sgd", training.distribution)  # to evaluate; nothing is trained
    _finish(training, "decoupled", model, placed, training.test_batches())


def _finish(training: Training, name: str, model: keras.Model, placed: keras.Model, test: Any, **about: Any) -> None:
    """Evaluate the model where it is placed and save it: metrics first, for the file says that it is finished."""
    run, distribution = training.run, training.distribution
    results = placed.evaluate(test, steps=training.test_steps, verbose=0, return_dict=True)
    if distribution.chief:
        run.write_metrics(run.metrics().adding(name, ModelMetrics(results["accuracy"], results["loss"], **about)))
        with replacing(run.model(name)) as temporary:
            model.save(temporary)
    distribution.wait()
    training.say(f"{name}: accuracy {results['accuracy']:.4f}, loss {results['loss']:.4f}")
