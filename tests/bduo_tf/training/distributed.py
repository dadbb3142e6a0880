"""Runs of several replicas on one machine, in double precision, where sums hardly depend on their order."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

_RUN = """
import sys
from bduo_tf.backend import keras, tf

keras.backend.set_floatx("float64")
[processor] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1]))
tf.config.threading.set_intra_op_parallelism_threads(1)
from tests.bduo_tf.training import runs
exec(runs.DYING)
sys.exit(run_and_die(sys.argv[2], sys.argv[3:]))
"""


def start(arguments: list[str], *, devices: int = 1, dies: str = "", config: dict | None = None) -> subprocess.Popen:
    """Starts `python -m train` in a process with so many processors; `dies` as in `runs.DYING`."""
    environment = {**os.environ, **({"TF_CONFIG": json.dumps(config)} if config else {})}
    command = [sys.executable, "-c", _RUN, str(devices), dies, *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def start_workers(arguments: list[str], count: int = 2, dies: dict[int, str] | None = None) -> list[subprocess.Popen]:
    """Starts so many workers that find each other on the loopback; `dies` by worker."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return [
        start(
            [*arguments, "--strategy", "multi_worker"],
            dies=(dies or {}).get(i, ""),
            config={"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}},
        )
        for i in range(count)
    ]


def end(processes: list[subprocess.Popen], timeout: float = 300) -> list[str]:
    """Waits for the processes, kills those that do not end in time, and returns what they printed."""
    try:
        return [process.communicate(timeout=timeout)[0] for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()


def read(run: Path) -> tuple[dict, dict]:
    """The metrics and the epochs of a finished run, without what the clock says."""
    from bduo_tf.runs import RunFolder

    models = RunFolder(run).metrics().models
    metrics = {name: {"accuracy": m.accuracy, "loss": m.loss, "epochs": m.epochs or 0} for name, m in models.items()}
    epochs = {
        stage: [{k: v for k, v in row.items() if k != "seconds"} for row in RunFolder(run).epochs(stage)]
        for stage in ("coupled", "fine_tuned")
    }
    return metrics, epochs
