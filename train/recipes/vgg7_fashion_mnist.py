"""VGG-7 on Fashion-MNIST."""

from train.recipe import Recipe

RECIPE = Recipe(batch_size=128, epochs=12, fine_tune_epochs=8, augmentation="flip")
