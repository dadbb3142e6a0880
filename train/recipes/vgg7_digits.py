"""VGG-7 on scikit-learn's digits: the demonstration, no download needed."""

from train.recipe import Recipe

RECIPE = Recipe(batch_size=32, epochs=12, fine_tune_epochs=8, augmentation="none", width=0.5)
