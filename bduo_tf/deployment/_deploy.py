"""Deployment from end to end, in two passes: nested models are inlined, then binary layers become +1/-1 arithmetic."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from bduo_tf import _graph
from bduo_tf.backend import keras
from bduo_tf.deployment._deployment import Deployment
from bduo_tf.deployment._inlining import Inliner
from bduo_tf.deployment._rewriting import Deployer

__all__ = ["deploy", "flat_float32", "flipped_activations", "to_lce_graph"]


def to_lce_graph(model: keras.Model) -> keras.Model:
    r"""The same function with every binary layer as a +1/-1 convolution for LCE.

    With a in {0, 1}, s = 1 - 2a (+1 where the activation is off) and a binary kernel W = alpha * w:

    \\[
    W * a = \frac{\alpha}{2} \left( (-w) * s + \sum w \right)
    \\]

    so that zero padding of a is the +1 padding of s, which LCE does for free. Activations that are signs
    (`ste_sign` and its like) are operands as they are. The convolution emitted yields integers. What follows
    it up to the next activation (batch normalization, threshold splits; max pools are kept) is folded in
    float64 into thresholds on those integers, each midway between two reachable ones, so that no tie can
    occur. Where floats are needed, scale and offset become one multiplication and addition, which LCE takes
    into the binary convolution.

    Layers that only move activations (up-sampling, padding, cropping, reshaping, concatenation, slices)
    move the bits. A layer with binary kernels that reads anything else stays a float layer;
    `deploy(model).floats` names each of those with the reason.

    Args:
        model: a functional or built sequential model whose activations are binary: what `decouple`
            returns, a baseline with `CoupledStep(1)`, or a Larq network. It is not changed. Half precision
            (`mixed_float16`) is for training: what is deployed computes in float32.

    Returns:
        A model of the same inputs and outputs for `larq_compute_engine.convert_keras_model`. Layers keep
        their names; nested models are inlined; dropout and random augmentation are gone. It is meant for
        inference only.

    Raises:
        ValueError: an activation is still coupled, a layer with 0/1 activations has float kernels or is of
            a kind that LCE cannot run, or a layer is called with `training=True`. The message names the
            layer and what to do.
    """
    return deploy(model).graph


def flipped_activations(model: keras.Model, images: Any) -> dict[str, tuple[int, int]]:
    """Counts the binary activations that differ between a model and its deployment graph, both in Keras.

    Args:
        model: a binary model, as `to_lce_graph` takes it.
        images: inputs, as the model takes them, few enough to be evaluated at once.

    Returns:
        For each layer that reads binary activations, by name: how many of them differ, and of how many.
    """
    deployment = deploy(model)
    if not deployment.readers:
        return {}
    return deployment.count_flips(images, np.asarray(deployment.probes()(images, training=False)))


def deploy(model: keras.Model) -> Deployment:
    """Does what `to_lce_graph` does, and says what corresponds in the two graphs.

    Args:
        model: as for `to_lce_graph`.

    Raises:
        ValueError: as `to_lce_graph`.
    """
    flat = flat_float32(model)
    with _float32_by_default():
        deployer = Deployer(flat)
        graph = deployer.rewrite(flat, f"{model.name}_lce")
    return Deployment(flat, graph, tuple(deployer.readers), tuple(deployer.floats))


def flat_float32(model: keras.Model) -> keras.Model:
    """The same function in one flat graph, its nested models inlined, that computes all in float32."""
    _graph.require_graph(model, "to_lce_graph")
    with _float32_by_default():
        return Inliner().rewrite(model, model.name)


@contextlib.contextmanager
def _float32_by_default() -> Iterator[None]:
    """Makes new layers compute in float32, whatever policy the user has set for the layers of a model to train."""
    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("float32")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(policy)
