"""Training on several devices or machines by `tf.distribute`, to the same result as on one. See docs/distributed.md."""

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from bduo_tf.backend import keras, tf
from bduo_tf.data import Dataset, Share
from bduo_tf.training.errors import OptionError
from bduo_tf.training.synchronization import synchronized

__all__ = ["ALONE", "STRATEGIES", "Distribution", "distribution"]

STRATEGIES = ("none", "mirrored", "multi_worker")
"""On one device; on every GPU of this machine; on every GPU, or else the processor, of the machines in TF_CONFIG."""


@dataclass(frozen=True)
class Distribution:
    """Where the replicas of a model are that train together, and which of them this process has.

    Attributes:
        strategy: the strategy of `tf.distribute`.
        workers: number of processes that train together.
        worker: the number of this process, from 0 on; 0 is the chief, which alone writes and prints.
    """

    strategy: tf.distribute.Strategy
    workers: int = 1
    worker: int = 0

    @property
    def chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """Number of copies of the model, those of all workers together."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def _several(self) -> bool:
        return self.strategy is not tf.distribute.get_strategy()

    def scope(self) -> AbstractContextManager[Any]:
        """The context in which models must be compiled."""
        return self.strategy.scope()

    def place(self, model: keras.Model) -> keras.Model:
        """An uncompiled model with the weights of `model`, to be trained and evaluated in its place.

        On one device it is `model` itself. On several it is a copy that trains as `model` would on one device with all
        of the batch.
        """
        if not self._several:
            return model
        with self.scope():
            return synchronized(model)

    def fetch(self, placed: keras.Model, model: keras.Model) -> None:
        """Give `model` the weights of the model that `place` made of it. All workers must call this."""
        if placed is not model:
            model.set_weights(placed.get_weights())

    def batches(self, make: Callable[[Share], tf.data.Dataset]) -> Any:
        """The batches that all workers together see.

        Args:
            make: returns the batches of one worker's share.
        """
        if not self._several:
            return make(Share())

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            workers = context.num_input_pipelines
            return make(Share(context.input_pipeline_id, workers, self.replicas // workers))

        return self.strategy.distribute_datasets_from_function(of_worker)

    def require_images(self, dataset: Dataset, batch_size: int) -> None:
        """Raises OptionError if a replica would go without images in the smaller batch at the end of an epoch.

        TensorFlow does not survive it everywhere: oneDNN's gradient of a max pool of nothing ends the process.
        """
        for kind, count in (("training", dataset.num_train), ("test", dataset.num_test)):
            if 0 < count % batch_size < self.replicas:
                raise OptionError(
                    "--batch-size",
                    f"{count} {kind} images in batches of {batch_size} leave {count % batch_size} for the last, too "
                    f"few for {self.replicas} replicas of the model: choose another.",
                )

    def wait(self) -> None:
        """Block until all workers have come here."""
        if self.workers > 1:
            self.strategy.run(_meet)

    def say(self, text: str) -> None:
        """Print a line, once for all workers."""
        if self.chief:
            print(text, flush=True)


@tf.function
def _meet() -> tf.Tensor:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.ones([]))


ALONE = Distribution(tf.distribute.get_strategy())
"""The distribution of a process that trains alone, on one device."""


def distribution(name: str, batch_size: int) -> Distribution:
    """Start what `--strategy` asks for. With "multi_worker" this waits for the other workers.

    Args:
        name: one of `STRATEGIES`.
        batch_size: number of images in a step, those of all replicas together.

    Raises:
        OptionError: there are no devices for it, TF_CONFIG is not as it must be, or replicas would go without images.
    """
    if name == "none":
        return ALONE
    if name == "mirrored":
        devices = _devices()
        _require_images(batch_size, len(devices))
        return Distribution(tf.distribute.MirroredStrategy(devices))
    addresses, worker = _cluster()
    _require_images(batch_size, len(addresses) * max(1, len(tf.config.list_physical_devices("GPU"))))
    if len(addresses) > 1:
        print(f"worker {worker} of {len(addresses)}: waiting for {', '.join(addresses)}", flush=True)
    return Distribution(tf.distribute.MultiWorkerMirroredStrategy(), len(addresses), worker)


def _devices() -> list[str]:
    gpus = tf.config.list_logical_devices("GPU")
    processors = tf.config.list_logical_devices("CPU")
    # A processor counts as several devices only where a program has cut it up, as tests do.
    if not gpus and len(processors) < 2:
        raise OptionError("--strategy", "mirrored needs GPUs, of which TensorFlow finds none here; leave it out.")
    return [device.name for device in gpus or processors]


def _require_images(batch_size: int, replicas: int) -> None:
    if batch_size < replicas:
        raise OptionError("--batch-size", f"{batch_size} images are too few for {replicas} replicas of the model.")


def _cluster() -> tuple[list[str], int]:
    """The addresses of all workers, the chief's first, and which of them this process is."""
    text = os.environ.get("TF_CONFIG", "")
    example = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
    if not text:
        raise OptionError("--strategy", f"multi_worker needs the environment variable TF_CONFIG, such as {example}.")
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        kinds = {kind: list(cluster.get(kind, ())) for kind in ("chief", "worker")}
        addresses = [address for kind in kinds.values() for address in kind]
        if task["type"] not in kinds or not 0 <= int(task["index"]) < len(kinds[task["type"]]):
            raise ValueError(f"there is no {task['type']} {task['index']} in its cluster")
        if not all(isinstance(a, str) and a.rpartition(":")[2].isdigit() for a in addresses):
            raise ValueError("a worker's address must be host:port")
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        reason = f"{e} is missing" if isinstance(e, KeyError) else e
        raise OptionError("--strategy", f"TF_CONFIG is malformed ({reason}); it must be such as {example}.") from e
    return addresses, int(task["index"]) + (len(kinds["chief"]) if task["type"] == "worker" else 0)
