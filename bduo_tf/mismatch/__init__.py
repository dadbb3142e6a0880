"""Measures how far the straight-through gradient is from the gradient of the smoothed loss.

    bduo_tf.mismatch.similarities(model, "mse", x, y, eps=0.1)

compares, for each kernel, the backward pass with the coordinate discrete gradient: central differences of the loss
through the true quantized forward pass. Its parts are public as well: `discrete_gradient`, `evolution_gradient`,
`backward_gradients`, `cosine`.

Perturbations are evaluated in one of two ways, chosen for each variable. The fast way (`_channels.py`) evaluates many
coordinates at once, and each only as far as it changes anything. It serves Dense and Conv2D layers (Larq's too) and
batch norms that are called once, where the kernel quantizer, if any, leaves the other output channels alone. The
general way assigns the perturbed variable and runs the layers that depend on it, compiled, for one perturbation after
the other. It serves every other layer, such as one whose kernel has a common scale, and evolution strategies. In both
ways the layers that do not depend on the variable are run once. In inference mode every layer must treat each sample
by itself.
"""

from bduo_tf.mismatch._cosine import Similarity, cosine
from bduo_tf.mismatch._estimators import backward_gradients, discrete_gradient, evolution_gradient, similarities

__all__ = [
    "Similarity",
    "backward_gradients",
    "cosine",
    "discrete_gradient",
    "evolution_gradient",
    "similarities",
]
