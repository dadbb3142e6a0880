"""Which rows belong together, the rates that the validation split chooses, and trials that share a first stage."""

import numpy as np
import pytest

from benchmarks.accuracy import selection
from benchmarks.accuracy.selection import best_rates, by_first_stage, rates, to_search, to_test, variant
from tests.benchmarks.accuracy.some import SETTINGS, changed, row


def test_mean_and_error() -> None:
    assert selection.mean_and_error([90.0]) == (90.0, 0.0)
    mean, error = selection.mean_and_error([90.0, 92.0, 94.0])
    assert mean == 92.0
    assert error == pytest.approx(2 / np.sqrt(3))


def test_a_method_of_one_stage_has_one_rate() -> None:
    assert rates(SETTINGS) == (1e-3, 3e-3)
    assert rates(changed(method="baseline")) == (1e-3,)


def test_best_rates() -> None:
    rows = [
        row(90.0), row(92.0, seed=1), row(90.9, learning_rate=1e-2), row(90.9, learning_rate=1e-2, seed=1),
        row(99.0, learning_rate=5.0, validation=0.0), row(99.0, learning_rate=5.0, method="duo3"),
        row(99.0, learning_rate=5.0, width=1.0),
    ]  # fmt: skip
    assert best_rates(rows, SETTINGS) == (1e-3, 3e-3)
    assert best_rates(rows, changed(epochs=3)) is None


def test_one_stage_does_not_depend_on_how_epochs_are_divided() -> None:
    for method, same in (("baseline", True), ("duo", False)):
        one, other = (changed(method=method, epochs=n, fine_tune_epochs=10 - n) for n in (6, 4))
        assert (variant(one) == variant(other)) == same
        assert variant(one) != variant(changed(method=method, epochs=6, fine_tune_epochs=5))


def test_trials_that_share_a_first_stage() -> None:
    trials = [changed(fine_tune_learning_rate=rate, transfer=part) for rate in (1e-3, 1e-2) for part in (0.0, 0.5)]
    others = [{"seed": 1}, {"learning_rate": 1.0}, {"schedule": "continued"}, {"validation": 0.0}, {"epochs": 5}]
    assert by_first_stage(trials) == [trials]
    for change in others:
        assert by_first_stage([SETTINGS, changed(**change)]) == [[SETTINGS], [changed(**change)]]


def test_a_search_tries_all_rates() -> None:
    trials = to_search([SETTINGS, changed(method="baseline")], [0, 1], [0.1, 0.2], [0.3, 0.4])
    assert len(trials) == 2 * (4 + 2)
    assert {rates(t) for t in trials if t.method == "duo"} == {(0.1, 0.3), (0.1, 0.4), (0.2, 0.3), (0.2, 0.4)}
    assert {t.validation for t in trials} == {selection.VALIDATION}


def test_a_test_takes_the_best_rates() -> None:
    rows = [row(90.0), row(91.0, learning_rate=0.5)]
    [trial] = to_test([SETTINGS], [7], rows, None)
    assert (trial.seed, trial.validation, rates(trial)) == (7, 0.0, (0.5, 3e-3))
