"""Scores agree by arg max, other outputs within a twentieth of their size. What is counted are images."""

import numpy as np
import pytest

from bduo_tf.conversion.comparison import Comparison, OutputComparison


def compare(expected, computed):
    output = OutputComparison("out")
    suspects = output.add(np.asarray(expected), np.asarray(computed))
    return output, suspects


def test_scores_agree_by_arg_max():
    output, suspects = compare([[0.0, 1.0], [1.0, 0.0]], [[5.0, 9.0], [0.4, 0.6]])
    assert output.scores
    assert output.agrees().tolist() == [True, False]
    assert suspects.tolist() == [False, True]


@pytest.mark.parametrize(("off", "agrees"), [(0.049, True), (0.051, False)])
@pytest.mark.parametrize("shape", [(6, 4, 4, 3), (6, 7, 4), (6, 1), (6,)], ids=["map", "boxes", "unit", "number"])
def test_others_agree_within_a_twentieth_of_the_median_image(shape, off, agrees):
    expected = np.full(shape, 2.0)
    expected[0] = 100.0  # one large image does not excuse the others
    computed = expected.copy()
    computed[2] += 2.0 * off
    output, suspects = compare(expected, computed)
    assert not output.scores
    assert output.agrees().tolist() == [True, True, agrees, True, True, True]
    assert suspects[2]
    assert output.agrees().sum() == output.summary().agreeing


@pytest.mark.parametrize(("wrong", "agrees"), [(5, True), (6, False)])
def test_integers_agree_but_for_a_twentieth_of_them(wrong, agrees):
    expected = np.arange(200).reshape(2, 100)
    computed = expected.copy()
    computed[1, :wrong] += 1
    output, _ = compare(expected, computed)
    assert output.agrees().tolist() == [True, agrees]
    assert output.apart().tolist() == [False, not agrees]


def test_a_single_class_index_must_be_right():
    output, _ = compare(np.array([[100], [7]]), np.array([[101], [7]]))
    assert output.agrees().tolist() == [False, True]


def test_what_is_not_a_number_disagrees():
    output, suspects = compare(
        np.ones((2, 3, 3, 1)), np.array([np.nan, 1.0]).reshape(2, 1, 1, 1) * np.ones((2, 3, 3, 1))
    )
    assert output.agrees().tolist() == [False, True]
    assert output.apart().tolist() == [True, False]
    assert suspects.tolist() == [True, False]


def test_an_image_agrees_if_all_outputs_do():
    compared = Comparison(("scores", "map"))
    scores, maps = np.eye(4), np.ones((4, 2, 2, 1))
    other = maps.copy()
    other[1] = 2
    assert compared.add([scores, maps], [np.eye(4)[[0, 1, 3, 2]], other]).tolist() == [False, True, True, True]
    assert compared.agrees().tolist() == [True, False, False, False]
    assert not compared.by_arg_max


def test_batches_are_put_together():
    compared = Comparison(("map",))
    compared.add([np.ones((3, 2, 2))], [np.ones((3, 2, 2))])
    compared.add([np.ones((1, 2, 2))], [np.zeros((1, 2, 2))])
    assert compared.agrees().tolist() == [True, True, True, False]


def test_outputs_of_nothing_but_rounding_are_not_apart():
    """If all activations are off, Keras computes zeros, and a file what is left of a sum that cancels out."""
    output = OutputComparison("scores")
    output.add(np.zeros((4, 3)), np.full((4, 3), 4e-9))
    assert not output.apart().any()
    output = OutputComparison("scores")
    output.add(np.zeros((4, 3)), np.full((4, 3), 1e-5))
    assert output.apart().all()
