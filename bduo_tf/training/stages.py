"""The stages of a run over `model.fit`: each starts from the file of the one before and leaves its own."""

import math
import shutil
import sys
from collections.abc import Callable
from typing import Any

from bduo_tf import data, decouple
from bduo_tf.backend import keras, tf
from bduo_tf.files import replacing
from bduo_tf.training.callbacks import EpochRecord, SeedEpochs
from bduo_tf.training.distribution import ALONE, Distribution
from bduo_tf.training.recipe import Recipe
from bduo_tf.training.run_folder import RunFolder
from bduo_tf.training.settings import Settings, Stage

__all__ = [
    "be_deterministic",
    "compile_model",
    "disk_estimate",
    "optimizer",
    "run_stages",
    "saved_epochs",
    "train_stage",
]

# Between two calls into TensorFlow: a tenth of a small network's step is such a call.
_STEPS_PER_EXECUTION = 16


def be_deterministic(seed: int) -> None:
    """What a stage draws and adds up is then the same in every process on this machine."""
    keras.backend.experimental.enable_tf_random_generator()
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)


def run_stages(
    settings: Settings, dataset: data.Dataset, run: RunFolder, distribution: Distribution = ALONE
) -> dict[str, Any]:
    """Train what of the run is not yet trained.

    Of several workers only the chief writes. The others read its files at the start of every stage, so that the
    folder must be one that all of them see.

    Returns:
        The contents of metrics.json: for each model its "loss" and "accuracy" on the test images, for
        the trained ones also "epochs" and "seconds"; and "final", the name of the model to deploy.

    Raises:
        DivergenceError: a loss is not finite; the last good epoch stays backed up.
    """
    first, *rest = settings.stages
    train_stage(settings, first, dataset, run, lambda: settings.build(dataset), distribution)
    for stage in rest:
        _decouple(settings, first.name, dataset, run, distribution)
        train_stage(settings, stage, dataset, run, lambda: _load(run, "decoupled"), distribution)
    metrics = run.read("metrics.json")
    if distribution.chief:
        shutil.rmtree(run.path / "backup", ignore_errors=True)
        run.write("metrics.json", metrics := {**metrics, "final": settings.final})
    return metrics


def optimizer(recipe: Recipe, stage: Stage, steps: int) -> keras.optimizers.Optimizer:
    """The recipe's optimizer with the stage's schedule over `steps` steps."""
    schedule: Any = keras.optimizers.schedules.CosineDecay(stage.learning_rate, steps)
    if stage.drops:
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
            [round(steps * fraction) for fraction in stage.drops],
            [stage.learning_rate * 0.1**i for i in range(len(stage.drops) + 1)],
        )
    decay = recipe.weight_decay or None
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=decay)
    return keras.optimizers.Adam(schedule, weight_decay=decay)


def compile_model(
    model: keras.Model,
    make_optimizer: Callable[[], keras.optimizers.Optimizer | str],
    distribution: Distribution = ALONE,
    loss: keras.losses.Loss | None = None,
) -> None:
    """Compile for images and their labels, or for another loss; of the weights only kernels decay."""
    with distribution.scope():
        optimizer = make_optimizer()
        if isinstance(optimizer, keras.optimizers.Optimizer):
            # Decay would pull the thresholds together and the norms' scales to zero.
            spared = [v for v in model.trainable_variables if "kernel" not in v.name]
            optimizer.exclude_from_weight_decay(var_list=spared)
        loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=_STEPS_PER_EXECUTION)


def saved_epochs(run: RunFolder, stage: str) -> int:
    """Epochs of an unfinished stage that its backup holds."""
    checkpoint = tf.train.latest_checkpoint(run.backup(stage) / "chief")
    if checkpoint is None:
        return 0
    return int(tf.train.load_variable(checkpoint, "ckpt_saved_epoch/.ATTRIBUTES/VARIABLE_VALUE")) + 1


