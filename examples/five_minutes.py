"""The README's network in five minutes: trained coupled, decoupled, fine-tuned, converted, verified and run.

python -m examples.five_minutes

It needs no download: the pictures are scikit-learn's handwritten digits. The lines "# %%" make cells of it in editors
that know them, such as VS Code and Spyder; Jupyter opens it with jupytext.
"""

# %% What is needed
import argparse
from pathlib import Path

import bduo_tf  # before tensorflow: it chooses Keras 2, which Larq needs

import bduo_runtime  # isort: skip
import larq as lq
import numpy as np
import tensorflow as tf

from bduo_tf import data

parser = argparse.ArgumentParser(description="Trains, converts and runs a small binary network on handwritten digits.")
parser.add_argument("--epochs", type=int, default=12, help="of the coupled network; half as many fine-tune it")
parser.add_argument("--output", type=Path, default=Path("runs/five_minutes"), help="folder for the results")
args = parser.parse_args()
args.output.mkdir(parents=True, exist_ok=True)

# %% The data: images as float32 in [-1, 1], labels as integers
digits = data.load("digits", (28, 28))
images, labels = (np.array(x) for x in zip(*digits.train.as_numpy_iterator(), strict=True))
test_images, test_labels = (np.array(x) for x in zip(*digits.test.as_numpy_iterator(), strict=True))


# %% The network: activations of 0, 1/2 and 1 are two binary ones, coupled
def block(x, channels):
    x = lq.layers.QuantConv2D(
        channels,
        3,
        padding="same",
        use_bias=False,
        input_quantizer=bduo_tf.CoupledStep(2),
        kernel_quantizer=bduo_tf.ScaledSign(),
    )(x)
    return tf.keras.layers.BatchNormalization(momentum=0.9)(x)


tf.keras.utils.set_random_seed(0)
image = tf.keras.Input(digits.input_shape)
x = tf.keras.layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(image)
x = block(block(tf.keras.layers.BatchNormalization(momentum=0.9)(x), 48), 64)
x = tf.keras.layers.Dense(10)(tf.keras.layers.GlobalAveragePooling2D()(tf.keras.layers.ReLU()(x)))
coupled = tf.keras.Model(image, x)

# %% The first stage is plain Keras
loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
stopping = tf.keras.callbacks.EarlyStopping(patience=20, restore_best_weights=True)
evaluated = {"validation_data": (test_images, test_labels), "callbacks": [stopping], "batch_size": 32, "verbose": 2}
coupled.compile(tf.keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
coupled.fit(images, labels, epochs=args.epochs, **evaluated)

# %% Decoupled, it computes the same with binary activations; its thresholds and kernels are then free to be fine-tuned
binary = bduo_tf.decouple(coupled)
differences = np.abs(coupled.predict(test_images, verbose=0) - binary.predict(test_images, verbose=0)).max(axis=-1)
print(f"decoupled: the logits of the median test image differ by {np.median(differences):.1g}")
binary.compile(tf.keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
binary.fit(images, labels, epochs=max(1, args.epochs // 2), **evaluated)

# %% Converted and verified: the file is run beside Keras on every test image
converted = bduo_tf.to_tflite(
    binary, test_images, test_labels, class_names=digits.class_names, input_range=digits.input_range, fit=digits.fit
)
print(converted.report)  # a notebook shows it by itself
converted.save(args.output / "model.tflite")

# %% Where bytes, multiply-accumulates and milliseconds go
converted.timed().report.plot().savefig(args.output / "layers.png")

# %% On the device: this needs bduo_runtime alone, no TensorFlow
interpreter = bduo_runtime.Interpreter(args.output / "model.tflite")
picture = np.array(next(digits.test_pixels.as_numpy_iterator())[0])  # uint8, as a camera gives it
for found in interpreter.classify(picture, top=3):
    print(f"{found.probability:6.1%}  {found.label}")
