"""Cuts batches into the parts of several workers, which together see what one worker alone would see."""

from dataclasses import dataclass

from bduo_tf.backend import tf

__all__ = ["WHOLE", "Share"]


@dataclass(frozen=True)
class Share:
    """The part of every batch that one worker sees.

    A batch of N images is cut among workers, and a worker's part among its replicas, as evenly as possible: part k of
    n are the images from N k // n to N (k + 1) // n. The smaller batch at the end is cut in the same way; if it has
    fewer images than there are parts, some parts are empty.

    Attributes:
        worker: the number of this worker, counted from 0.
        workers: the number of all workers.
        replicas: the number of replicas of the model on this worker, each of which takes a part of its own.
    """

    worker: int = 0
    workers: int = 1
    replicas: int = 1

    def images(self, images: tf.data.Dataset, count: int, batch_size: int) -> tf.data.Dataset:
        """Picks the images that belong to this worker's parts of the batches, in their order.

        Args:
            images: all images, unbatched.
            count: the number of all images.
            batch_size: the number of images in a batch of all workers together.
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
        """Makes batches of this worker's images: for each batch of all workers one for each of its replicas.

        Args:
            images: what the method `images` returned, perhaps mapped: unbatched pairs (image, label).
            count: as for the method `images`.
            batch_size: as for the method `images`.
        """
        begin, end = self._bounds(batch_size)
        batches = images.batch(end - begin)
        begin, end = self._bounds(count % batch_size)
        if count % batch_size and begin == end:  # all workers must take the same steps, if need be with an empty batch
            nothing = tf.nest.map_structure(lambda s: tf.zeros([0, *s.shape], s.dtype), images.element_spec)
            batches = batches.concatenate(tf.data.Dataset.from_tensors(nothing))
        return batches if self.replicas == 1 else batches.flat_map(self._parts)

    def _bounds(self, size: int) -> tuple[int, int]:
        """Where this worker's part of a batch of `size` images begins and ends."""
        return _part(size, self.worker, self.workers)

    def _parts(self, images: tf.Tensor, labels: tf.Tensor) -> tf.data.Dataset:
        """Cuts a worker's batch into the parts of its replicas."""

        def part(k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            begin, end = _part(tf.shape(labels, tf.int64)[0], k, self.replicas)
            return images[begin:end], labels[begin:end]

        return tf.data.Dataset.range(self.replicas).map(part)


def _part(size: int, k: int, parts: int) -> tuple[int, int]:
    return size * k // parts, size * (k + 1) // parts


WHOLE = Share()
"""The share of a worker that is alone: the whole of every batch."""
