"""What the paper's trainings on ImageNet have in common, as far as the authors' code tells it.

SGD with Nesterov momentum 0.9, a rate of 0.1 that is multiplied by 0.1 three times in each stage, weight decay 1e-4 and
batches of 256. The code leaves the numbers of epochs and the rate of fine-tuning open. The latter is that of the first
stage's first drop here. The augmentation is ImageNet's usual one, random parts resized and mirrored; evaluated is the
centre of 224 pixels of the image resized to 256.
"""

from bduo_tf.runs import Recipe

PAPER = Recipe(
    image_size=(224, 224),
    batch_size=256,
    fine_tune_epochs=40,
    optimizer="sgd",
    learning_rate=0.1,
    fine_tune_learning_rate=0.01,
    weight_decay=1e-4,
    augmentation="resized_crop_flip",
)
