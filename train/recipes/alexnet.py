"""AlexNet on small images: a start to tune from. No result is claimed for it.

python -m train alexnet --dataset svhn_cropped --run runs/alexnet
"""

from bduo_tf.runs import Recipe

RECIPE = Recipe(augmentation="crop", weight_decay=1e-4, width=0.25)
