"""VGG-7 on a data set without a recipe of its own: a start to tune from. No result is claimed for it.

python -m train vgg7 --dataset svhn_cropped --run runs/svhn
"""

from bduo_tf.runs import Recipe

RECIPE = Recipe(augmentation="crop", weight_decay=1e-4)
