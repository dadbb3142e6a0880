"""VGG-7 on scikit-learn's digits, at half the paper's widths: the demonstration, no download needed.

    python -m train vgg7 --dataset digits --run runs/digits

Seed 0 ends at 98.3 % test accuracy (360 images) on a processor with AVX2, after a minute or two on two cores. On others
sums round differently, and it may end at a few images more or less. Higher rates end as high; these give the coupled
stage less, and fine-tuning more to do.
"""

from bduo_tf.runs import Recipe

RECIPE = Recipe(
    batch_size=32,
    epochs=12,
    fine_tune_epochs=8,
    learning_rate=1e-3,
    fine_tune_learning_rate=1e-3,
    augmentation="none",
    width=0.5,
)
