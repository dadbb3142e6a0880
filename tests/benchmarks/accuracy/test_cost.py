"""Accuracy beside cost: counts by hand, sizes of the files written, means over seeds. Nothing depends on speed."""

import itertools

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bduo_tf.conversion.inspection import operators
from bduo_tf.training.methods import METHODS
from benchmarks.accuracy import cost
from benchmarks.accuracy.cost import chosen
from benchmarks.accuracy.deployed import Deployed, Point, deployed
from benchmarks.accuracy.figure import _label, draw
from benchmarks.accuracy.rows import write_rows
from benchmarks.latency import Latency
from tests.benchmarks.accuracy import some
from tests.benchmarks.accuracy.some import changed

TINY = changed(
    method="baseline", validation=0.0, width=0.125, image_size=(16, 16), dataset="digits", learning_rate=0.01
)
DIGITS = tuple("0123456789")
# Widths 8, 8, 16, 16, 64, 64 at 16x16 pixels, then 8x8, 4x4 and 2x2: by hand.
BINARY_MACS = (9 * 8 * 8) * 256 + (9 * 8 * 16) * 64 + (9 * 16 * 16) * 16 + (4 * 16 * 64) + (64 * 64)
FLOAT_MACS = (9 * 1 * 8) * 256 + (64 * 10)


def row(value, **changes):
    return some.row(value, TINY, **changes)


@pytest.fixture
def file(tmp_path):
    """A function that writes rows."""

    def write(*rows):
        write_rows(tmp_path / "accuracy.csv", rows)
        return str(tmp_path / "accuracy.csv")

    return write


def run(file, *arguments):
    return cost.main(["--file", file, "--dataset", "digits", "--image-size", "16", "--rounds", "2", *arguments])


def test_chosen_are_test_rows_of_the_recipe_in_order():
    rows = [
        row(80.0, width=0.5), row(81.0), row(82.0, method="duo"), row(83.0, seed=1),
        row(10.0, validation=0.1), row(10.0, epochs=30), row(10.0, network="resnet18"), row(10.0, image_size=(20, 20)),
    ]  # fmt: skip
    found = chosen(rows, TINY)
    assert [(s.method, s.recipe.width, [r.accuracy for r in same]) for s, same in found.items()] == [
        ("duo", 0.125, [82.0]), ("baseline", 0.125, [81.0, 83.0]), ("baseline", 0.5, [80.0]),
    ]  # fmt: skip


def test_costs_of_the_baseline_are_those_by_hand():
    found = deployed(TINY, 1, DIGITS)
    assert (found.binary_macs, found.float_macs, found.is_float) == (BINARY_MACS, FLOAT_MACS, False)
    assert operators(found.file)["LceBconv2d"] == 5


def test_the_float_network_has_the_same_macs_of_32_bits():
    found = deployed(changed(TINY, method="float"), 1, DIGITS)
    assert (found.binary_macs, found.float_macs, found.is_float) == (0, BINARY_MACS + FLOAT_MACS, True)
    assert operators(found.file)["CONV_2D"] == 7


@pytest.mark.parametrize("method", ["duo3", "xnor", "approx_sign", "dorefa"])
def test_what_is_deployed_with_binary_kernels(method):
    found = deployed(changed(TINY, method=method), 1, DIGITS)
    assert found.binary_macs == pytest.approx(BINARY_MACS, rel=0.25)
    assert operators(found.file)["LceBconv2d"] == 5


