"""The Keras model of an architecture, and the encoder and decoder that share its weights."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import keras

from deconv_ae.errors import InputError
from deconv_ae.layers import ArgmaxToSwitches2D, SwitchesToArgmax2D
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.smooth_path import SmoothPath
from deconv_ae.model.stage import Stage


@keras.saving.register_keras_serializable(package="deconv_ae")
class ScaledImagesModel(keras.Model):
    """A model of images that are scaled to [0, 1). It refuses integers, which Keras would take for huge values.

    >>> images = keras.Input((28, 28, 1))
    >>> ScaledImagesModel(images, keras.layers.Flatten()(images))(keras.ops.zeros((2, 28, 28, 1), "uint8"))
    Traceback (most recent call last):
    deconv_ae.errors.InputError: images: pixels are uint8, and a Keras model takes floats in [0, 1); give images / 256,
    or call `reconstruct` or `encode` of a model from `deconv_ae.load`, which take uint8
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._check_scaled((args[:1], kwargs.get("inputs")))
        return super().__call__(*args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        self._check_scaled(inputs)  # Under JAX, `predict` does not call `__call__`, which has the same check.
        return super().call(inputs, training=training, mask=mask)

    def _check_scaled(self, inputs: Any) -> None:
        for images in keras.tree.flatten(inputs):
            dtype = keras.backend.standardize_dtype(getattr(images, "dtype", "float32"))
            if not keras.backend.is_float_dtype(dtype):
                # After a failure, TensorFlow cannot trace the same function again. So the next `fit` has to make new
                # functions.
                self.train_function = self.test_function = self.predict_function = None
                raise InputError(
                    f"images: pixels are {dtype}, and a Keras model takes floats in [0, 1); give images / 256, or call "
                    "`reconstruct` or `encode` of a model from `deconv_ae.load`, which take uint8"
                )


@keras.saving.register_keras_serializable(package="deconv_ae")
class Autoencoder(ScaledImagesModel):
    """The model from images to their reconstruction. `encoder` and `decoder` are models that share its weights.

    The layers have the names of CNTK's example: `conv1`, `pool1`, `unpool1`, `deconv1`, then `conv2` and so on for
    further stages. With averages, `averages`, `enlarge` and `rest` come before `conv1`, and `reconstruction` comes
    last. The autoencoder itself runs its stages. They compute the same results as the layers with the same weights, and
    faster if they have a fast path. To run the layers, make a model of their outputs, such as
    `keras.Model(model.inputs, model.get_layer("conv1").output)`. The autoencoder saves to `.keras` and loads without
    custom_objects.

    Input: `(N, height, width, channels)` float images, scaled to [0, 1). Output: the same shape, not clipped; float32
    also under a mixed precision policy.

    Args:
        architecture: an `Architecture`, or its fields in a dict.
        image_shape: (height, width, channels) of the images. Windows need not cover the last rows and columns.
            Unpooling fills uncovered rows and columns with zeros. The smooth picture repeats its edges there.
        convolution_initializer: Keras initializer of the convolutions' kernels. Biases start at zero.
        deconvolution_initializer: Keras initializer of the transposed convolutions' kernels.
        name: the model's name.
        **options: further arguments of `keras.Model`.

    Raises:
        InputError: if a pooling window is larger than its input, or a block has fewer numbers than there are averages.

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
        # Neither a stage nor the smooth path is a layer, so Keras does not store their layers a second time.
        self._stages = tuple(stages)
        self._smooth_path = smooth_path

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        del training, mask
        self._check_scaled(inputs)
        (images,) = keras.tree.flatten(inputs)
        _, smooth, rest = self._divided(images)
        return self._joined(smooth, self._decoded(*self._encoded(rest)))

    def encode(self, images: Any) -> tuple[Any, list[Any]]:
        """Runs the stages from images to the code and one uint8 switches tensor per pooling, outermost first."""
        averages, _, rest = self._divided(images)
        maxima, switches = self._encoded(rest)
        return self._code(averages, maxima), switches

    def decode(self, code: Any, switches: Sequence[Any]) -> Any:
        """Runs the stages from the code and the switches to the reconstruction.

        Args:
            code: as `encode` returns it.
            switches: one tensor of integers per pooling, outermost first.

        Returns:
            The reconstruction, of the images' shape.

        Raises:
            ValueError: for switches that are not integers or do not fit int64 (int32 on JAX). On JAX and PyTorch, also
                for a switch outside of its window, except while they trace.
            tf.errors.InvalidArgumentError: on TensorFlow, for a switch outside of its window. Code that XLA compiles
                cannot raise this error.
        """
        checked = [stage.check_switches(stage_switches) for stage, stage_switches in zip(self._stages, switches)]
        return self.reconstruct(code, checked)

    def reconstruct(self, code: Any, switches: Sequence[Any]) -> Any:
        """Does the same as `decode` for switches from `encode`, without checking them."""
        averages, maxima = self._split(code)
        return self._joined(self._enlarged(averages), self._decoded(maxima, switches))

    def smooth(self, images: Any) -> Any:
        """Returns the smooth pictures, of the shape of `images`: the enlarged averages, or zeros if there are none."""
        smooth = self._divided(images)[1]
        return keras.ops.zeros_like(images) if smooth is None else smooth

    def is_faster_compiled(self, images: int) -> bool:
        """Whether XLA makes every stage train faster on this machine, with this many images in an epoch."""
        pixels = images * math.prod(self.image_shape)
        return all(stage.is_faster_compiled(pixels) for stage in self._stages)

    @cached_property
    def encoder(self) -> keras.Model:
        """A model of the layers, from images to a list: the code, then each stage's uint8 switches, outermost first."""
        images = keras.Input(self.image_shape, name="images")
        averages, _, values = self._divided(images)
        switches = []
        for name, stage in zip(self.architecture.switches_names, self._stages):
            values, argmax = stage.pooling(stage.convolution(values))
            to_switches = ArgmaxToSwitches2D(stage.pool_size, input_size=stage.input_shape[:2], name=name)
            switches.append(to_switches(argmax))
        return ScaledImagesModel(images, [self._code(averages, values), *switches], name="encoder")

    @cached_property
    def decoder(self) -> keras.Model:
        """A model of the layers, from the list that `encoder` returns (code, then switches) to the reconstruction."""
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
        return keras.Model([code, *inputs], self._joined(self._enlarged(averages), values), name="decoder")

    def _divided(self, images: Any) -> tuple[Any, Any, Any]:
        """Divides images into averages, smooth pictures, and the rest, which the stages encode.

        Without a smooth path, the averages and the smooth pictures are None, and the rest is the images themselves.
        """
        path = self._smooth_path
        if path is None:
            return None, None, images
        averages = path.averages(images)
        smooth = path.smooth(averages)
        return averages, smooth, path.rest([images, smooth])

    def _encoded(self, values: Any) -> tuple[Any, list[Any]]:
        switches = []
        for stage in self._stages:
            values, stage_switches = stage.encode(values)
            switches.append(stage_switches)
        return values, switches

    def _decoded(self, values: Any, switches: Sequence[Any]) -> Any:
        for stage, stage_switches in zip(reversed(self._stages), reversed(switches)):
            values = stage.decode(values, stage_switches)
        return values

    def _code(self, averages: Any, maxima: Any) -> Any:
        return maxima if self._smooth_path is None else self._smooth_path.code([maxima, averages])

    def _split(self, code: Any) -> tuple[Any, Any]:
        return (None, code) if self._smooth_path is None else self._smooth_path.split(code)

    def _enlarged(self, averages: Any) -> Any:
        return None if self._smooth_path is None else self._smooth_path.smooth(averages)

    def _joined(self, smooth: Any, decoded: Any) -> Any:
        """Adds the smooth picture, if the model has one, to the picture that the stages decoded."""
        return decoded if self._smooth_path is None else self._smooth_path.reconstruction([smooth, decoded])

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
    """Serializes an initializer without its options that are None.

    Keras refuses options that it does not know. Keras 3.15 adds options to HeNormal that older versions would refuse.
    """
    serialized = keras.initializers.serialize(initializer)
    serialized["config"] = {name: value for name, value in serialized["config"].items() if value is not None}
    return serialized
