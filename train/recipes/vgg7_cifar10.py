"""VGG-7 on CIFAR-10, the paper's training.

    python -m train vgg7 --dataset cifar10 --run runs/cifar10

Kim et al., "BinaryDuo", ICLR 2020, CIFAR-10 experiments, and the authors' code: SGD with Nesterov
momentum 0.9, rate 0.1 multiplied by 0.1 at epochs 121 and 161, weight decay 1e-4, batches of 256. The
authors leave the rate of fine-tuning open; here it is the coupled stage's first drop. Their VGG-7 keeps
float weights (`--float-weights`); the default here is binary ones, which can be deployed.

Not run to its end by us: no accuracy or time is claimed.
"""

from bduo_tf.runs import Recipe

RECIPE = Recipe(
    batch_size=256,
    epochs=200,
    fine_tune_epochs=100,
    optimizer="sgd",
    learning_rate=0.1,
    fine_tune_learning_rate=0.01,
    drops=(0.6, 0.8),
    weight_decay=1e-4,
    augmentation="crop_flip",
)
