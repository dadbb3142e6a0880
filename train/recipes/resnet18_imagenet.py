"""ResNet-18 on ImageNet, the paper's training as far as its code tells it.

    python -m train resnet18 --dataset imagenet2012 --data-dir FOLDER --run runs/resnet18

Kim et al., "BinaryDuo", ICLR 2020, and the authors' code: the rate drops at epochs 71, 91 and 111, and in fine-tuning
at 21, 31 and 36. The number of coupled epochs is ours; `_imagenet` says what else is theirs and what is not.
docs/distributed.md has the command for several GPUs.

Not run by us: no accuracy or time is claimed.
"""

from dataclasses import replace

from ._imagenet import PAPER

RECIPE = replace(PAPER, epochs=120, drops=(70 / 120, 90 / 120, 110 / 120), fine_tune_drops=(0.5, 0.75, 0.875))
