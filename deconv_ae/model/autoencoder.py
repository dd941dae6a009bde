"""The Keras model of an architecture, and the encoder and decoder that share its weights."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import keras

from deconv_ae.layers import (
    ArgmaxToSwitches2D,
    BandedConv2D,
    BandedConv2DTranspose,
    MaxPoolingWithArgmax2D,
    MaxUnpooling2D,
    SwitchesToArgmax2D,
)
from deconv_ae.model.architecture import Architecture, Pair


@keras.saving.register_keras_serializable(package="deconv_ae")
class Autoencoder(keras.Model):
    """Images to their reconstruction, with the encoder and the decoder as models that share its weights.

    Layers carry the original's names: `conv1`, `pool1`, `unpool1`, `deconv1`, then `conv2` and so
    on for further stages. Saves to `.keras` and loads without custom_objects.

    Input: `(N, height, width, channels)` images, scaled to [0, 1). Output: the same shape, not
    clipped; float32 also under a mixed precision policy.

    Args:
        architecture: an `Architecture`, or its fields in a dict.
        image_shape: (height, width, channels) of the images; any size, also one that a pooling
            does not divide: the rows and columns left over are restored as zeros by the unpooling.
        convolution_initializer, deconvolution_initializer: Keras initializers of the kernels.
            Biases start at zero.

    Raises:
        InputError: if a pooling window is larger than what it pools.

    >>> model = Autoencoder(Architecture(filters=(1,), pool_sizes=(4,)), (28, 28, 1))
    >>> [layer.name for layer in model.layers]
    ['images', 'conv1', 'pool1', 'unpool1', 'deconv1']
    >>> code, switches_1 = model.encoder(keras.ops.zeros((2, 28, 28, 1)))
    >>> tuple(code.shape), keras.backend.standardize_dtype(switches_1.dtype)
    ((2, 7, 7, 1), 'uint8')
    >>> tuple(model.decoder([code, switches_1]).shape)
    (2, 28, 28, 1)
    """

    def __init__(
        self,
        architecture: Architecture | dict[str, Any],
        image_shape: Sequence[int],
        convolution_initializer: Any = "glorot_uniform",
        deconvolution_initializer: Any = "glorot_uniform",
        name: str = "autoencoder",
        **options: Any,
    ) -> None:
        if not isinstance(architecture, Architecture):
            architecture = Architecture(**architecture)
        stages = list(_stages(architecture, image_shape, convolution_initializer, deconvolution_initializer))
        images = keras.Input(stages[0].input_shape, name="images")
        pooled, argmaxes = images, []
        for stage in stages:
            pooled, argmax = stage.pool(stage.convolution(pooled))
            argmaxes.append(argmax)
        reconstruction = pooled
        for stage, argmax in zip(reversed(stages), reversed(argmaxes)):
            reconstruction = stage.decode(reconstruction, argmax)
        super().__init__(inputs=images, outputs=reconstruction, name=name, **options)
        self.architecture = architecture
        self.image_shape = stages[0].input_shape
        self._initializers = tuple(
            keras.initializers.get(value) for value in (convolution_initializer, deconvolution_initializer)
        )
        # Stages are no layers, so Keras does not store what is in them a second time.
        self._stages = tuple(stages)

    @cached_property
    def encoder(self) -> keras.Model:
        """Images to the code, then one uint8 switches tensor for each pooling, outermost first."""
        images = keras.Input(self.image_shape, name="images")
        pooled, switches = images, []
        for name, stage in zip(self.architecture.switches_names, self._stages):
            pooled, argmax = stage.pool(stage.convolution(pooled))
            to_switches = ArgmaxToSwitches2D(stage.pool_size, input_size=stage.input_shape[:2], name=name)
            switches.append(to_switches(argmax))
        return keras.Model(images, [pooled, *switches], name="encoder")

    @cached_property
    def decoder(self) -> keras.Model:
        """The code and the switches, in the encoder's order, to the reconstruction."""
        code = keras.Input(self._stages[-1].output_shape, name="code")
        reconstruction: Any = code
        inputs: list[Any] = []
        for name, stage in zip(reversed(self.architecture.switches_names), reversed(self._stages)):
            switches = keras.Input(stage.output_shape, dtype="uint8", name=name)
            inputs.insert(0, switches)
            to_argmax = SwitchesToArgmax2D(
                stage.pool_size, input_size=stage.input_shape[:2], name=name.replace("switches", "argmax")
            )
            reconstruction = stage.decode(reconstruction, to_argmax(switches))
        return keras.Model([code, *inputs], reconstruction, name="decoder")

    def get_config(self) -> dict[str, Any]:
        convolution_initializer, deconvolution_initializer = map(_serialized, self._initializers)
        return {
            "architecture": asdict(self.architecture),
            "image_shape": list(self.image_shape),
            "convolution_initializer": convolution_initializer,
            "deconvolution_initializer": deconvolution_initializer,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> "Autoencoder":
        del custom_objects
        return cls(**config)


@dataclass(frozen=True)
class _Stage:
    """One stage's layers, which the autoencoder, the encoder and the decoder share."""

    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    pool_size: Pair
    convolution: keras.layers.Layer
    pool: MaxPoolingWithArgmax2D
    unpool: MaxUnpooling2D
    deconvolution: keras.layers.Layer

    def decode(self, pooled: Any, argmax: Any) -> Any:
        return self.deconvolution(self.unpool(pooled, argmax, output_size=self.input_shape[:2]))


def _stages(
    architecture: Architecture,
    image_shape: Sequence[int],
    convolution_initializer: Any,
    deconvolution_initializer: Any,
) -> Iterator[_Stage]:
    shapes = architecture.stage_shapes(image_shape)
    for index, (input_shape, output_shape) in enumerate(itertools.pairwise(shapes)):
        number = index + 1
        pool_size = architecture.pool_sizes[index]
        # A fresh copy for each layer: a seeded initializer that layers share repeats its values.
        convolution = BandedConv2D(
            output_shape[-1],
            architecture.kernel_size,
            activation="relu",
            kernel_initializer=_fresh(convolution_initializer),
            name=f"conv{number}",
        )
        deconvolution = BandedConv2DTranspose(
            input_shape[-1],
            architecture.kernel_size,
            use_bias=architecture.deconvolution_bias,
            kernel_initializer=_fresh(deconvolution_initializer),
            # The reconstruction leaves in the variables' precision, so that the loss and the
            # metric of a mixed precision run are float32's.
            dtype=keras.config.dtype_policy().variable_dtype if number == 1 else None,
            name=f"deconv{number}",
        )
        yield _Stage(
            input_shape=input_shape,
            output_shape=output_shape,
            pool_size=pool_size,
            convolution=convolution,
            pool=MaxPoolingWithArgmax2D(pool_size, name=f"pool{number}"),
            unpool=MaxUnpooling2D(pool_size, name=f"unpool{number}"),
            deconvolution=deconvolution,
        )


def _serialized(initializer: keras.Initializer) -> dict[str, Any]:
    """Without the options that were left at None: a Keras that does not know them yet, as those before 3.15 do not know
    HeNormal's axes, could not load the model."""
    serialized = keras.initializers.serialize(initializer)
    serialized["config"] = {name: value for name, value in serialized["config"].items() if value is not None}
    return serialized


def _fresh(initializer: Any) -> keras.Initializer:
    return keras.initializers.get(initializer).clone()
