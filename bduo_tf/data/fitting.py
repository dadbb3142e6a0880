"""How a picture comes to the network's size: one description, chosen for a data set, carried out here and on devices.

What is trained and evaluated on, and what a device shows the network, must be fitted alike. So the choice is a value,
`Fit`, that config.json and the .tflite file hold and the runtime carries out too.
"""

from dataclasses import dataclass

from bduo_tf.backend import tf

__all__ = ["Fit", "choose_fit", "fit_image"]


@dataclass(frozen=True)
class Fit:
    """How pictures of any size are brought to a network's input size, in two steps.

    First the picture is resized, bilinearly, with antialiasing where that shrinks it:

    - whole: all of it, its proportions kept, until it just covers `resize`. Of a picture of (height, width) the new
      sides are round(side * ratio), ratio = max(resize[0] / height, resize[1] / width).
    - not whole: it is cropped about its centre to the proportions of `resize` = (h, w), to min(height, width * h // w)
      by min(width, height * w // h) pixels and no less than 1, and resized to exactly `resize`.

    Then each side that is longer than the network's input is cropped about its centre, and each that is shorter gets a
    margin of zeros on both ends. What lies before the crop or the input's pixels is half of the difference, rounded
    down. Values are rounded to whole grey levels, halves to the even one, once: after the resizing.

    Attributes:
        resize: (height, width) in pixels.
        whole: as above.
    """

    resize: tuple[int, int]
    whole: bool


def choose_fit(pictures: tuple[int | None, int | None], size: tuple[int, int]) -> Fit:
    """How the pictures of a data set are brought to a network's input size.

    Pictures a little smaller than `size` (by at most a sixth, such as MNIST's 28 pixels for 32) keep their pixels and
    get a margin of zeros, the dark value. Pictures of several sizes are photographs: they are resized until they just
    cover 8/7 of `size` (256 for 224), whose centre is taken, as is usual for ImageNet. Any other is cropped about its
    centre to the proportions of `size`, then resized.

    Args:
        pictures: their (height, width); None for a side that is not the same in all of them.
        size: (height, width) of the network's input.
    """
    height, width = pictures
    if height is None or width is None:
        return Fit((round(size[0] * 8 / 7), round(size[1] * 8 / 7)), whole=True)
    if all(s * 5 / 6 <= known <= s for known, s in zip((height, width), size, strict=True)):
        return Fit((height, width), whole=False)
    return Fit(size, whole=False)


def fit_image(image: tf.Tensor, fit: Fit, size: tuple[int, int]) -> tf.Tensor:
    """`image` at the network's input size.

    Args:
        image: uint8, (height, width, channels); height and width may be unknown.
        fit: how.
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
    sides = tf.shape(image)[:2]
    ratio = tf.reduce_max(tf.constant(resize, tf.int32) / sides)
    sides = tf.cast(tf.round(tf.cast(sides, tf.float64) * ratio), tf.int32)
    return tf.image.resize(image, sides, antialias=True)


def _cropped(image: tf.Tensor, resize: tuple[int, int]) -> tf.Tensor:
    h, w = tf.unstack(tf.shape(image)[:2])
    height, width = resize
    crop_h, crop_w = tf.minimum(h, w * height // width), tf.minimum(w, h * width // height)
    crop_h, crop_w = tf.maximum(crop_h, 1), tf.maximum(crop_w, 1)
    image = tf.image.crop_to_bounding_box(image, (h - crop_h) // 2, (w - crop_w) // 2, crop_h, crop_w)
    return tf.image.resize(image, resize, antialias=True)
