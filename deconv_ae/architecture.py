"""An autoencoder as data, and the Keras model, encoder and decoder built from it."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

import keras

from deconv_ae.convolutions import BandedConv2D, BandedConv2DTranspose
from deconv_ae.errors import InputError
from deconv_ae.layers import (
    LARGEST_WINDOW,
    ArgmaxToSwitches2D,
    MaxPoolingWithArgmax2D,
    MaxUnpooling2D,
    SwitchesToArgmax2D,
)

ORIGINAL_BITS_PER_PIXEL = 8
CODE_BITS_PER_VALUE = 32

Pair = tuple[int, int]


@dataclass(frozen=True, init=False)
class Architecture:
    """The stages of an autoencoder, outermost first.

    Stage k is a convolution with `filters[k]` filters and ReLU, followed by max pooling with
    windows of `pool_sizes[k]` that do not overlap; on the way out, max unpooling and a transposed
    convolution without activation. Convolutions are zero-padded and keep height and width.

    Attributes:
        filters: filters of each stage's convolution.
        pool_sizes: (height, width) of each stage's pooling window.
        kernel_size: (height, width) of every convolution.
        deconvolution_bias: whether transposed convolutions have a bias.

    Args:
        filters: one number per stage.
        pool_sizes: one int, which stands for a square, or (height, width) per stage.
        kernel_size: an int or (height, width).
        deconvolution_bias: None is the original's: one stage has none, several have one each.

    Raises:
        InputError: on values that no autoencoder can be built from.

    >>> Architecture(filters=(5, 1), pool_sizes=(2, 2))
    Architecture(filters=(5, 1), pool_sizes=((2, 2), (2, 2)), kernel_size=(5, 5), deconvolution_bias=True)
    """

    filters: tuple[int, ...]
    pool_sizes: tuple[Pair, ...]
    kernel_size: Pair
    deconvolution_bias: bool

    def __init__(
        self,
        filters: Sequence[Any],
        pool_sizes: Sequence[Any],
        kernel_size: Any = 5,
        deconvolution_bias: bool | None = None,
    ) -> None:
        # A frozen dataclass assigns its fields this way.
        assign = partial(object.__setattr__, self)
        assign("filters", tuple(_positive("filters", value) for value in filters))
        assign("pool_sizes", tuple(_pair("pool_sizes", value) for value in pool_sizes))
        assign("kernel_size", _pair("kernel_size", kernel_size))
        assign("deconvolution_bias", len(self.filters) > 1 if deconvolution_bias is None else deconvolution_bias)
        if not self.filters:
            raise InputError("filters: at least one stage is needed, got none; give one number per stage")
        if len(self.filters) != len(self.pool_sizes):
            raise InputError(
                f"pool_sizes: {len(self.pool_sizes)} given for {len(self.filters)} filters; give one of each per stage"
            )
        for height, width in self.pool_sizes:
            if height * width > LARGEST_WINDOW:
                raise InputError(
                    f"pool_sizes: a window of {height}x{width} has more than the {LARGEST_WINDOW} positions that "
                    "a switch can name; use smaller windows in more stages"
                )

    def stage_shapes(self, image_shape: Sequence[int]) -> list[tuple[int, int, int]]:
        """(height, width, channels) of the images and of every stage's pooled output; the last is the code's.

        Raises:
            InputError: if a window is larger than what it pools.

        >>> Architecture(filters=(5, 1), pool_sizes=(2, 2)).stage_shapes((29, 28, 1))
        [(29, 28, 1), (14, 14, 5), (7, 7, 1)]
        """
        height, width, channels = (_positive("image shape", value) for value in image_shape)
        shapes = [(height, width, channels)]
        for stage, (filters, (pool_height, pool_width)) in enumerate(zip(self.filters, self.pool_sizes), start=1):
            if pool_height > height or pool_width > width:
                raise InputError(
                    f"pool_sizes: stage {stage} pools {height}x{width} by {pool_height}x{pool_width}, a window larger "
                    "than what it pools; use a smaller one"
                )
            height, width = height // pool_height, width // pool_width
            shapes.append((height, width, filters))
        return shapes

    def size_per_image(self, image_shape: Sequence[int]) -> "SizePerImage":
        """What the code and the switches of one image of this shape take."""
        pooled = self.stage_shapes(image_shape)[1:]
        return SizePerImage(
            pixels=math.prod(image_shape),
            code_values=math.prod(pooled[-1]),
            switches_bits=sum(
                math.prod(shape) * math.log2(height * width) for shape, (height, width) in zip(pooled, self.pool_sizes)
            ),
        )


@dataclass(frozen=True)
class SizePerImage:
    """Bits that an image takes as pixels, as a code, and as the code with the switches.

    The original counts numbers, 784 to 49, and calls that a factor of 16; its decoder reads the
    switches as well. Here everything is counted in bits, and the switches apart.

    Attributes:
        pixels: numbers in the image, height x width x channels, of 8 bits each.
        code_values: numbers in the code, served as float32.
        switches_bits: log2 of the window's positions for each pooled value, summed over all stages.

    >>> size = Architecture(filters=(1,), pool_sizes=(4,)).size_per_image((28, 28, 1))
    >>> size.code_bits, size.switches_bits, size.factor_in_numbers, round(size.factor_with_switches, 2)
    (1568, 196.0, 16.0, 3.56)
    """

    pixels: int
    code_values: int
    switches_bits: float

    @property
    def original_bits(self) -> int:
        return self.pixels * ORIGINAL_BITS_PER_PIXEL

    @property
    def code_bits(self) -> int:
        return self.code_values * CODE_BITS_PER_VALUE

    @property
    def factor_in_numbers(self) -> float:
        """Pixels over code values: the original page's factor."""
        return self.pixels / self.code_values

    @property
    def factor_without_switches(self) -> float:
        return self.original_bits / self.code_bits

    @property
    def factor_with_switches(self) -> float:
        return self.original_bits / (self.code_bits + self.switches_bits)


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
    >>> code.shape, switches_1.dtype
    (TensorShape([2, 7, 7, 1]), tf.uint8)
    >>> model.decoder([code, switches_1]).shape
    TensorShape([2, 28, 28, 1])
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
        # Not `self.stages`: Keras would track the list and store every layer a second time.
        object.__setattr__(self, "_stages", stages)

    @cached_property
    def encoder(self) -> keras.Model:
        """Images to the code, then one uint8 switches tensor for each pooling, outermost first."""
        images = keras.Input(self.image_shape, name="images")
        pooled, switches = images, []
        for number, stage in enumerate(self._stages, start=1):
            pooled, argmax = stage.pool(stage.convolution(pooled))
            to_switches = ArgmaxToSwitches2D(
                stage.pool_size, input_size=stage.input_shape[:2], name=f"switches_{number}"
            )
            switches.append(to_switches(argmax))
        return keras.Model(images, [pooled, *switches], name="encoder")

    @cached_property
    def decoder(self) -> keras.Model:
        """The code and the switches, in the encoder's order, to the reconstruction."""
        code = keras.Input(self._stages[-1].output_shape, name="code")
        reconstruction: Any = code
        inputs: list[Any] = []
        for number, stage in reversed(list(enumerate(self._stages, start=1))):
            switches = keras.Input(stage.output_shape, dtype="uint8", name=f"switches_{number}")
            inputs.insert(0, switches)
            to_argmax = SwitchesToArgmax2D(stage.pool_size, input_size=stage.input_shape[:2], name=f"argmax_{number}")
            reconstruction = stage.decode(reconstruction, to_argmax(switches))
        return keras.Model([code, *inputs], reconstruction, name="decoder")

    def get_config(self) -> dict[str, Any]:
        convolution_initializer, deconvolution_initializer = (
            keras.initializers.serialize(initializer) for initializer in self._initializers
        )
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


def _fresh(initializer: Any) -> keras.Initializer:
    return keras.initializers.get(initializer).clone()


def _positive(name: str, value: Any) -> int:
    try:
        number = int(value)
        exact = number == float(value)
    except (TypeError, ValueError):
        number, exact = 0, False
    if not exact or number < 1:
        raise InputError(f"{name}: {value!r} is not a whole number of 1 or more")
    return number


def _pair(name: str, value: Any) -> Pair:
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise InputError(f"{name}: {value!r} is neither one number nor (height, width)")
        return _positive(name, value[0]), _positive(name, value[1])
    number = _positive(name, value)
    return number, number
