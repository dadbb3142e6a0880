"""The confusion matrix and the worst mistakes of a model, by a model that is wrong in known ways."""

import numpy as np

from bduo_tf import data
from bduo_tf.backend import keras, tf
from bduo_tf.runs import Evaluation
from bduo_tf.training.evaluation import evaluated


@keras.saving.register_keras_serializable("tests")
class Brightness(keras.layers.Layer):
    """Logits that depend on the mean of an image alone: dark ones are class 0, bright ones class 1."""

    def call(self, image):
        mean = tf.reduce_mean(image, axis=(1, 2, 3))
        return tf.stack([-10 * mean, 10 * mean, *[tf.fill(tf.shape(mean), -50.0)] * 8], axis=-1)


def test_confusion_and_mistakes(tmp_path):
    dataset = data.load("digits", (8, 8), tmp_path)
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, Brightness()(image))
    found = evaluated(model, dataset, 100)

    images, labels = (np.array(x) for x in zip(*dataset.test_pixels.as_numpy_iterator(), strict=True))
    means = (images / 127.5 - 1).mean(axis=(1, 2, 3))
    predictions = (means > 0).astype(int)
    for label in range(10):
        for prediction in range(10):
            assert found.confusion[label, prediction] == np.sum((labels == label) & (predictions == prediction))
    wrong = np.flatnonzero(predictions != labels)
    surest = wrong[np.argsort(-np.abs(means[wrong]), kind="stable")][: len(found.labels)]
    assert len(surest) == 24
    np.testing.assert_allclose(found.probabilities, 1 / (1 + np.exp(-20 * np.abs(means[surest]))), rtol=1e-4)
    assert np.all(np.diff(found.probabilities) <= 0)
    assert np.all(found.labels != found.predictions)
    known = {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    assert [known[image.tobytes()] for image in found.images] == found.labels.tolist()

    found.save(tmp_path / "evaluation.npz")
    again = Evaluation.load(tmp_path / "evaluation.npz")
    np.testing.assert_array_equal(again.confusion, found.confusion)
    np.testing.assert_array_equal(again.images, found.images)
