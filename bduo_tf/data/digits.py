"""scikit-learn's handwritten digits as a TFDS builder: 1,797 real images that need no network."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bduo_tf.backend import tf  # noqa: F401  (chooses Keras 2 before TFDS imports TensorFlow)

import tensorflow_datasets as tfds  # isort: skip

__all__ = ["Digits"]


class Digits(tfds.core.GeneratorBasedBuilder):
    """The digits that scikit-learn packages: 1437 training and 360 test images, the classes in proportion in both."""

    name = "digits"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="1,797 handwritten digits of 8x8 pixels, 17 grey levels stretched to 0..255.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        bunch = load_digits()
        images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
        train, test = train_test_split(np.arange(len(images)), test_size=360, stratify=bunch.target, random_state=0)
        return {
            split: self._generate_examples(images[chosen], bunch.target[chosen])
            for split, chosen in (("train", train), ("test", test))
        }

    def _generate_examples(self, images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield index, {"image": image, "label": int(label)}
