"""The paper's networks and QuickNet, each in a file of its own, and the choice of their widths."""

import functools
from collections.abc import Callable

from bduo_tf.backend import keras
from bduo_tf.networks._widths import duo_widths, paper_widths
from bduo_tf.networks.alexnet import alexnet
from bduo_tf.networks.quicknet import quicknet
from bduo_tf.networks.resnet18 import resnet18
from bduo_tf.networks.vgg7 import vgg7

__all__ = ["NETWORKS", "alexnet", "duo_widths", "paper_widths", "quicknet", "resnet18", "vgg7"]

NETWORKS: dict[str, Callable[..., keras.Model]] = {
    "alexnet": alexnet,
    "quicknet": quicknet,
    "quicknet_large": functools.partial(quicknet, size="large"),
    "quicknet_small": functools.partial(quicknet, size="small"),
    "resnet18": resnet18,
    "resnet18_block": functools.partial(resnet18, shortcut="block"),
    "vgg7": vgg7,
}
"""Every network and variant by name. All take the arguments input_shape, classes, form, levels, width, widths,
binary_weights, per_channel and gradient; `help` of one says what they mean, and what else it takes."""
