"""One stage: convolution and pooling in the encoder, unpooling and transposed convolution in the decoder."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from deconv_ae.layers import BandedConv2D, BandedConv2DTranspose, MaxPoolingWithArgmax2D, MaxUnpooling2D
from deconv_ae.model.architecture import Architecture, Pair
from deconv_ae.ops import checks, environment
from deconv_ae.ops.switches import switches_of
from deconv_ae.ops.unpooling import unpool_switches
from deconv_ae.ops.windows import Windows


@dataclass(frozen=True, eq=False)
class Stage:
    """The four layers of a stage, which the autoencoder, its encoder and its decoder share.

    The windows of a stage do not overlap. Within a stage, only switches lead from the encoder to the decoder.

    Attributes:
        input_shape: (height, width, channels) of its images.
        output_shape: (height, width, filters) of its pooled images.
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
        """Makes stage `number` of an architecture, counted from 1, with fresh layers."""
        input_shape, output_shape = architecture.stage_shapes(image_shape)[number - 1 : number + 1]
        pool_size = architecture.pool_sizes[number - 1]
        # Each layer gets its own copy of the initializer. Layers that share an initializer get the same values, even
        # without a seed.
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
            # The reconstruction has the variables' precision, so loss and metric get float32 under mixed precision.
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
        """Turns `(N, *input_shape)` into pooled values and uint8 switches, each `(N, *output_shape)`."""
        return self._implementation(environment.compiled_by_xla()).encode(images)

    def decode(self, values: Any, switches: Any) -> Any:
        """Turns values and switches, each `(N, *output_shape)`, into `(N, *input_shape)`.

        Every switch has to be inside of its window.
        """
        return self._implementation(environment.compiled_by_xla()).decode(values, switches)

    def is_faster_compiled(self, pixels: int) -> bool:
        """Whether XLA makes training faster on this machine, with this many pixels in an epoch's images."""
        return self._implementation(compiled=True).is_faster_compiled(pixels)

    def _implementation(self, compiled: bool) -> "_Implementation":
        """Returns the fastest implementation of the stage on this machine. `compiled`: whether XLA compiles the stage.

        Nothing else in the library imports `model.fast`. If that folder and this `if` are deleted, every stage computes
        with its layers.
        """
        if (
            environment.BACKEND == "tensorflow"
            and not environment.is_portable()
            and not environment.has_gpu()
            and self.convolution.compute_dtype == self.deconvolution.compute_dtype == "float32"
        ):
            from deconv_ae.model import fast  # model.fast needs TensorFlow.

            if fast.blocks_are_faster(self.input_shape[-1], self.output_shape[-1], self.pool_size, compiled):
                return _Implementation(
                    lambda images: fast.encode(images, self.pool_size, *self.convolution.weights),
                    lambda values, switches: fast.decode(
                        values, switches, self.pool_size, self._size, *self.deconvolution.weights
                    ),
                    fast.is_faster_compiled,
                )
        return _Implementation(self._encode_by_layers, self._decode_by_layers, is_faster_compiled=lambda pixels: False)

    def _encode_by_layers(self, images: Any) -> tuple[Any, Any]:
        pooled, argmax = self.pooling(self.convolution(images))
        return pooled, switches_of(argmax, self._size, self._windows)[0]

    def _decode_by_layers(self, values: Any, switches: Any) -> Any:
        return self.deconvolution(unpool_switches(values, switches, self._size, self._windows))

    def check_switches(self, switches: Any) -> Any:
        """Returns the switches if all are inside of their windows. Else raises an error, see `Autoencoder.decode`."""
        positions = self.pool_size[0] * self.pool_size[1]
        # In a window of 256 positions, the bound 256 does not fit into uint8.
        numbers = checks.as_integers("switches", switches)
        are_inside = keras.ops.all((numbers >= 0) & (numbers < positions))
        return environment.checked(checks.as_tensor("switches", switches), are_inside, checks.SWITCH_OUTSIDE_WINDOW)

    @property
    def _size(self) -> Pair:
        return self.input_shape[:2]

    @property
    def _windows(self) -> Windows:
        return Windows(self.pool_size, self.pool_size, "valid", "channels_last")


@dataclass(frozen=True, eq=False)
class _Implementation:
    """The functions that `Stage.encode`, `Stage.decode` and `Stage.is_faster_compiled` call."""

    encode: Callable[[Any], tuple[Any, Any]]
    decode: Callable[[Any, Any], Any]
    is_faster_compiled: Callable[[int], bool]


def _fresh(initializer: Any) -> keras.Initializer:
    return keras.initializers.get(initializer).clone()
