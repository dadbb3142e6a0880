"""The networks' widths: the paper's, and those of `duo_widths`, which give no more weights than a baseline has."""

import pytest

import bduo_tf
from bduo_tf.networks import NETWORKS, alexnet, duo_widths, paper_widths, resnet18, vgg7
from bduo_tf.networks._widths import decoupled_weights

SMALL = {"input_shape": (32, 32, 1), "classes": 10}


def kernel_weights(model):
    return sum(layer.kernel.shape.num_elements() for layer in model.layers if hasattr(layer, "kernel"))


@pytest.mark.parametrize("form", ["coupled", "baseline", "float"])
@pytest.mark.parametrize("name", NETWORKS)
def test_paper_widths_are_those_of_the_networks(name, form):
    def build(**options):
        return NETWORKS[name](form=form, **SMALL, **options)

    eighth = paper_widths(name, form, 0.125)
    assert build(width=0.125).count_params() == build(widths=eighth).count_params()
    assert [w / 8 for w in paper_widths(name, form)] == pytest.approx(eighth, abs=0.5)


def test_unknown_networks_have_no_widths():
    with pytest.raises(ValueError, match="unknown network 'vgg8'; known: alexnet"):
        paper_widths("vgg8")


def test_the_papers_vgg7():
    assert paper_widths("vgg7") == (45, 45, 90, 90, 336, 512)
    widths = duo_widths(vgg7, paper_widths("vgg7", "baseline"), input_shape=(32, 32, 3))
    assert widths == (45, 45, 90, 90, 336, 512)


@pytest.mark.parametrize(
    ("network", "baseline"),
    [
        (vgg7, (16, 16, 32, 32, 64, 64)),
        (alexnet, (12, 16, 24, 24, 16, 64, 64)),
        (resnet18, (16, 16, 24, 32, 32)),
    ],
    ids=["vgg7", "alexnet", "resnet18"],
)
@pytest.mark.parametrize(("levels", "multiple_of"), [(2, 1), (2, 8), (3, 1)])
def test_as_heavy_as_the_baseline(network, baseline, levels, multiple_of):
    widths = duo_widths(network, baseline, levels=levels, multiple_of=multiple_of, **SMALL)
    assert widths[-1] == baseline[-1]
    assert all(w % multiple_of == 0 for w in widths[:-1])
    coupled = network(form="coupled", levels=levels, widths=widths, **SMALL)
    budget = kernel_weights(network(form="baseline", widths=baseline, **SMALL))
    weights = kernel_weights(bduo_tf.decouple(coupled))
    assert weights == decoupled_weights(coupled)
    assert 0.6 * budget < weights <= budget
    wider = (*widths[:-2], widths[-2] + multiple_of, widths[-1])
    if network is not resnet18 or wider[-2] <= wider[-1]:
        assert kernel_weights(bduo_tf.decouple(network(levels=levels, widths=wider, **SMALL))) > budget


def test_bad_multiples_are_refused():
    with pytest.raises(ValueError, match="multiple_of must be at least 1"):
        duo_widths(vgg7, (64, 64, 128, 128, 512, 512), multiple_of=0)
    with pytest.raises(ValueError, match="even 512 channels before the last layer"):
        duo_widths(vgg7, (8, 8, 8, 8, 8, 8), multiple_of=512)
