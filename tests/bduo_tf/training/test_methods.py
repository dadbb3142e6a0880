"""The methods: networks of equal weights, what each convolves, and the stages that they have."""

import dataclasses

import pytest

from bduo_tf import decouple
from bduo_tf.backend import keras
from bduo_tf.networks import paper_widths
from bduo_tf.runs import Recipe, Settings
from bduo_tf.training.building import coupled_widths, network
from bduo_tf.training.methods import METHODS, Stage, applied, stages


def settings(method: str, **recipe: object) -> Settings:
    return Settings("vgg7", "digits", method, recipe=applied(method, Recipe(**{"width": 0.25, **recipe})))


def build(method: str, size: int = 28, **recipe: object) -> keras.Model:
    return network(settings(method, **recipe), (size, size, 1), 10)()


def kernel_weights(model: keras.Model) -> int:
    return sum(w.shape.num_elements() for w in model.weights if "kernel" in w.name)


@pytest.mark.parametrize("name", METHODS)
def test_equal_weights(name: str) -> None:
    """All have about the baseline's weights, except half of a network, and convolve what they are named for."""
    model = build(name)
    model = decouple(model) if METHODS[name].decoupled == "between" else model
    share = kernel_weights(model) / kernel_weights(build("baseline"))
    if name == "coupled":
        assert share == pytest.approx(0.5, abs=0.02)
    else:
        assert 0.99 <= share <= 1
    activation = {"ste_sign": "SteSign", "approx_sign": "ApproxSign", "swish_sign": "SwishSign", "dorefa": "DoReFa"}
    quantizer = getattr(model.get_layer("conv3"), "input_quantizer", None)
    if name in activation:
        assert type(quantizer).__name__ == activation[name]


@pytest.mark.parametrize("width", [0.125, 0.5, 0.75])
def test_a_width_costs_the_same_with_any_method(width: float) -> None:
    decoupled, baseline = (kernel_weights(build(method, 32, width=width)) for method in ("scratch", "baseline"))
    assert 0.98 * baseline <= decoupled <= baseline


@pytest.mark.parametrize("name", ["vgg7", "alexnet", "resnet18", "resnet18_block"])
def test_at_a_width_of_one_pairs_have_the_papers_channels(name: str) -> None:
    assert coupled_widths(name, 1.0, 2, (32, 32, 3), 10) == paper_widths(name, "coupled")


def test_triples_are_narrower_than_the_papers_pairs() -> None:
    widths = coupled_widths("vgg7", 1.0, 3, (32, 32, 3), 10)
    assert widths < paper_widths("vgg7", "coupled")


def test_clipped_kernels() -> None:
    constraints = {
        layer.name: layer.kernel_constraint for layer in build("baseline", clip=0.5).layers if "conv" in layer.name
    }
    assert [name for name, constraint in constraints.items() if constraint] == [f"conv{i}" for i in range(2, 7)]
    assert constraints["conv2"].clip_value == 0.5


def test_clipping_changes_no_weight() -> None:
    """That of the thresholds, above all, which the decoupled network starts with."""
    models = []
    for clip in (0.0, 0.5):
        keras.utils.set_random_seed(0)
        models.append(build("scratch", clip=clip))
    for one, same in zip(*(model.get_weights() for model in models), strict=True):
        assert (one == same).all()


def test_the_stages_of_each_method() -> None:
    names = {name: [stage.name for stage in stages(settings(name))] for name in METHODS}
    assert {name for name, of_it in names.items() if of_it == ["coupled", "fine_tuned"]} == {
        "duo", "duo3", "duo_xnor", "duo_float_weights"
    }  # fmt: skip
    assert names["restarted"] == ["baseline", "fine_tuned"]
    assert all(of_it == [name] for name, of_it in names.items() if not METHODS[name].fine_tuned)


def test_a_schedule_over_both_stages() -> None:
    recipe = {"epochs": 6, "fine_tune_epochs": 4, "learning_rate": 0.5, "fine_tune_learning_rate": 0.25}
    assert stages(settings("duo", **recipe, schedule="continued", transfer=0.5)) == (
        Stage("coupled", 6, 0.5, after=4),
        Stage("fine_tuned", 4, 0.25, before=6, teacher="coupled"),
    )
    assert stages(settings("scratch", **recipe, schedule="continued")) == (Stage("scratch", 10, 0.5),)


def test_a_method_settles_fields_of_the_recipe() -> None:
    assert applied("duo3", Recipe()) == dataclasses.replace(Recipe(), levels=3)
    assert applied("duo", Recipe(levels=4)) == Recipe(levels=4)
    assert applied("ste_sign", Recipe(per_channel=True, gradient="steep")) == Recipe()
