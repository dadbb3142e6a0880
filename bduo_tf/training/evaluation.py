"""What a model does to the images that it is evaluated on: its confusion matrix and its worst mistakes."""

import numpy as np

from bduo_tf import data
from bduo_tf.backend import keras, tf
from bduo_tf.runs import Evaluation

__all__ = ["evaluated"]

_MISTAKES = 24


def evaluated(model: keras.Model, dataset: data.Dataset, batch_size: int) -> Evaluation:
    """Classifies the test images of a data set.

    Args:
        model: from images to (batch, classes) logits.
        dataset: at the size of the model's input.
        batch_size: number of images in a batch.
    """
    classes = len(dataset.class_names)
    confusion = np.zeros((classes, classes), np.int64)
    worst: list[tuple[float, int, int, np.ndarray]] = []  # (probability, label, prediction, image)
    for images, labels in data.test_batches(dataset, batch_size).as_numpy_iterator():
        probabilities = tf.nn.softmax(model.predict_on_batch(images)).numpy()
        predictions = probabilities.argmax(axis=-1)
        np.add.at(confusion, (labels, predictions), 1)
        worst += [
            (float(probabilities[i, predictions[i]]), int(labels[i]), int(predictions[i]), data.unscale(images[i]))
            for i in np.flatnonzero(predictions != labels)
        ]
        worst = sorted(worst, key=lambda mistake: -mistake[0])[:_MISTAKES]
    return Evaluation(
        confusion=confusion,
        images=np.array([image for *_, image in worst], np.uint8).reshape(-1, *dataset.input_shape),
        labels=np.array([label for _, label, _, _ in worst], np.int64),
        predictions=np.array([prediction for _, _, prediction, _ in worst], np.int64),
        probabilities=np.array([probability for probability, *_ in worst]),
    )
