"""How far the straight-through gradient is from the gradient of the smoothed loss.

    bduo_tf.mismatch.similarities(model, "mse", x, y, eps=0.1)

compares, for each kernel, the backward pass with the coordinate discrete gradient: central differences of the loss
through the true quantized forward pass. The parts are there too: `discrete_gradient`, `evolution_gradient`,
`backward_gradients`, `cosine`.

Two ways to evaluate perturbations, chosen for each variable. For Dense and Conv2D layers (Larq's too) and batch
norms that are called once, and whose kernel quantizer leaves the other output channels alone, many coordinates are
evaluated at once and only as far as they change anything (`_channels.py`). For every other layer, such as one
whose kernels have a common scale, and for evolution strategies, the variable is assigned and what depends on it
is run, compiled, for one perturbation after the other. In both, what does not depend on the variable is run once.
Every layer must treat each sample by itself in inference mode.
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
