"""From a Larq network to BinaryDuo: the network as it is beside its coupled form, trained for the same epochs.

python -m examples.from_larq

The network is written in plain Larq. Put your own in its place: `network` only has to return a Keras model. It needs no
download: the pictures are scikit-learn's handwritten digits. On so few and small ones the two are about level, and a
single run does not tell more; docs/results.md compares on larger data, over several seeds.
"""

# %% What is needed
import argparse
from pathlib import Path

import bduo_tf  # before tensorflow: it chooses Keras 2, which Larq needs

import larq as lq  # isort: skip
import numpy as np
import tensorflow as tf

from bduo_tf import data

parser = argparse.ArgumentParser(description="Trains a Larq network and its BinaryDuo form side by side.")
parser.add_argument("--epochs", type=int, default=15, help="of each; BinaryDuo spends a third of them on fine-tuning")
parser.add_argument("--output", type=Path, default=Path("runs/from_larq"), help="folder for the .tflite files")
args = parser.parse_args()
args.output.mkdir(parents=True, exist_ok=True)

digits = data.load("digits", (16, 16))
images, labels = (np.array(x) for x in zip(*digits.train.as_numpy_iterator(), strict=True))
test_images, test_labels = (np.array(x) for x in zip(*digits.test.as_numpy_iterator(), strict=True))


# %% A binary network as Larq's documentation writes it: signs of activations and kernels
def network() -> tf.keras.Model:
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    return tf.keras.Sequential(
        [
            tf.keras.Input(digits.input_shape),
            tf.keras.layers.Conv2D(48, 3, padding="same", use_bias=False, name="conv1"),
            tf.keras.layers.BatchNormalization(momentum=0.9, scale=False, name="norm1"),
            lq.layers.QuantConv2D(64, 3, padding="same", pad_values=1, use_bias=False, name="conv2", **signs),
            tf.keras.layers.MaxPool2D(name="pool2"),
            tf.keras.layers.BatchNormalization(momentum=0.9, scale=False, name="norm2"),
            lq.layers.QuantConv2D(96, 3, padding="same", pad_values=1, use_bias=False, name="conv3", **signs),
            tf.keras.layers.MaxPool2D(name="pool3"),
            tf.keras.layers.BatchNormalization(momentum=0.9, scale=False, name="norm3"),
            lq.layers.QuantConv2D(128, 3, pad_values=1, use_bias=False, name="conv4", **signs),
            tf.keras.layers.BatchNormalization(momentum=0.9, name="norm4"),
            tf.keras.layers.GlobalAveragePooling2D(name="pool4"),
            tf.keras.layers.Dense(10, name="logits"),
        ],
        name="larq",
    )


def trained(model: tf.keras.Model, epochs: int, rate: float) -> tf.keras.Model:
    rates = tf.keras.optimizers.schedules.CosineDecay(rate, epochs * -(-len(images) // 32))
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(rates), loss, metrics=["accuracy"])
    model.fit(images, labels, 32, epochs, verbose=2, validation_data=(test_images, test_labels))
    return model


# %% Larq's network, trained as it is
tf.keras.utils.set_random_seed(0)
original = trained(network(), args.epochs, 1e-2)

# %% The same network coupled: fewer filters, so that it weighs no more once it is decoupled
tf.keras.utils.set_random_seed(0)
coupled = bduo_tf.couple(network())
print(bduo_tf.coupling_report(original, coupled))

# %% BinaryDuo: coupled, then decoupled and fine-tuned
fine_tuning = max(1, args.epochs // 3)
trained(coupled, max(1, args.epochs - fine_tuning), 1e-2)
binary = trained(bduo_tf.decouple(coupled), fine_tuning, 3e-3)

# %% Both as verified files
for name, model in {"larq": original, "binaryduo": binary}.items():
    converted = bduo_tf.to_tflite(model, test_images, test_labels, class_names=digits.class_names, fit=digits.fit)
    converted.save(args.output / f"{name}.tflite")
    accuracy = converted.report.verifications["LCE"].accuracy
    print(f"{name:<10} {accuracy:.2%} of the test images, {converted.report.size:,} bytes")
