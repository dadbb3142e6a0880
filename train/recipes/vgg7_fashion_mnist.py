"""VGG-7 on Fashion-MNIST, at half the paper's widths: a result within ten minutes on two cores.

    python -m train vgg7 --dataset fashion_mnist --data-dir /usr/share/datasets/fashion-mnist --run runs/fashion

The README's results are of this recipe; docs/results.md says how its rates were chosen. The paper has none for this
data set.
"""

from bduo_tf.runs import Recipe

RECIPE = Recipe(batch_size=128, epochs=6, fine_tune_epochs=4, augmentation="flip", width=0.5)
