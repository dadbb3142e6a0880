"""Random Keras graphs from short programs, and the comparison of two graphs that should compute the same function.

A program is a tuple of steps; a step is a small dataclass that Hypothesis draws and prints, and that adds
layers to a tensor when called. Steps adapt to the tensor they meet (a stride or a group that does not fit
is left out), so that any sequence of them is a network.
"""

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import Phase
from hypothesis import strategies as st

from bduo_tf import CoupledStep, ScaledSign
from bduo_tf.backend import keras, lq

IMAGE = (8, 8, 3)

# Hypothesis does not shrink failing programs: that would take minutes, and they are short as they are drawn.
GENERATE = (Phase.explicit, Phase.generate)
FEW = 2
"""How many random graphs of each kind the quick tests try."""
MANY = int(os.environ.get("BDUO_EXAMPLES", "6"))
"""How many random graphs of each kind the slow tests try: BDUO_EXAMPLES=100 searches longer than CI has time for."""


LARQ = {
    "dorefa1": lambda: lq.quantizers.DoReFa(1),
    "dorefa2": lambda: lq.quantizers.DoReFa(2),
    "heaviside": lambda: lq.quantizers.SteHeaviside(),
}
"""Larq's own steps of 0 to 1, by the name that stands for them among the levels."""


def kernel_quantizer(scale: str | None) -> Any:
    if scale == "sign":
        return "ste_sign"
    return None if scale is None else ScaledSign(per_channel=scale == "channel")


def input_quantizer(levels: int | str | None) -> Any:
    if isinstance(levels, str):
        return LARQ[levels]()
    return None if levels is None else CoupledStep(levels)


def norm(x: Any) -> Any:
    """A batch norm that takes over the statistics of a batch in one call in training mode; see `randomize`."""
    return keras.layers.BatchNormalization(momentum=0.0)(x)


@dataclass(frozen=True)
class Conv:
    filters: int = 4
    kernel: int = 3
    strides: int = 1
    padding: str = "same"
    dilation: int = 1
    groups: int = 1
    bias: bool = False
    levels: int | str | None = 2
    scale: str | None = "layer"
    activation: str | None = None

    def layer(self, channels: int, size: int = 8, **changes: Any) -> keras.layers.Layer:
        groups = self.groups if channels % self.groups == 0 else 1
        kernel = min(self.kernel, size)
        dilation = self.dilation if self.strides == 1 and (kernel - 1) * self.dilation < size else 1
        options = {
            "filters": self.filters * groups,
            "kernel_size": kernel,
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": dilation,
            "groups": groups,
            "use_bias": self.bias,
            "input_quantizer": input_quantizer(self.levels),
            "kernel_quantizer": kernel_quantizer(self.scale),
            "activation": self.activation,
            "bias_initializer": keras.initializers.RandomNormal(stddev=0.3),
        }
        return lq.layers.QuantConv2D(**{**options, **changes})

    def keeping_shape(self, channels: int, **changes: Any) -> keras.layers.Layer:
        return self.layer(channels, **{"strides": 1, "padding": "same", "filters": channels, "groups": 1, **changes})

    def __call__(self, x: Any) -> Any:
        return norm(self.layer(x.shape[-1], min(x.shape[1:3]))(x))


@dataclass(frozen=True)
class Transposed:
    filters: int
    kernel: int
    strides: int
    padding: str
    levels: int | None
    scale: str | None

    def __call__(self, x: Any) -> Any:
        if x.shape[1] > 8:
            return x
        layer = lq.layers.QuantConv2DTranspose(
            self.filters,
            self.kernel,
            strides=self.strides,
            padding=self.padding,
            input_quantizer=input_quantizer(self.levels),
            kernel_quantizer=kernel_quantizer(self.scale),
        )
        return norm(layer(x))


@dataclass(frozen=True)
class Separable:
    filters: int
    kernel: int
    multiplier: int
    levels: int | None
    depthwise_scale: str | None
    pointwise_scale: str | None

    def __call__(self, x: Any) -> Any:
        layer = lq.layers.QuantSeparableConv2D(
            self.filters,
            self.kernel,
            padding="same",
            depth_multiplier=self.multiplier,
            input_quantizer=input_quantizer(self.levels),
            depthwise_quantizer=kernel_quantizer(self.depthwise_scale),
            pointwise_quantizer=kernel_quantizer(self.pointwise_scale),
        )
        return norm(layer(x))


@dataclass(frozen=True)
class Pool:
    kind: str
    size: int
    strides: int
    padding: str
    norm: bool

    def __call__(self, x: Any) -> Any:
        pool = {"max": keras.layers.MaxPool2D, "average": keras.layers.AveragePooling2D}[self.kind]
        size = min(self.size, *x.shape[1:3])
        x = pool(size, strides=self.strides, padding=self.padding)(x)
        return norm(x) if self.norm else x