def disk_estimate(model: keras.Model) -> int:
    """Bytes that a run which starts from `model` may write."""
    # The decoupled network has about twice the parameters. Two checkpoints of it while one replaces the
    # other, each with the optimizer's two moments; three model files and one being written; and logs.
    return 2 * model.count_params() * 4 * (2 * 3 + 4) + 16 * 2**20


def train_stage(
    settings: Settings,
    stage: Stage,
    dataset: data.Dataset,
    run: RunFolder,
    start: Callable[[], keras.Model],
    distribution: Distribution = ALONE,
) -> None:
    """One `model.fit` of the model that `start` returns, unless its file is there; continues one that was killed.

    Writes the model's file, its metrics, and the table and logs of its epochs.
    """
    if run.model(stage.name).exists():
        return
    recipe = settings.recipe
    # Each stage alone: one that starts in a new process draws what it would have drawn.
    keras.utils.set_random_seed(settings.seed)
    model = start()
    steps = data.steps_per_epoch(dataset, recipe.batch_size)
    placed = distribution.place(model)
    compile_model(placed, lambda: optimizer(recipe, stage, steps * stage.epochs), distribution)
    done = saved_epochs(run, stage.name)
    distribution.say(
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
        distribution.batches(
            lambda share: data.train_batches(
                dataset,
                recipe.batch_size,
                seed=settings.seed,
                epochs=stage.epochs,
                start_epoch=done,
                augmentation=recipe.augmentation,
                share=share,
            )
        ),
        epochs=stage.epochs,
        steps_per_epoch=steps,
        validation_data=distribution.batches(lambda share: data.test_batches(dataset, recipe.batch_size, share)),
        validation_steps=data.test_steps(dataset, recipe.batch_size),
        verbose=(1 if sys.stdout.isatty() else 2) if distribution.chief else 0,
        callbacks=[
            EpochRecord(stage.name),
            SeedEpochs(settings.seed),
            *records,
            # The backup comes last: what it holds, the logs hold too. All workers take part, the chief's is kept.
            keras.callbacks.BackupAndRestore(str(run.backup(stage.name)), delete_checkpoint=False),
        ],
    )
    distribution.fetch(placed, model)
    about = {"epochs": stage.epochs, "seconds": round(math.fsum(row["seconds"] for row in run.epochs(stage.name)), 1)}
    _finish(run, stage.name, model, placed, dataset, recipe, distribution, **about)


def _decouple(
    settings: Settings, coupled: str, dataset: data.Dataset, run: RunFolder, distribution: Distribution
) -> None:
    if run.model("decoupled").exists():
        return
    model = decouple(_load(run, coupled))
    placed = distribution.place(model)
    compile_model(placed, lambda: "sgd", distribution)  # to evaluate; nothing is trained
    _finish(run, "decoupled", model, placed, dataset, settings.recipe, distribution)


def _load(run: RunFolder, name: str) -> keras.Model:
    return keras.models.load_model(run.model(name), compile=False)


def _finish(
    run: RunFolder,
    name: str,
    model: keras.Model,
    placed: keras.Model,
    dataset: data.Dataset,
    recipe: Recipe,
    distribution: Distribution,
    **about: float,
) -> None:
    """Evaluate the model where it is placed and save it: metrics first, for the file says that it is finished."""
    batches = distribution.batches(lambda share: data.test_batches(dataset, recipe.batch_size, share))
    steps = data.test_steps(dataset, recipe.batch_size)
    results = placed.evaluate(batches, steps=steps, verbose=0, return_dict=True)
    if distribution.chief:
        run.write("metrics.json", {**(run.read("metrics.json") or {}), name: {**results, **about}})
        with replacing(run.model(name)) as temporary:
            model.save(temporary)
    distribution.wait()
    distribution.say(f"{name}: accuracy {results['accuracy']:.4f}, loss {results['loss']:.4f}")
