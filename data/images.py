"""What happens to one image: fitting it to the network's size, augmenting it, scaling it to [-1, 1]."""

from collections.abc import Callable

from bduo_tf._keras import tf

__all__ = ["AUGMENTATIONS", "INPUT_RANGE", "SCALING", "Augmentation", "fit_size", "scale"]

SCALING = "pixel / 127.5 - 1"
"""What `scale` computes from a pixel 0..255, for those who feed the network elsewhere."""

INPUT_RANGE = (-1.0, 1.0)
"""What `scale` makes of a black (0) and of a white (255) pixel; it is linear between them."""

Augmentation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""(uint8 image (height, width, channels), seed (2,)) -> uint8 image of the same shape."""

_MARGIN = 4


def scale(image: tf.Tensor) -> tf.Tensor:
    """uint8 pixels 0..255 to float32 in [-1, 1]."""
    return tf.cast(image, tf.float32) / 127.5 - 1.0


def fit_size(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """`image` at the network's size, still uint8.

    An image a little smaller than `size` (by at most a sixth, such as MNIST's 28 pixels for 32) keeps
    its pixels and gets a margin of zeros, the dark value. Any other is cropped about its centre to the
    proportions of `size`, then resized bilinearly (with antialiasing where that shrinks it).

    Args:
        image: uint8, (height, width, channels); height and width may be unknown.
        size: (height, width).

    Returns:
        uint8, (*size, channels).
    """
    height, width = size
    channels = image.shape[-1]
    known = image.shape[:2].as_list()
    if known == [height, width]:
        return image
    if None not in known and all(s * 5 / 6 <= k <= s for k, s in zip(known, size, strict=True)):
        return tf.image.resize_with_crop_or_pad(image, height, width)
    h, w = tf.unstack(tf.shape(image)[:2])
    crop_h, crop_w = tf.minimum(h, w * height // width), tf.minimum(w, h * width // height)
    crop_h, crop_w = tf.maximum(crop_h, 1), tf.maximum(crop_w, 1)
    image = tf.image.crop_to_bounding_box(image, (h - crop_h) // 2, (w - crop_w) // 2, crop_h, crop_w)
    image = tf.image.resize(image, size, antialias=True)
    image = tf.saturate_cast(tf.round(image), tf.uint8)
    return tf.ensure_shape(image, (height, width, channels))


def _none(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    del seed
    return image


def _crop(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    margins = [[_MARGIN, _MARGIN], [_MARGIN, _MARGIN], [0, 0]]
    return tf.image.stateless_random_crop(tf.pad(image, margins), image.shape, seed)


def _flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.image.stateless_random_flip_left_right(image, seed)


def _crop_flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    crop_seed, flip_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    return _flip(_crop(image, crop_seed), flip_seed)


AUGMENTATIONS: dict[str, Augmentation] = {"none": _none, "crop": _crop, "flip": _flip, "crop_flip": _crop_flip}
"""Augmentations by name. "crop" pads 4 dark pixels on each side and crops back at random, "flip" mirrors
every second image left to right, "crop_flip" does both (the standard treatment of CIFAR-10)."""
