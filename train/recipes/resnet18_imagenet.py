"""ResNet-18 on ImageNet, the paper's training as far as its code tells it.

    python -m train resnet18 --dataset imagenet2012 --data-dir FOLDER --run runs/resnet18

The authors' code: SGD with Nesterov momentum 0.9, rate 0.1 multiplied by 0.1 at epochs 71, 91 and 111, in fine-tuning
at 21, 31 and 36, weight decay 1e-4, batches of 256. It leaves the numbers of epochs and the rate of fine-tuning open;
here they are 120 and 40, and the first stage's first drop. The augmentation is ImageNet's usual one,
random parts resized and mirrored; evaluated is the centre of 224 pixels of the image resized to 256.
docs/distributed.md has the command for several GPUs.

Not run by us: no accuracy or time is claimed.
"""

from bduo_tf.training.recipe import Recipe

RECIPE = Recipe(
    image_size=(224, 224),
    batch_size=256,
    epochs=120,
    fine_tune_epochs=40,
    optimizer="sgd",
    learning_rate=0.1,
    fine_tune_learning_rate=0.01,
    drops=(70 / 120, 90 / 120, 110 / 120),
    fine_tune_drops=(0.5, 0.75, 0.875),
    weight_decay=1e-4,
    augmentation="resized_crop_flip",
)
