"""The paper's networks, one file each."""

from bduo_tf.networks.alexnet import alexnet
from bduo_tf.networks.resnet18 import resnet18
from bduo_tf.networks.vgg7 import vgg7

__all__ = ["alexnet", "resnet18", "vgg7"]
