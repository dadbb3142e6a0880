"""The paper's networks, one file each."""

from bduo_tf.networks.vgg7 import vgg7

__all__ = ["vgg7"]