@dataclass(frozen=True)
class PoolThenNorm:
    """Layers in the order of the paper: convolution, max pool, batch norm, activation."""

    conv: Conv
    size: int

    def __call__(self, x: Any) -> Any:
        x = self.conv.layer(x.shape[-1], min(x.shape[1:3]))(x)
        return norm(keras.layers.MaxPool2D(self.size, padding="same")(x))


@dataclass(frozen=True)
class Plain:
    kind: str

    def __call__(self, x: Any) -> Any:
        layers = {"relu": keras.layers.ReLU, "dropout": lambda: keras.layers.Dropout(0.3), "norm": lambda: norm}
        return layers[self.kind]()(x)


@dataclass(frozen=True)
class Residual:
    conv: Conv

    def __call__(self, x: Any) -> Any:
        return keras.layers.Add()([x, norm(self.conv.keeping_shape(x.shape[-1])(x))])


@dataclass(frozen=True)
class Branches:
    first: Conv
    second: Conv

    def __call__(self, x: Any) -> Any:
        paths = [c.keeping_shape(x.shape[-1], filters=c.filters)(x) for c in (self.first, self.second)]
        return norm(keras.layers.Concatenate()(paths))


def through(x: Any, kind: str) -> Any:
    """Applies a layer through which the copies of channels pass."""
    layers = {
        "nothing": lambda: lambda x: x,
        "max": lambda: keras.layers.MaxPool2D(2, strides=1),
        "average": lambda: keras.layers.AveragePooling2D(2, strides=1, padding="same"),
        "pad": lambda: keras.layers.ZeroPadding2D(((1, 0), (0, 2))),
        "crop": lambda: keras.layers.Cropping2D(((0, 1), (0, 0))),
        "up": lambda: keras.layers.UpSampling2D(2),
        "dropout": lambda: keras.layers.SpatialDropout2D(0.2),
    }
    return x if min(x.shape[1:3]) < 2 or max(x.shape[1:3]) > 8 else layers[kind]()(x)


THROUGH = ("nothing", "max", "average", "pad", "crop", "up", "dropout")


@dataclass(frozen=True)
class Activation:
    """A coupled activation that is a layer, a layer through which it passes, and layers that read it."""

    levels: int
    wrapped: bool
    passes: str
    consumers: tuple[Conv, ...]

    def __call__(self, x: Any) -> Any:
        step = CoupledStep(self.levels)
        x = through((keras.layers.Activation(step) if self.wrapped else step)(x), self.passes)
        readers = [c.keeping_shape(x.shape[-1], filters=3, input_quantizer=None)(x) for c in self.consumers]
        return norm(readers[0] if len(readers) == 1 else keras.layers.Add()(readers))


@dataclass(frozen=True)
class MixedLevels:
    """One kernel that reads activations of different levels, and floats before these if `float_first`."""

    levels: tuple[int, int]
    float_first: bool
    conv: Conv

    def __call__(self, x: Any) -> Any:
        parts = [CoupledStep(self.levels[0])(x), CoupledStep(self.levels[1])(norm(x))]
        x = keras.layers.Concatenate()([x, *parts] if self.float_first else parts)
        return norm(self.conv.keeping_shape(x.shape[-1], filters=3, input_quantizer=None)(x))


@dataclass(frozen=True)
class Shared:
    """One layer that is called on its own output, and one activation that is called on two tensors."""

    conv: Conv
    levels: int

    def __call__(self, x: Any) -> Any:
        layer = self.conv.keeping_shape(x.shape[-1])
        x = layer(norm(layer(x)))
        step = CoupledStep(self.levels)
        reader = self.conv.keeping_shape(x.shape[-1], input_quantizer=None)
        return norm(keras.layers.Add()([reader(step(x)), reader(step(norm(x)))]))


@dataclass(frozen=True)
class Nested:
    """A nested model, functional or sequential, that reads floats or copies of channels and is called once or twice."""

    conv: Conv
    inner: Conv
    sequential: bool
    wide: int | None
    twice: bool

    def __call__(self, x: Any) -> Any:
        shape = x.shape[1:]
        first = self.conv.keeping_shape(shape[-1], **({"input_quantizer": None} if self.wide else {}))
        last = self.inner.keeping_shape(shape[-1])
        if self.sequential:
            model = keras.Sequential(
                [keras.Input(shape), first, keras.layers.BatchNormalization(momentum=0.0), last, keras.layers.ReLU()]
            )
        else:
            entry = keras.Input(shape)
            y = norm(first(entry))
            model = keras.Model(entry, keras.layers.Add()([y, last(y)]))
        read = CoupledStep(self.wide) if self.wide else (lambda x: x)
        x = norm(model(read(x)))
        return norm(model(read(x))) if self.twice else x


