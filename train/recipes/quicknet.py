"""QuickNet on small images: a start to tune from. No result is claimed for it.

python -m train quicknet_small --dataset fashion_mnist --data-dir /usr/share/datasets/fashion-mnist --run runs/quicknet
"""

from bduo_tf.runs import Recipe

RECIPE = Recipe(augmentation="crop_flip", weight_decay=1e-4, width=0.25)
