"""The Keras model of an architecture, and the encoder and decoder that share its weights."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import keras

from deconv_ae.layers import ArgmaxToSwitches2D, SwitchesToArgmax2D
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.smooth_path import SmoothPath
from deconv_ae.model.stage import Stage


@keras.saving.register_keras_serializable(package="deconv_ae")
class Autoencoder(keras.Model):
    """Images to their reconstruction, with the encoder and the decoder as models that share its weights.

    Layers carry the original's names: `conv1`, `pool1`, `unpool1`, `deconv1`, then `conv2` and so on for further
    stages; with averages there are `averages`, `enlarge` and `rest` before them, and `reconstruction` at the end. A
    model of their outputs, `keras.Model(model.inputs, model.get_layer("conv1").output)`, runs these layers. Called
    whole, the autoencoder runs its stages, which compute the same with the same weights, faster where they can.
    Saves to `.keras` and loads without custom_objects.

    Input: `(N, height, width, channels)` images, scaled to [0, 1). Output: the same shape, not
    clipped; float32 also under a mixed precision policy.

    Args:
        architecture: an `Architecture`, or its fields in a dict.
        image_shape: (height, width, channels) of the images; any size, also one that a pooling
            does not divide: the rows and columns left over are restored as zeros by the unpooling, and the smooth
            picture of averages is continued there.
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
        stages = [
            Stage.of(architecture, number, image_shape, convolution_initializer, deconvolution_initializer)
            for number in range(1, len(architecture.filters) + 1)
        ]
        images = keras.Input(stages[0].input_shape, name="images")
        smooth_path = None
        pooled, argmaxes = images, []
        if architecture.averages:
            smooth_path = SmoothPath.of(
                architecture, stages[0].input_shape, convolution_initializer, deconvolution_initializer
            )
            smooth = smooth_path.smooth(smooth_path.averages(images))
            pooled = smooth_path.rest([images, smooth])
        for stage in stages:
            pooled, argmax = stage.pooling(stage.convolution(pooled))
            argmaxes.append(argmax)
        reconstruction = pooled
        for stage, argmax in zip(reversed(stages), reversed(argmaxes)):
            unpooled = stage.unpooling(reconstruction, argmax, output_size=stage.input_shape[:2])
            reconstruction = stage.deconvolution(unpooled)
        if smooth_path:
            reconstruction = smooth_path.reconstruction([smooth, reconstruction])
        super().__init__(inputs=images, outputs=reconstruction, name=name, **options)
        self.architecture = architecture
        self.image_shape = stages[0].input_shape
        self._initializers = tuple(
            keras.initializers.get(value) for value in (convolution_initializer, deconvolution_initializer)
        )
        # Neither is a layer, so Keras does not store what is in them a second time.
        self._stages = tuple(stages)
        self._smooth_path = smooth_path

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        del training, mask
        (images,) = keras.tree.flatten(inputs)
        return self.reconstruct(*self.encode(images))

    def encode(self, images: Any) -> tuple[Any, list[Any]]:
        """Images to the code and one uint8 switches tensor for each pooling, outermost first: by the stages."""
        averages, values = self._divided(images)
        switches = []
        for stage in self._stages:
            values, of_stage = stage.encode(values)
            switches.append(of_stage)
        return self._code(averages, values), switches

    def decode(self, code: Any, switches: Sequence[Any]) -> Any:
        """The code and the switches to the reconstruction: by the stages.

        Raises:
            tf.errors.InvalidArgumentError: on TensorFlow, ValueError elsewhere, for a switch outside of its window,
                where what executes this can raise.
        """
        checked = [stage.checked(of_stage) for stage, of_stage in zip(self._stages, switches)]
        return self.reconstruct(code, checked)

    def reconstruct(self, code: Any, switches: Sequence[Any]) -> Any:
        """As `decode`, of switches that `encode` has made: none is checked."""
        averages, values = self._split(code)
        for stage, of_stage in zip(reversed(self._stages), reversed(switches)):
            values = stage.decode(values, of_stage)
        return self._joined(averages, values)

    def smooth(self, images: Any) -> Any:
        """The smooth picture that the averages of images are enlarged to, of their shape; zeros without averages."""
        path = self._smooth_path
        return keras.ops.zeros_like(images) if path is None else path.smooth(path.averages(images))

    @property
    def is_faster_compiled(self) -> bool:
        """Whether XLA makes steps of one batch size faster on this machine: where all stages run on blocks there."""
        return all(stage.is_fast(compiled=True) for stage in self._stages)

    @cached_property
    def encoder(self) -> keras.Model:
        """Images to the code, then one uint8 switches tensor for each pooling, outermost first: by the layers."""
        images = keras.Input(self.image_shape, name="images")
        averages, values = self._divided(images)
        switches = []
        for name, stage in zip(self.architecture.switches_names, self._stages):
            values, argmax = stage.pooling(stage.convolution(values))
            to_switches = ArgmaxToSwitches2D(stage.pool_size, input_size=stage.input_shape[:2], name=name)
            switches.append(to_switches(argmax))
        return keras.Model(images, [self._code(averages, values), *switches], name="encoder")

    @cached_property
    def decoder(self) -> keras.Model:
        """The code and the switches, in the encoder's order, to the reconstruction: by the layers."""
        code = keras.Input(self.architecture.code_shape(self.image_shape), name="code")
        averages, values = self._split(code)
        inputs: list[Any] = []
        for name, stage in zip(reversed(self.architecture.switches_names), reversed(self._stages)):
            switches = keras.Input(stage.output_shape, dtype="uint8", name=name)
            inputs.insert(0, switches)
            to_argmax = SwitchesToArgmax2D(
                stage.pool_size, input_size=stage.input_shape[:2], name=name.replace("switches", "argmax")
            )
            unpooled = stage.unpooling(values, to_argmax(switches), output_size=stage.input_shape[:2])
            values = stage.deconvolution(unpooled)
        return keras.Model([code, *inputs], self._joined(averages, values), name="decoder")

    def _divided(self, images: Any) -> tuple[Any, Any]:
        """The averages, None without a smooth path, and what the stages see of images."""
        path = self._smooth_path
        if path is None:
            return None, images
        averages = path.averages(images)
        return averages, path.rest([images, path.smooth(averages)])

    def _code(self, averages: Any, maxima: Any) -> Any:
        return maxima if self._smooth_path is None else self._smooth_path.code([maxima, averages])

    def _split(self, code: Any) -> tuple[Any, Any]:
        return (None, code) if self._smooth_path is None else self._smooth_path.split(code)

    def _joined(self, averages: Any, drawn: Any) -> Any:
        """The reconstruction, of the averages and what the stages draw."""
        path = self._smooth_path
        return drawn if path is None else path.reconstruction([path.smooth(averages), drawn])

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


def _serialized(initializer: keras.Initializer) -> dict[str, Any]:
    """Without the options that were left at None: a Keras that does not know them yet, as those before 3.15 do not know
    HeNormal's axes, could not load the model."""
    serialized = keras.initializers.serialize(initializer)
    serialized["config"] = {name: value for name, value in serialized["config"].items() if value is not None}
    return serialized
