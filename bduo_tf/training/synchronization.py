"""A model for several replicas: one step does what one device does with the whole batch, but for the order of sums."""

from typing import Any

from bduo_tf.backend import keras, tf

__all__ = ["SynchronizedNorm", "synchronized"]


def synchronized(model: keras.Model) -> keras.Model:
    """A copy of `model`, uncompiled, for the strategy in whose scope this is called.

    Its batch norms take the statistics of the whole batch, and so does the mean of its loss, however unevenly the
    replicas share the images. It has the same weights in the same order.
    """

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        norm = type(layer) is keras.layers.BatchNormalization
        return (SynchronizedNorm if norm else type(layer)).from_config(layer.get_config())

    layers = keras.models.clone_model(model, clone_function=clone)
    copy = _SynchronizedModel(layers.inputs, layers.outputs, name=model.name)
    copy.set_weights(model.get_weights())
    return copy


class SynchronizedNorm(keras.layers.BatchNormalization):
    """Keras' batch normalization with the mean and the variance of the images of all replicas.

    Keras' own `BatchNormalization(synchronized=True)` is not what one device computes: its moving variance is that of
    the batch, where the fused kernel's is the unbiased estimate, and its E(x^2) - E(x)^2 cancels where the mean is
    large. Here the moving mean is subtracted first, and what replicas exchange is one vector a layer.

    Reference:
        Chan, Golub & LeVeque, "Algorithms for Computing the Sample Variance", 1983 (shifted data).
    """

    def call(self, inputs: tf.Tensor, training: Any = None, mask: Any = None) -> tf.Tensor:
        replica = tf.distribute.get_replica_context()
        if self._get_training_value(training) is not True or replica is None:
            return super().call(inputs, training=training, mask=mask)
        x = tf.cast(inputs, self.moving_mean.dtype)
        [axis] = self.axis
        others = [i for i in range(len(x.shape)) if i != axis]
        shape = [-1 if i == axis else 1 for i in range(len(x.shape))]

        shift = tf.convert_to_tensor(self.moving_mean)
        shifted = x - tf.reshape(shift, shape)
        values = tf.cast(tf.size(x), x.dtype) / x.shape[axis]
        sums = [tf.reduce_sum(shifted, others), tf.reduce_sum(tf.square(shifted), others), values[None]]
        total = replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.concat(sums, 0))
        first, second, values = tf.split(total, [x.shape[axis], x.shape[axis], 1])
        first, second = first / values, second / values
        mean, variance = shift + first, tf.maximum(second - tf.square(first), 0.0)

        # Keras' fused kernel, which two-dimensional feature maps have, estimates without bias; its other one does not.
        unbiased = variance * values / tf.maximum(values - 1, 1) if self.fused else variance
        self._assign_moving_average(self.moving_mean, mean, self.momentum, None)
        self._assign_moving_average(self.moving_variance, unbiased, self.momentum, None)

        beta, gamma = (None if v is None else tf.reshape(v, shape) for v in (self.beta, self.gamma))
        mean, variance = tf.reshape(mean, shape), tf.reshape(variance, shape)
        return tf.cast(tf.nn.batch_normalization(x, mean, variance, beta, gamma, self.epsilon), inputs.dtype)


class _SynchronizedModel(keras.Model):
    """Keras averages the replicas' mean losses, which is the mean over the batch only if all have as many images."""

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> tf.Tensor:
        loss = super().compute_loss(x, y, y_pred, sample_weight)
        replica = tf.distribute.get_replica_context()
        images = tf.cast(tf.shape(y)[0], loss.dtype)
        mean = replica.all_reduce(tf.distribute.ReduceOp.MEAN, images)
        return loss * images / mean