def test_table_figure_and_files(file, tmp_path, capsys):
    rows = file(
        row(90.0), row(92.0, seed=1), row(94.0, seed=2), row(97.5, method="float"),
        row(99.0, method="baseline_float_weights"), row(70.0, method="coupled"),
    )  # fmt: skip
    figure, folder = tmp_path / "results.png", tmp_path / "files"
    options = ["--folder", str(folder), "--figure", str(figure), "--methods", *METHODS]
    assert run(rows, *options) == 0
    printed = capsys.readouterr().out
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in printed.splitlines() if line.startswith("| ")]
    binary, float32 = lines[1:]
    sizes = [f"{(folder / f'vgg7-{m}-0.125.tflite').stat().st_size:,}" for m in ("baseline", "float")]
    assert binary[:7] == ["binary step", "0.125", "3", "92.00 ± 1.15", f"{BINARY_MACS:,}", f"{FLOAT_MACS:,}", sizes[0]]
    assert float32[:7] == ["float", "0.125", "1", "97.50", "-", f"{BINARY_MACS + FLOAT_MACS:,}", sizes[1]]
    assert float32[8] == "1.00"
    assert float(binary[8]) > 0
    assert "Not deployed with binary kernels, baseline_float_weights: to_lce_graph: layer 'conv2' has" in printed
    assert "Not deployed with binary kernels, coupled: to_lce_graph: the activation of layer 'conv2' is" in printed
    assert "Without test rows: duo, duo3, restarted" in printed
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_nothing_to_deploy_is_said(file, tmp_path, capsys):
    figure = tmp_path / "results.png"
    assert run(file(row(99.0, method="baseline_float_weights")), "--figure", str(figure)) == 0
    assert "Not deployed with binary kernels, baseline_float_weights" in capsys.readouterr().out
    assert not figure.exists()


def test_several_rates_in_a_mean_are_said(file, capsys):
    assert run(file(row(90.0), row(92.0, learning_rate=0.03))) == 0
    assert "Rows of several rates in one mean, baseline at width 0.125: 0.01; 0.03." in capsys.readouterr().out


def test_labels_cover_neither_points_nor_each_other():
    canvas = Figure(figsize=(6, 4))
    FigureCanvasAgg(canvas)
    axes = canvas.subplots()
    axes.set(xlim=(0, 4), ylim=(0, 4))
    line = [((1.0, 1.0), 0.1), ((2.0, 2.0), 0.1), ((2.05, 2.0), 0.1)]
    _label(axes, {xy: ("0.010", "k") for xy, _ in line}, [line])
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 3
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    for box, (xy, _) in itertools.product(boxes, line):
        assert not box.contains(*axes.transData.transform(xy))


@pytest.mark.parametrize("methods", [["float", "baseline"], ["baseline"], list(METHODS)])
def test_points_may_lie_on_each_other(methods, tmp_path):
    """Labels find a place, or the least bad one; a legend of any number of methods."""
    points = [
        Point(changed(TINY, method=m), 3, 90.0, 0.5, Deployed({32: 10} if m == "float" else {1: 100, 32: 10}, b"1"),
              Latency((0.01, 0.02)))
        for m in methods
    ]  # fmt: skip
    draw(points, "a title", tmp_path / "results.png")
    assert [f.name for f in tmp_path.iterdir()] == ["results.png"]


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        (
            [],
            [],
            "no test rows with network vgg7, image size 16x16, dataset digits and this recipe: there are none at all",
        ),
        ([row(90.0, validation=0.1)], [], "and this recipe: there are none at all"),
        ([row(90.0)], ["--epochs", "30"], "and this recipe: there are some with --epochs 6"),
        (
            [row(90.0, image_size=(20, 20)), row(90.0, image_size=(20, 20), width=0.5), row(90.0, network="resnet18")],
            [],
            "there are some with --image-size 20x20; or with --network resnet18",
        ),
        ([row(90.0)], ["--methods", "duo"], "no test rows with methods duo, network vgg7"),
        ([row(90.0)], ["--widths", "1"], "no test rows with widths 1.0, network vgg7"),
        ([row(90.0)], ["--methods", "binaryduo"], "invalid choice: 'binaryduo'"),
        ([row(90.0)], ["--rounds", "0"], "--rounds must be at least 1"),
        ([row(90.0)], ["--figure", "nowhere/results.png"], "--figure: nowhere is not a folder"),
        ([row(90.0)], ["--figure", "results.jpeg2"], "--figure must end in .png or .svg, not results.jpeg2"),
        ([row(90.0, dataset="digts")], ["--dataset", "digts"], "unknown data set 'digts'"),
    ],
)
def test_wrong_arguments(rows, arguments, message, file, capsys):
    with pytest.raises(SystemExit) as stop:
        run(file(*rows), *arguments)
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_no_file(capsys):
    with pytest.raises(SystemExit):
        cost.main(["--file", "nowhere.csv"])
    assert "nowhere.csv does not exist: run `python -m benchmarks.accuracy test` first" in capsys.readouterr().err
