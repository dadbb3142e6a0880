"""The recipes, one file each, and the table that finds one."""

from bduo_tf.runs import Recipe
from bduo_tf.user_code import names_function

from . import (
    alexnet,
    alexnet_imagenet,
    own,
    quicknet,
    quicknet_imagenet,
    resnet18,
    resnet18_imagenet,
    vgg7,
    vgg7_cifar10,
    vgg7_digits,
    vgg7_fashion_mnist,
)

__all__ = ["RECIPES", "find"]

OWN = "module:function"

RECIPES: dict[tuple[str, str | None], Recipe] = {
    ("vgg7", "digits"): vgg7_digits.RECIPE,
    ("vgg7", "fashion_mnist"): vgg7_fashion_mnist.RECIPE,
    ("vgg7", "cifar10"): vgg7_cifar10.RECIPE,
    ("vgg7", None): vgg7.RECIPE,
    ("alexnet", "imagenet2012"): alexnet_imagenet.RECIPE,
    ("alexnet", None): alexnet.RECIPE,
    **{(f"quicknet{size}", "imagenet2012"): quicknet_imagenet.RECIPE for size in ("", "_small", "_large")},
    **{(f"quicknet{size}", None): quicknet.RECIPE for size in ("", "_small", "_large")},
    ("resnet18", "imagenet2012"): resnet18_imagenet.RECIPE,
    ("resnet18_block", "imagenet2012"): resnet18_imagenet.RECIPE,
    ("resnet18", None): resnet18.RECIPE,
    ("resnet18_block", None): resnet18.RECIPE,
    (OWN, None): own.RECIPE,
}
"""(network, data set) -> recipe; the data set None stands for every other one, `OWN` for networks of the user's own."""


def find(network: str, dataset: str) -> Recipe:
    """The recipe of `network` on `dataset`, or else the network's general one.

    Raises:
        KeyError: the network has no recipe at all.
    """
    network = OWN if names_function(network) else network
    return RECIPES.get((network, dataset)) or RECIPES[network, None]
