"""Callbacks for `model.fit`: what an epoch records, when training must stop, and what dropout draws."""

import math
import time
from typing import Any

import numpy as np

from bduo_tf.backend import keras, tf
from bduo_tf.training.optimization import learning_rate

__all__ = ["DivergenceError", "EpochRecord", "SeedEpochs"]


class DivergenceError(RuntimeError):
    """The loss is no longer a finite number."""


class EpochRecord(keras.callbacks.Callback):
    """Adds "seconds" and "learning_rate" to an epoch's logs and stops a training that diverges.

    List it before all other callbacks: they see what it adds, and none records or backs up an epoch that it refuses.

    Args:
        stage: the name of the stage, for the message.

    Raises:
        DivergenceError: from `fit`, as soon as the training loss, or at an epoch's end the loss on the test
            images, is not finite.
    """

    def __init__(self, stage: str) -> None:
        super().__init__()
        self._stage = stage
        self._epoch = 0
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._check(logs or {})

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = {} if logs is None else logs
        self._check(logs)
        logs["seconds"] = time.perf_counter() - self._started
        logs["learning_rate"] = learning_rate(self.model.optimizer)

    def _check(self, logs: dict[str, float]) -> None:
        for name in ("loss", "val_loss"):
            if not math.isfinite(logs.get(name, 0.0)):
                raise DivergenceError(f"stage {self._stage}, epoch {self._epoch + 1}: {name} is {logs[name]}")


class SeedEpochs(keras.callbacks.Callback):
    """Seeds dropout and similar layers in every epoch, so that a resumed stage draws what an undisturbed one does.

    A checkpoint does not hold the state of their random generators. The generators exist only if
    `keras.backend.experimental.enable_tf_random_generator()` was called before the model was built.

    Args:
        seed: the seed of the run.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for i, layer in enumerate(self.model._flatten_layers(include_self=False)):
            generator = getattr(getattr(layer, "_random_generator", None), "_generator", None)
            if isinstance(generator, tf.random.Generator):
                mixed = np.random.SeedSequence([self._seed, epoch, i]).generate_state(1)[0]
                generator.reset_from_seed(int(mixed))