def head(kind: str, x: Any, conv: Conv, units: int) -> Any:
    step, scale = input_quantizer(conv.levels or 2), kernel_quantizer(conv.scale)
    if kind == "dense":
        x = keras.layers.Flatten()(x)
        return lq.layers.QuantDense(units, input_quantizer=step, kernel_quantizer=scale)(x)
    if kind == "dense of activation":
        x = keras.layers.Flatten()(step(x))
        return lq.layers.QuantDense(units, kernel_quantizer=scale)(x)
    if kind == "dense of pooled activation":
        x = keras.layers.GlobalAveragePooling2D()(step(x))
        return keras.layers.Dense(units)(x)
    if kind == "dense of pixels":
        x = norm(lq.layers.QuantDense(3, input_quantizer=step, kernel_quantizer=scale)(x))
        return keras.layers.Dense(units)(keras.layers.Flatten()(x))
    if kind.startswith("conv1d"):
        x = keras.layers.Reshape((-1, x.shape[-1]))(x)
        padding = kind.split()[1]
        x = lq.layers.QuantConv1D(
            2,
            min(conv.kernel, x.shape[1]),
            padding=padding,
            strides=conv.strides,
            input_quantizer=step,
            kernel_quantizer=scale,
        )(x)
        return keras.layers.Dense(units)(keras.layers.Flatten()(norm(x)))
    assert kind == "float"
    return keras.layers.Dense(units)(keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x)))


HEADS = (
    "dense",
    "dense of activation",
    "dense of pooled activation",
    "dense of pixels",
    "float",
    "conv1d causal",
    "conv1d same",
    "conv1d valid",
)


@dataclass(frozen=True)
class Program:
    """A model: one or two inputs, a float convolution, the steps, and one or more heads in a list or a dictionary."""

    steps: tuple[Any, ...]
    heads: tuple[str, ...] = ("dense",)
    head: Conv = Conv()
    channels: int = 4
    inputs: int = 1
    dictionary: bool = False
    seed: int = 0
    zero_gamma: bool = False

    def model(self) -> keras.Model:
        keras.utils.set_random_seed(self.seed)
        inputs = [keras.Input(IMAGE, name=f"image{i}") for i in range(self.inputs)]
        firsts = [norm(keras.layers.Conv2D(self.channels, 3, padding="same")(x)) for x in inputs]
        x = firsts[0] if len(firsts) == 1 else keras.layers.Add()(firsts)
        for step in self.steps:
            x = step(x)
        outputs = [head(kind, x, self.head, units) for units, kind in enumerate(self.heads, start=4)]
        if self.dictionary:
            outputs = {f"logits{i}": y for i, y in enumerate(outputs)}
        elif len(outputs) == 1:
            [outputs] = outputs
        model = keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs, name="coupled_graph")
        return randomize(model, self.seed, self.zero_gamma)

    def images(self, count: int = 16) -> Any:
        images = [images_for(self.seed + i, count) for i in range(self.inputs)]
        return images[0] if self.inputs == 1 else images


def images_for(seed: int, count: int = 16, shape: tuple[int, ...] = IMAGE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, *shape)).astype(np.float32)


def norms(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]


def randomize(model: keras.Model, seed: int = 0, zero_gamma: bool = False) -> keras.Model:
    """Gives batch norms scales of both signs, outputs spread around the thresholds, and the statistics of a batch."""
    rng = np.random.default_rng(seed)
    for layer in norms(model):
        if not layer.scale:  # QuickNet's stem has one that only normalizes
            continue
        channels = layer.gamma.shape[0]
        gamma = rng.uniform(0.3, 1.0, channels) * rng.choice([-1, 1], channels)
        if zero_gamma:
            gamma[rng.integers(channels)] = 0
        layer.gamma.assign(gamma)
        layer.beta.assign(rng.normal(0.5, 0.3, channels))
    shapes = [tuple(size or 16 for size in t.shape[1:]) for t in model.inputs]  # sizes that are open may be any
    images = [images_for(seed + 100 + i, 16, shape) for i, shape in enumerate(shapes)]
    images = [x.astype(t.dtype.as_numpy_dtype) for x, t in zip(images, model.inputs, strict=True)]
    model(images[0] if len(images) == 1 else images, training=True)
    for layer in norms(model):  # statistics differ a little from those of any one batch
        mean, variance = layer.moving_mean, layer.moving_variance
        mean.assign(mean.numpy() + 0.1 * rng.normal(size=mean.shape))
        variance.assign(variance.numpy() * rng.uniform(0.5, 2, variance.shape) + 1e-3)
    return model


def outputs_of(model: keras.Model, images: Any) -> np.ndarray:
    """All outputs of a model side by side, (images, numbers)."""
    outputs = model(images, training=False)
    outputs = [outputs[k] for k in sorted(outputs)] if isinstance(outputs, dict) else outputs
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return np.concatenate([np.reshape(y, (len(y), -1)) for y in outputs], axis=-1)


