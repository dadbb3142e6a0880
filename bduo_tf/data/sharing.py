"""What one of several workers sees of the batches: its part of each, so that together they see what one alone would."""

from dataclasses import dataclass

from bduo_tf.backend import tf

__all__ = ["WHOLE", "Share"]


@dataclass(frozen=True)
class Share:
    """The part of every batch that is one worker's.

    A batch of N images is cut among workers, and a worker's part among its replicas, as evenly as it goes:
    part k of n are the images from N k // n to N (k + 1) // n. The smaller batch at the end is cut alike; where it
    has fewer images than there are parts, some parts are empty.

    Attributes:
        worker: which one this is, counted from 0.
        workers: how many there are.
        replicas: of the model on this worker, each of which takes a part of its own.
    """

    worker: int = 0
    workers: int = 1
    replicas: int = 1

    def images(self, images: tf.data.Dataset, count: int, batch_size: int) -> tf.data.Dataset:
        """This worker's images of all that make the batches, in their order.

        Args:
            images: unbatched, `count` of them.
            count: as above.
            batch_size: images in a batch of all workers together.
        """
        if self.workers == 1:
            return images
        full = count // batch_size * batch_size
        first, last = (tf.constant(self._bounds(size), tf.int64) for size in (batch_size, count - full))

        def is_mine(position: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
            begin, end = tf.unstack(tf.where(position < full, first, last))
            return (begin <= position % batch_size) & (position % batch_size < end)

        return images.enumerate().filter(is_mine).map(lambda _, image: image)

    def batches(self, images: tf.data.Dataset, count: int, batch_size: int) -> tf.data.Dataset:
        """What `images` returned, perhaps mapped, as batches: for each of all workers one a replica.

        Args:
            images: unbatched (image, label).
            count: as for `images`.
            batch_size: as for `images`.
        """
        begin, end = self._bounds(batch_size)
        batches = images.batch(end - begin)
        begin, end = self._bounds(count % batch_size)
        if count % batch_size and begin == end:  # every worker takes every step, if with nothing
            nothing = tf.nest.map_structure(lambda s: tf.zeros([0, *s.shape], s.dtype), images.element_spec)
            batches = batches.concatenate(tf.data.Dataset.from_tensors(nothing))
        return batches if self.replicas == 1 else batches.flat_map(self._parts)

    def _bounds(self, size: int) -> tuple[int, int]:
        return _part(size, self.worker, self.workers)

    def _parts(self, images: tf.Tensor, labels: tf.Tensor) -> tf.data.Dataset:
        def part(k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            begin, end = _part(tf.shape(labels, tf.int64)[0], k, self.replicas)
            return images[begin:end], labels[begin:end]

        return tf.data.Dataset.range(self.replicas).map(part)


def _part(size: int, k: int, parts: int) -> tuple[int, int]:
    return size * k // parts, size * (k + 1) // parts


WHOLE = Share()
"""That of a worker that is alone."""
