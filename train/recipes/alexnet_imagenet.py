"""AlexNet on ImageNet, the paper's training as far as its code tells it.

    python -m train alexnet --dataset imagenet2012 --data-dir FOLDER --run runs/alexnet

Kim et al., "BinaryDuo", ICLR 2020, and the authors' code: the rate drops at epochs 41, 71 and 91, and in fine-tuning at
16, 26 and 36. The number of coupled epochs is ours; `_imagenet` says what else is theirs and what is not.
docs/distributed.md has the command for several GPUs.

Not run by us: no accuracy or time is claimed.
"""

from dataclasses import replace

from ._imagenet import PAPER

RECIPE = replace(PAPER, epochs=100, drops=(0.4, 0.7, 0.9), fine_tune_drops=(0.375, 0.625, 0.875))
