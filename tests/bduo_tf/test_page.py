"""The report page: one well-formed file with all that it promises, whatever the names of classes are."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import bduo_tf
from bduo_tf.backend import tf
from bduo_tf.page import conversion_sections, subtitle, title, training_sections, write_page
from bduo_tf.runs import Evaluation
from tests.bduo_tf.conversion.models import decoupled
from tests.bduo_tf.runs.finished import CONFIG, finished_run

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Reads a page: raises an error where a tag is not closed, and collects headings, table rows and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.sources: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "h2" in self.open:
            self.headings.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def evaluation(classes: int = 10, mistakes: int = 3) -> Evaluation:
    confusion = np.full((classes, classes), 1) + 9 * np.eye(classes, dtype=int)
    images = np.random.default_rng(0).integers(0, 255, (mistakes, 16, 16, 1), np.uint8)
    return Evaluation(confusion, images, np.arange(mistakes), np.arange(mistakes) + 1, np.full(mistakes, 0.75))


@pytest.fixture
def run(tmp_path):
    run = finished_run(tmp_path, decoupled(), coupled=0.5, fine_tuned=0.75)
    run.write_evaluation(evaluation())
    return run


def rewrite_config(run, config):
    (run.path / "config.json").unlink()  # a run refuses to be continued with other classes
    run.write_config(config)


def written(run, sections) -> Page:
    write_page(run.page, title(run.config()), subtitle(run.config()), sections)
    return Page(run.page.read_text("utf-8"))


def test_a_run(run):
    run.curves.write_bytes(tf.io.encode_png(np.zeros((2, 2, 1), np.uint8)).numpy())
    page = written(run, training_sections(run))
    assert page.headings == ["Results", "Training", "What is taken for what", "The worst mistakes", "Settings"]
    assert ["fine_tuned", "75.00%", "1", "", "", "to be deployed"] in page.rows
    assert ["0", "10", *["1"] * 9, "52.6%"] in page.rows
    assert ["width", "0.25"] in page.rows
    assert len(page.sources) == 1 + 3


def test_pictures_are_inside_and_are_the_networks(run):
    page = written(run, training_sections(run))
    assert all(source.startswith("data:image/png;base64,") for source in page.sources), "no network is needed"
    png = base64.b64decode(page.sources[0].partition(",")[2])
    np.testing.assert_array_equal(tf.io.decode_png(png).numpy(), evaluation().images[0])
    assert "0, taken for<br>1 (75%)" in run.page.read_text()


def test_names_are_text(run):
    names = ("<script>alert(1)</script>", '"&', *map(str, range(8)))
    rewrite_config(run, replace(CONFIG, class_names=names))
    page = written(run, training_sections(run))
    assert "<script" not in run.page.read_text()
    assert [names[0], "10"] in [row[:2] for row in page.rows]


def test_of_many_classes_the_pairs_that_are_confused_most(run):
    many = evaluation(classes=40)
    many.confusion[3, 7] = 25
    run.write_evaluation(many)
    rewrite_config(run, replace(CONFIG, class_names=tuple(f"class {i}" for i in range(40))))
    page = written(run, training_sections(run))
    [first] = [row for row in page.rows if row[:2] == ["class 3", "class 7"]]
    assert first == ["class 3", "class 7", "25", str(49 + 24)]
    assert len(page.rows) < 100


def test_what_is_missing_is_left_out(run):
    next(run.path.glob("evaluation.npz")).write_bytes(b"no archive")
    assert run.evaluation() is None
    assert written(run, training_sections(run)).headings == ["Results", "Settings"]


def test_no_mistakes(run):
    run.write_evaluation(evaluation(mistakes=0))
    assert "There are none." in "".join(training_sections(run))


def test_a_conversion(run):
    report = bduo_tf.to_tflite(decoupled(), samples=8).timed().report
    page = written(run, conversion_sections(replace(report, peers={"float32": 3 * report.size})))
    assert page.headings == ["Size and speed", "Verification", "Layers"]
    row = next(row for row in page.rows if row[0] == "binary, bduo_runtime")
    assert (row[1], row[2], row[4]) == (f"{report.size:,}", "1.0", "1.00")
    assert ["LCE", "8 of 8"] in [row[:2] for row in page.rows]
    conv2 = next(layer for layer in report.layers if layer.name == "conv2")
    row = next(row for row in page.rows if row[0] == "conv2")
    assert (row[2], row[4].strip()) == ("1 bit", f"{conv2.macs:,}")
    assert re.fullmatch(r"\d+ of [\d,]+", row[6])


def test_a_conversion_that_failed_says_why(run):
    report = bduo_tf.to_tflite(decoupled(), samples=8).report
    failed = {name: replace(v, problems=["too far off"]) for name, v in report.verifications.items()}
    assert "too far off (LCE)" in "".join(conversion_sections(replace(report, verifications=failed)))
