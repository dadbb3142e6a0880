"""`--init`: which weights of another run a new one starts from, and what becomes of it when that run is gone."""

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from bduo_tf import decouple
from bduo_tf.backend import keras
from bduo_tf.runs import Metrics, ModelMetrics, RunFolder
from bduo_tf.training import stages
from bduo_tf.training.building import network
from bduo_tf.training.initial import Donor, _to_blame, open_donor
from tests.bduo_tf.graphs import randomize
from tests.bduo_tf.runs.finished import CONFIG
from tests.bduo_tf.training.runs import arguments
from train import cli

CLASSES = 4


def _settings(run: Path, *more: str):
    settings, *_ = cli.parse(arguments(run, *more))
    return settings


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of four classes, of the network that `arguments` says."""
    run = RunFolder(tmp_path_factory.mktemp("other"))
    settings = _settings(run.path)
    names = tuple("abcd")
    run.write_config(dataclasses.replace(CONFIG, settings=settings, class_names=names))
    coupled = randomize(network(settings, (16, 16, 1), CLASSES)())
    models = {"coupled": coupled, "decoupled": decouple(coupled), "fine_tuned": randomize(decouple(coupled), 1)}
    for name, model in models.items():
        model.save(run.model(name))
    run.write_metrics(Metrics({name: ModelMetrics(0.5, 1.0) for name in models}, "fine_tuned"))
    return run.path


@pytest.mark.parametrize(("method", "model"), [("duo", "coupled"), ("scratch", "fine_tuned")])
def test_the_model_of_the_same_form_is_taken(method: str, model: str, other: Path, tmp_path: Path) -> None:
    settings = _settings(tmp_path, "--method", method, "--init", str(other))
    donor = open_donor(settings)
    assert donor.file == other / f"{model}.keras"
    new = network(settings, (16, 16, 1), CLASSES, donor.made_for)()
    assert donor.give(new, tuple("abcd")).endswith(f" layers start with the weights of {other}/{model}.keras.")
    for given, taken in zip(donor.model.get_weights(), new.get_weights(), strict=True):
        np.testing.assert_array_equal(given, taken)


def test_what_does_not_fit_starts_anew(other: Path, tmp_path: Path) -> None:
    """Another number of classes, and pictures in colour."""
    settings = _settings(tmp_path, "--init", str(other))
    donor = open_donor(settings)
    new = network(settings, (16, 16, 3), 10, donor.made_for)()
    layers = [layer for layer in new.layers if layer.weights]
    before = {layer.name: layer.get_weights() for layer in layers}
    said = donor.give(new, tuple("0123456789"))
    first, last = layers[0].name, layers[-1].name
    assert said == (
        f"{len(layers) - 2} of {len(layers)} layers start with the weights of {other}/coupled.keras, all but {first}, "
        f"{last}."
    )
    for layer in layers:
        expected = (
            before[layer.name] if layer.name in (first, last) else donor.model.get_layer(layer.name).get_weights()
        )
        for a, b in zip(expected, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_hardly_anything_fits(other: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    """Said before the data set is touched."""
    monkeypatch.setattr("bduo_tf.data.load", lambda *args, **options: pytest.fail("it read the data set"))
    assert cli.main(arguments(tmp_path / "run", "--init", str(other), "--width", "0.25")) == 2
    error = capsys.readouterr().err
    assert re.search(
        rf"error: --width: \d of 13 layers fit those of --init {other}, too few to start from: layer conv1 has "
        r"weights of 3x3x1x\d+, in \w+.keras it has weights of 3x3x1x\d+\.$",
        error,
    )
    assert not (tmp_path / "run").exists()


def test_of_other_classes_the_last_layer_starts_anew_though_it_fits(other: Path, tmp_path: Path) -> None:
    settings = _settings(tmp_path, "--init", str(other))
    donor = open_donor(settings)
    new = network(settings, (16, 16, 1), CLASSES, donor.made_for)()
    last = new.get_layer("conv7").get_weights()
    assert donor.give(new, tuple("efgh")).endswith("coupled.keras, all but conv7.")
    np.testing.assert_array_equal(new.get_layer("conv7").get_weights()[0], last[0])


@pytest.mark.parametrize(
    ("more", "option"),
    [
        (["--levels", "3"], "--levels"),
        (["--method", "float"], "--method"),
        (["--method", "baseline", "--image-size", "8"], "--method"),
        (["--method", "scratch", "--image-size", "8"], "--image-size"),
        ([], "--init"),
    ],
)
def test_the_option_that_makes_the_difference(more: list[str], option: str, other: Path, tmp_path: Path) -> None:
    assert _to_blame(_settings(tmp_path, *more), RunFolder(other).config()) == option


def test_another_network_makes_the_difference(other: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(_settings(tmp_path), network="resnet18")
    assert _to_blame(settings, RunFolder(other).config()) == "network"


def test_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments(tmp_path / "run", "--init", str(tmp_path / "none"))) == 2
    assert f"--init: {tmp_path}/none is not the folder of a training run" in capsys.readouterr().err
    RunFolder(tmp_path).write_config(CONFIG)
    assert cli.main(arguments(tmp_path / "run", "--init", str(tmp_path))) == 2
    assert f"--init: the run in {tmp_path} has no trained model yet." in capsys.readouterr().err


def test_names_that_keras_numbers() -> None:
    def model() -> keras.Model:
        image = keras.Input((4, 4, 1))
        x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(keras.layers.Conv2D(2, 3, padding="same")(image)))
        return randomize(keras.Model(image, keras.layers.Dense(3)(x)))

    first, second = model(), model()
    assert first.layers[1].name != second.layers[1].name
    assert (
        Donor(Path("a.keras"), first, (4, 4, 1), tuple("abc")).give(second, tuple("abc"))
        == "3 of 3 layers start with the weights of a.keras."
    )
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_that_has_begun_does_not_need_the_other(
    other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[np.ndarray]] = []

    def start_and_stop(training, stage, start) -> None:
        started.append(start().get_weights())
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "train_stage", start_and_stop)
    gone = Path(shutil.copytree(other, tmp_path / "gone"))
    command = arguments(tmp_path / "run", "--init", str(gone))
    assert cli.main(command) == 130
    assert "layers start with the weights of" in capsys.readouterr().out
    shutil.rmtree(gone)
    assert cli.main(command) == 130
    for a, b in zip(*started, strict=True):
        np.testing.assert_array_equal(a, b)
    given = keras.models.load_model(other / "coupled.keras", compile=False).get_weights()
    np.testing.assert_array_equal(started[0][0], given[0])
    assert cli.main(arguments(tmp_path / "run")) == 2
    assert f"--init: {tmp_path}/run holds a run with {gone}, not None" in capsys.readouterr().err


def test_a_run_of_before_the_setting_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = _settings(run)
    content = dataclasses.replace(CONFIG, settings=settings).as_json()
    del content["init"]
    restored = type(CONFIG).from_json(content)
    assert restored.settings == settings
    RunFolder(run).prepare(settings)
    RunFolder(run).write_config(restored)
    RunFolder(run).prepare(settings)