def differing_images(a: np.ndarray, b: np.ndarray, tolerance: float = 1e-4) -> int:
    """The number of images for which any output differs by more than rounding."""
    assert a.shape == b.shape
    assert np.isfinite(a).all()
    difference = np.abs(a - b).max(axis=-1)
    return int(np.sum(~(difference <= tolerance * np.maximum(1, np.abs(a).max(axis=-1)))))


def assert_same_function(a: np.ndarray, b: np.ndarray, ties: int = 1) -> None:
    """Asserts equal outputs for all images but `ties`: float32 may round a value to the other side of its threshold."""
    differing = differing_images(a, b)
    assert differing <= ties, f"{differing} of {len(a)} images differ, at most by {np.abs(a - b).max():.3g}"


# Strategies.


def convs(deployable: bool = False) -> st.SearchStrategy[Conv]:
    levels = st.one_of(st.integers(1, 4), st.sampled_from(sorted(LARQ)))
    return st.builds(
        Conv,
        filters=st.integers(1, 5),
        kernel=st.integers(1, 3),
        strides=st.sampled_from([1, 1, 2]),
        padding=st.sampled_from(["same", "valid"]),
        dilation=st.sampled_from([1, 1, 2]),
        groups=st.sampled_from([1, 1, 2, 3]),
        bias=st.booleans(),
        levels=levels if deployable else st.one_of(levels, st.none()),
        scale=st.sampled_from(["layer", "channel", "sign"] if deployable else ["layer", "channel", "sign", None]),
        activation=st.sampled_from([None, None, "relu"]),
    )


def step_kinds(deployable: bool = False) -> dict[str, st.SearchStrategy[Any]]:
    """Strategies for steps, by name. If `deployable`, LCE can run the steps once they are decoupled."""
    conv = convs(deployable)
    levels = st.integers(1, 4)
    padding = st.sampled_from(["same", "valid"])
    scale = st.sampled_from(["layer", "channel", None])
    float_conv = conv.map(lambda c: replace(c, scale=None))
    kinds = {
        "convolution": conv,
        "pool": st.builds(
            Pool, st.sampled_from(["max", "average"]), st.integers(2, 3), st.integers(1, 2), padding, st.booleans()
        ),
        "pool then norm": st.builds(PoolThenNorm, conv, st.integers(2, 3)),
        "plain": st.builds(Plain, st.sampled_from(["relu", "dropout", "norm"])),
        "residual": st.builds(Residual, conv),
        "branches": st.builds(Branches, conv, conv),
        "activation": st.builds(
            Activation,
            levels,
            st.booleans(),
            st.sampled_from(THROUGH),
            st.lists(conv, min_size=1, max_size=2).map(tuple),
        ),
        "mixed levels": st.one_of(
            # One scale cannot weigh activations of different levels: kernels are float, or both levels are the same.
            st.builds(MixedLevels, st.tuples(levels, levels), st.booleans(), float_conv),
            st.builds(MixedLevels, levels.map(lambda n: (n, n)), st.just(False), conv),
        ),
        "shared": st.builds(Shared, conv, levels),
        "nested": st.builds(Nested, conv, conv, st.booleans(), st.one_of(st.none(), st.integers(2, 4)), st.booleans()),
        "transposed": st.builds(
            Transposed,
            st.integers(1, 4),
            st.integers(1, 3),
            st.integers(1, 2),
            padding,
            st.one_of(st.none(), levels),
            scale,
        ),
        "separable": st.builds(
            Separable,
            st.integers(1, 4),
            st.integers(1, 3),
            st.integers(1, 2),
            st.one_of(st.none(), levels),
            st.sampled_from(["layer", "channel", "sign", None]),
            st.sampled_from(["layer", "channel", "sign", None]),
        ),
    }
    if deployable:
        del kinds["transposed"], kinds["separable"]
    return kinds


def programs(kind: str, deployable: bool = False) -> st.SearchStrategy[Program]:
    """Programs with a step of the given kind and some others before and behind it."""
    others = st.lists(st.one_of(list(step_kinds(deployable).values())), max_size=2)
    return st.builds(
        Program,
        steps=st.builds(
            lambda first, step, last: (*first, step, *last),
            others,
            step_kinds(deployable)[kind],
            others.map(lambda s: s[:1]),
        ),
        heads=st.lists(st.sampled_from(HEADS), min_size=1, max_size=2).map(tuple),
        head=convs(deployable),
        channels=st.integers(1, 5),
        inputs=st.integers(1, 2),
        dictionary=st.booleans(),
        seed=st.integers(0, 2**16),
        zero_gamma=st.booleans() if deployable else st.just(False),
    )
