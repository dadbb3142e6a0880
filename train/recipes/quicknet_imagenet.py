"""QuickNet on ImageNet, with the settings of the paper's ResNet-18: a start to tune from.

    python -m train quicknet --dataset imagenet2012 --data-dir FOLDER --run runs/quicknet

Bannink et al., MLSys 2021, train QuickNet for 600 epochs with signs and two optimizers; nothing is known of coupled
activations in it. So these are BinaryDuo's own settings. docs/distributed.md has the command for several GPUs.

Not run by us: no accuracy or time is claimed.
"""

from . import resnet18_imagenet

RECIPE = resnet18_imagenet.RECIPE
