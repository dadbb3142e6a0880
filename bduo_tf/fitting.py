"""Brings pictures to a network's input size, and chooses how for a data set.

The pictures that a network is trained and evaluated on, and those that a device shows it, must be fitted in the same
way. Therefore that choice is a value, `Fit`: config.json and the .tflite file hold it, and the runtime carries it out
too.
"""

from dataclasses import dataclass

from bduo_tf.backend import tf

__all__ = ["Fit", "choose_fit", "fit_image"]


@dataclass(frozen=True)
class Fit:
    """How pictures of any size are brought to a network's input size, in two steps.

    First the picture is resized, bilinearly, with antialiasing where that shrinks it:

    - whole: the whole picture keeps its proportions and is resized until it just covers `resize`. The new sides of a
      picture of (height, width) are round(side * ratio), ratio = max(resize[0] / height, resize[1] / width).
    - not whole: the picture is cropped about its centre to the proportions of `resize` = (h, w), which is to
      min(height, width * h // w) by min(width, height * w // h) pixels and no less than 1. What is left is resized to
      exactly `resize`.

    Then each side that is longer than the network's input is cropped about its centre, and each that is shorter gets a
    margin of zeros on both ends. The part that is cut off at the top or left, or the margin there, is half of the
    difference, rounded down. Values are rounded to whole grey levels once, after the resizing, halves to the even one.

    Attributes:
        resize: (height, width) in pixels.
        whole: which of the two ways of resizing is meant.
    """

    resize: tuple[int, int]
    whole: bool


def choose_fit(pictures: tuple[int | None, int | None], size: tuple[int, int]) -> Fit:
    """Chooses how the pictures of a data set are brought to a network's input size.

    Pictures a little smaller than `size` (by at most a sixth, such as MNIST's 28 pixels for 32) keep their pixels and
    get a margin of zeros, which are dark. A data set whose pictures differ in size holds photographs: these are
    resized until they just cover 8/7 of `size` (256 for 224), and the centre is taken, as is usual for ImageNet. All
    other pictures are cropped about their centre to the proportions of `size`, then resized.

    Args:
        pictures: (height, width) of the pictures; None for a side that is not the same in all of them.
        size: (height, width) of the network's input.
    """
    height, width = pictures
    if height is None or width is None:
        return Fit((round(size[0] * 8 / 7), round(size[1] * 8 / 7)), whole=True)
    if all(s * 5 / 6 <= known <= s for known, s in zip((height, width), size, strict=True)):
        return Fit((height, width), whole=False)
    return Fit(size, whole=False)


def fit_image(image: tf.Tensor, fit: Fit, size: tuple[int, int]) -> tf.Tensor:
    """Brings a picture to the network's input size.

    Args:
        image: uint8, (height, width, channels); height and width may be unknown.
        fit: the way in which it is brought there.
        size: (height, width) of the network's input.

    Returns:
        uint8, (*size, channels).
    """
    if tuple(image.shape[:2]) != fit.resize:
        resized = _covering(image, fit.resize) if fit.whole else _cropped(image, fit.resize)
        image = tf.saturate_cast(tf.round(resized), tf.uint8)
    image = tf.image.resize_with_crop_or_pad(image, *size)
    return tf.ensure_shape(image, (*size, image.shape[-1]))


def _covering(image: tf.Tensor, resize: tuple[int, int]) -> tf.Tensor:
    """The whole picture, resized until it covers `resize`; see `Fit`."""
    sides = tf.shape(image)[:2]
    ratio = tf.reduce_max(tf.constant(resize, tf.int32) / sides)
    sides = tf.cast(tf.round(tf.cast(sides, tf.float64) * ratio), tf.int32)
    return tf.image.resize(image, sides, antialias=True)


def _cropped(image: tf.Tensor, resize: tuple[int, int]) -> tf.Tensor:
    """The picture, cropped to the proportions of `resize` and resized to it; see `Fit`."""
    h, w = tf.unstack(tf.shape(image)[:2])
    height, width = resize
    crop_h, crop_w = tf.minimum(h, w * height // width), tf.minimum(w, h * width // height)
    crop_h, crop_w = tf.maximum(crop_h, 1), tf.maximum(crop_w, 1)
    image = tf.image.crop_to_bounding_box(image, (h - crop_h) // 2, (w - crop_w) // 2, crop_h, crop_w)
    return tf.image.resize(image, resize, antialias=True)
