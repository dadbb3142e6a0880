"""config.json and metrics.json: read as they were written, those of the first format too, and refused if damaged."""

import json
from pathlib import Path

import pytest

from bduo_tf.runs import FORMAT, Metrics, ModelMetrics, Recipe, RunConfig, RunError, RunFolder, Settings
from tests.bduo_tf.runs.finished import CONFIG

FIRST_FORMAT = {
    "network": "vgg7",
    "dataset": "digits",
    "data_dir": None,
    "scheme": "duo",
    "seed": 3,
    "validation": 0.0,
    "image_size": [16, 16],
    "batch_size": 64,
    "epochs": 3,
    "fine_tune_epochs": 2,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "fine_tune_learning_rate": 0.001,
    "drops": [],
    "fine_tune_drops": None,
    "weight_decay": 0.0,
    "augmentation": "flip",
    "levels": 2,
    "width": 0.25,
    "per_channel": False,
    "float_weights": False,
    "network_arguments": {
        "input_shape": [16, 16, 1],
        "classes": 10,
        "form": "coupled",
        "levels": 2,
        "width": 0.25,
        "binary_weights": True,
        "per_channel": False,
    },
    "class_names": ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    "fit": {"resize": [16, 16], "whole": False},
    "scaling": "pixel / 127.5 - 1",
    "num_train": 1437,
    "num_test": 360,
    "test_split": "test",
    "stages": ["coupled", "fine_tuned"],
    "final": "fine_tuned",
}
"""As the last program of that format wrote it."""


def test_read_as_written(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_config(CONFIG)
    assert run.config() == CONFIG
    assert run.config().format == FORMAT
    metrics = Metrics({"coupled": ModelMetrics(0.5, 1.25, 3, 12.5), "decoupled": ModelMetrics(0.5, 1.25)})
    run.write_metrics(metrics)
    assert run.metrics() == metrics
    assert json.loads((tmp_path / "metrics.json").read_text())["decoupled"] == {"accuracy": 0.5, "loss": 1.25}


def test_every_setting_is_written() -> None:
    recipe = Recipe(drops=(0.5,), fine_tune_drops=(0.25, 0.75), norms=True, clip=0.5, schedule="continued")
    settings = Settings("resnet18", "cifar10", "duo3", "/data", 7, 0.1, recipe, "/runs/other")
    assert Settings.from_values(json.loads(json.dumps(settings.values()))) == settings


def test_the_first_format(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(FIRST_FORMAT))
    config = RunFolder(tmp_path).config()
    assert (config.format, config.settings.method, config.settings.seed) == (1, "duo", 3)
    assert (config.input_shape, config.settings.recipe.width, len(config.class_names)) == ((16, 16, 1), 0.25, 10)
    with pytest.raises(RunError, match="holds a run of an earlier version, to which --width meant other channels"):
        RunFolder(tmp_path).prepare(config.settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": None}, r"config.json cannot be read: 'network' is None, which is not str\."),
        ({"seed": "one"}, "'seed' is 'one', which is not int"),
        ({"input_shape": [16, 16]}, r"'input_shape' is \[16, 16\], which is not tuple\[int, int, int\]"),
        ({"drops": [0.5, "x"]}, r"'drops' is \[0.5, 'x'\], which is not tuple\[float, ...\]"),
        ({"fit": 3}, "'fit' is None, which is not Fit"),
        ({"per_channel": 1}, "'per_channel' is 1, which is not bool"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_a_value_of_another_type(changes: dict, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG.as_json(), **changes}))
    with pytest.raises(RunError, match=message):
        RunFolder(tmp_path).config()


@pytest.mark.parametrize("missing", ["network", "dataset", "class_names", "stages", "input_shape"])
def test_a_value_that_is_missing(missing: str) -> None:
    content = CONFIG.as_json()
    del content[missing]
    with pytest.raises(ValueError, match=f"there is no '{missing}'"):
        RunConfig.from_json(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"seed": ', "config.json is not JSON"),
        ("[]", "config.json cannot be read: it holds no JSON object"),
        ("{}", "config.json cannot be read: there is no 'network'"),
    ],
)
def test_a_damaged_or_foreign_file(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(RunError, match=message):
        RunFolder(tmp_path).config()
