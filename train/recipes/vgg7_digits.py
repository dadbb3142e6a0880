"""VGG-7 on scikit-learn's digits, at half the paper's widths: the demonstration, no download needed.

    python -m train vgg7 --dataset digits --run runs/digits

Seed 0 ends at 99.7 % test accuracy (360 images) after one and a half minutes on two cores.
"""

from train.recipe import Recipe

RECIPE = Recipe(batch_size=32, epochs=12, fine_tune_epochs=8, augmentation="none", width=0.5)
