"""One stage: convolution and pooling on the way in, unpooling and transposed convolution on the way out."""

from dataclasses import dataclass
from typing import Any

import keras

from deconv_ae.layers import BandedConv2D, BandedConv2DTranspose, MaxPoolingWithArgmax2D, MaxUnpooling2D
from deconv_ae.model.architecture import Architecture, Pair
from deconv_ae.ops import checks, environment
from deconv_ae.ops.switches import switches_of
from deconv_ae.ops.unpooling import unpool_switches
from deconv_ae.ops.windows import Windows

if environment.BACKEND == "tensorflow":
    from deconv_ae.model import fast


@dataclass(frozen=True, eq=False)
class Stage:
    """The four layers of a stage, which the whole autoencoder, its encoder and its decoder share.

    The windows of a stage do not overlap, and switches alone lead from the way in to the way out.

    Attributes:
        input_shape: (height, width, channels) of its images.
        output_shape: of its pooled images.
        pool_size: (height, width) of its windows.
        convolution, pooling, unpooling, deconvolution: its layers.
    """

    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    pool_size: Pair
    convolution: keras.layers.Layer
    pooling: MaxPoolingWithArgmax2D
    unpooling: MaxUnpooling2D
    deconvolution: keras.layers.Layer

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        number: int,
        image_shape: Any,
        convolution_initializer: Any,
        deconvolution_initializer: Any,
    ) -> "Stage":
        """Stage `number` of an architecture, from 1, with fresh layers."""
        input_shape, output_shape = architecture.stage_shapes(image_shape)[number - 1 : number + 1]
        pool_size = architecture.pool_sizes[number - 1]
        # A fresh copy for each layer: a seeded initializer that layers share repeats its values.
        convolution = BandedConv2D(
            output_shape[-1],
            architecture.kernel_size,
            padding="same",
            activation="relu",
            kernel_initializer=_fresh(convolution_initializer),
            name=f"conv{number}",
        )
        deconvolution = BandedConv2DTranspose(
            input_shape[-1],
            architecture.kernel_size,
            padding="same",
            use_bias=architecture.deconvolution_bias,
            kernel_initializer=_fresh(deconvolution_initializer),
            # The reconstruction leaves in the variables' precision, so that the loss and the metric of a mixed
            # precision run are float32's.
            dtype=keras.config.dtype_policy().variable_dtype if number == 1 else None,
            name=f"deconv{number}",
        )
        return cls(
            input_shape=input_shape,
            output_shape=output_shape,
            pool_size=pool_size,
            convolution=convolution,
            pooling=MaxPoolingWithArgmax2D(pool_size, data_format="channels_last", name=f"pool{number}"),
            unpooling=MaxUnpooling2D(pool_size, data_format="channels_last", name=f"unpool{number}"),
            deconvolution=deconvolution,
        )

    def encode(self, images: Any) -> tuple[Any, Any]:
        """`(N, *input_shape)` to pooled values and uint8 switches, each `(N, *output_shape)`."""
        if self.is_fast(environment.compiled_by_xla()):
            return fast.encode(images, *_weights(self.convolution), self.pool_size)
        pooled, argmax = self.pooling(self.convolution(images))
        return pooled, switches_of(argmax, self._size, self._windows)[0]

    def decode(self, values: Any, switches: Any) -> Any:
        """Values and switches, each `(N, *output_shape)`, to `(N, *input_shape)`. Switches have to be in the window."""
        if self.is_fast(environment.compiled_by_xla()):
            kernel, bias = _weights(self.deconvolution)
            return fast.decode(values, switches, kernel, bias, self.pool_size, self._size)
        return self.deconvolution(unpool_switches(values, switches, self._size, self._windows))

    def checked(self, switches: Any) -> Any:
        """Switches that someone hands over, if all are in the window."""
        positions = self.pool_size[0] * self.pool_size[1]
        switches = checks.as_tensor("switches", switches)
        inside = keras.ops.all(keras.ops.cast(switches, "int32") < positions)
        return environment.checked(switches, inside, checks.OUTSIDE_WINDOW)

    def is_fast(self, compiled: bool) -> bool:
        """Whether blocks are faster than the layers on this machine, and give the same; `compiled`, by XLA."""
        return (
            environment.BACKEND == "tensorflow"
            and not environment.is_portable()
            and not environment.has_gpu()
            and self.convolution.compute_dtype == self.deconvolution.compute_dtype == "float32"
            and fast.pays(self.input_shape[-1], self.output_shape[-1], compiled)
        )

    @property
    def _size(self) -> Pair:
        return self.input_shape[:2]

    @property
    def _windows(self) -> Windows:
        return Windows(self.pool_size, self.pool_size, "valid", "channels_last")


def _weights(layer: Any) -> tuple[Any, Any]:
    """A convolution's kernel and bias; None for none."""
    kernel, *bias = (checks.as_tensor("weights", weight) for weight in layer.weights)
    return kernel, bias[0] if bias else None


def _fresh(initializer: Any) -> keras.Initializer:
    return keras.initializers.get(initializer).clone()
