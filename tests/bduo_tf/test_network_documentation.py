"""What `help` says of a network: its docstring explains every argument, though most of these are documented once."""

import inspect
import re

import pytest

from bduo_tf.networks import alexnet, quicknet, resnet18, vgg7


@pytest.mark.parametrize("network", [alexnet, quicknet, resnet18, vgg7])
def test_every_argument_is_explained_once(network):
    text = inspect.getdoc(network)
    for name in inspect.signature(network).parameters:
        assert len(re.findall(rf"^    {name}: ", text, re.MULTILINE)) == 1, name
    assert re.findall(r"^(\w+):$", text, re.MULTILINE) == ["Args", "Returns", "Raises", "Reference"]
    assert "{" not in text
