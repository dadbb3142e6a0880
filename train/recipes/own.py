"""A network of the user's own on any data set: a start to tune from. No result is claimed for it.

python -m train my_nets:small --dataset digits --run runs/small
"""

from bduo_tf.runs import Recipe

RECIPE = Recipe(augmentation="crop", weight_decay=1e-4)
