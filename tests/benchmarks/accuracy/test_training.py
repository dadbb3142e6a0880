"""The trainings of the comparison are those of `python -m train`."""

from pathlib import Path

import numpy as np
import pytest

from bduo_tf.backend import keras
from bduo_tf.runs import RunFolder, Settings
from benchmarks.accuracy.training import train
from tests.benchmarks.accuracy.some import changed
from train.cli import main

TINY = changed(
    dataset="digits", validation=0.0, image_size=(8, 8), width=0.125, batch_size=64, epochs=1, fine_tune_epochs=1
)


def command(settings: Settings, run: Path) -> list[str]:
    """Of `python -m train`, with all that a row has and the command has an option for."""
    values = settings.values()
    argv = [values.pop("network"), "--run", str(run)]
    # No training of the comparison has any of these.
    del values["data_dir"], values["init"], values["drops"], values["fine_tune_drops"]
    for name, value in values.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            argv.append(option if value else option.replace("--", "--no-"))
        else:
            argv += [option, "x".join(map(str, value)) if isinstance(value, list) else str(value)]
    return argv


def weights(run: RunFolder, name: str) -> list[np.ndarray]:
    return keras.models.load_model(run.model(name), compile=False).get_weights()


@pytest.mark.slow
def test_a_row_is_repeated_by_the_command(tmp_path: Path) -> None:
    settings = changed(TINY, method="baseline", clip=0.5, norms=True)
    [row] = train([settings], None, tmp_path)
    assert main(command(settings, tmp_path / "run")) == 0
    run = RunFolder(tmp_path / "run")
    assert row.accuracy == round(100 * run.metrics().models["baseline"].accuracy, 2)
    for one, same in zip(weights(run, "baseline"), weights(RunFolder(tmp_path / "0"), "baseline"), strict=True):
        np.testing.assert_array_equal(one, same)


@pytest.mark.slow
def test_a_row_of_two_stages_is_repeated_by_the_command(tmp_path: Path) -> None:
    """The second of two trials, whose first stage is that of the first one, and with all that a recipe may have."""
    some = changed(TINY, clip=0.5, transfer=0.5, norms=True, schedule="continued", gradient="approx_sign")
    trials = [some, changed(some, fine_tune_learning_rate=1e-2)]
    _, row = train(trials, None, tmp_path)
    assert main(command(trials[1], tmp_path / "run")) == 0
    run = RunFolder(tmp_path / "run")
    models = run.metrics().models
    assert row.accuracy == round(100 * models["fine_tuned"].accuracy, 2)
    assert row.first_accuracy == round(100 * models["coupled"].accuracy, 2)
    for name in ("coupled", "decoupled", "fine_tuned"):
        for one, same in zip(weights(run, name), weights(RunFolder(tmp_path / "1"), name), strict=True):
            np.testing.assert_array_equal(one, same)
    first, second = (weights(RunFolder(tmp_path / name), "fine_tuned") for name in "01")
    assert any((one != other).any() for one, other in zip(first, second, strict=True))
    # Both write down the same settings.
    assert run.config().settings == trials[1]
    assert row.settings == trials[1]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [{"transfer": 0.5}, {"optimizer": "bop", "bop_threshold": 1e-6, "bop_gamma": 1e-3}])
def test_other_recipes_learn(recipe: dict[str, object], tmp_path: Path) -> None:
    sizes = {"image_size": (16, 16), "epochs": 2, "fine_tune_epochs": 2, "batch_size": 32}
    [row] = train([changed(TINY, **sizes, learning_rate=1e-2, fine_tune_learning_rate=3e-3, **recipe)], None, tmp_path)
    assert min(row.first_accuracy, row.accuracy) > 50
