"""Knowledge transfer: labels that are in part what another network answers."""

from typing import Any

from bduo_tf.backend import keras, tf

__all__ = ["softened"]


def softened(batches: tf.data.Dataset, teacher: keras.Model, fraction: float) -> tf.data.Dataset:
    """One-hot labels, of which a fraction is the teacher's softmax.

    Args:
        batches: images and labels as (batch,) integers.
        teacher: from images to (batch, classes) logits.
        fraction: from 0, which leaves the labels as they are but for their form, to 1.

    Returns:
        The same images with labels as (batch, classes) floats.
    """

    def soften(images: Any, labels: Any) -> Any:
        answers = tf.nn.softmax(teacher(images, training=False))
        return images, (1 - fraction) * tf.one_hot(labels, answers.shape[-1]) + fraction * answers

    return batches.map(soften)
