"""An autoencoder as data: its stages, and the shapes and bits that follow from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from deconv_ae import numbers
from deconv_ae.errors import InputError
from deconv_ae.numbers import LARGEST_WINDOW, Pair
from deconv_ae.options import checked_boolean

ORIGINAL_BITS_PER_PIXEL = 8
CODE_BITS_PER_VALUE = 32


@dataclass(frozen=True, init=False)
class Architecture:
    """The stages of an autoencoder, outermost first.

    In the encoder, stage k is a convolution with `filters[k]` filters and ReLU, then max pooling with windows of
    `pool_sizes[k]` that do not overlap. In the decoder, stage k is max unpooling, then a transposed convolution without
    activation. Convolutions are zero-padded and keep height and width.

    Each value of the code stands for a block of pixels. With averages, the code holds weighted averages of each block
    besides the last stage's maxima. A transposed convolution enlarges the averages to a smooth picture, and the stages
    encode the image minus that picture: edges and texture.

    Attributes:
        filters: the number of filters of each stage's convolution.
        pool_sizes: (height, width) of each stage's pooling window.
        kernel_size: (height, width) of the kernel of every convolution in the stages.
        deconvolution_bias: whether the transposed convolutions of the stages have a bias.
        averages: the number of weighted averages per block; they are the last channels of the code.

    Args:
        filters: one number per stage.
        pool_sizes: for each stage an int, which stands for a square, or (height, width).
        kernel_size: an int or (height, width).
        deconvolution_bias: None is the choice of the original CNTK example: no bias in a single stage, a bias in each
            of several stages.
        averages: 0 for none, as in the original CNTK example.

    Raises:
        InputError: for values that no autoencoder can be built from.

    >>> Architecture(filters=(5, 1), pool_sizes=(2, 2))
    Architecture(filters=(5, 1), pool_sizes=((2, 2), (2, 2)), kernel_size=(5, 5), deconvolution_bias=True, averages=0)
    """

    filters: tuple[int, ...]
    pool_sizes: tuple[Pair, ...]
    kernel_size: Pair
    deconvolution_bias: bool
    averages: int = 0

    def __init__(
        self,
        filters: Sequence[Any],
        pool_sizes: Sequence[Any],
        kernel_size: Any = 5,
        deconvolution_bias: bool | None = None,
        averages: Any = 0,
    ) -> None:
        # A frozen dataclass refuses `self.filters = ...`.
        vars(self).update(
            filters=tuple(
                numbers.checked_integer("filters", value, least=1) for value in _checked_list("filters", filters)
            ),
            pool_sizes=tuple(numbers.pair("pool_sizes", value) for value in _checked_list("pool_sizes", pool_sizes)),
            kernel_size=numbers.pair("kernel_size", kernel_size),
            deconvolution_bias=(
                len(filters) > 1
                if deconvolution_bias is None
                else checked_boolean("deconvolution_bias", deconvolution_bias)
            ),
            averages=numbers.checked_integer("averages", averages),
        )
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
        """Returns (height, width, channels) of the images and of every stage's pooled output.

        Args:
            image_shape: (height, width, channels) of the images.

        Returns:
            The images' shape, then one shape per stage.

        Raises:
            InputError: if a window is larger than its input.

        >>> Architecture(filters=(5, 1), pool_sizes=(2, 2)).stage_shapes((29, 28, 1))
        [(29, 28, 1), (14, 14, 5), (7, 7, 1)]
        """
        height, width, channels = (numbers.checked_integer("image shape", value, least=1) for value in image_shape)
        shapes = [(height, width, channels)]
        for stage, (filters, (pool_height, pool_width)) in enumerate(zip(self.filters, self.pool_sizes), start=1):
            if pool_height > height or pool_width > width:
                raise InputError(
                    f"pool_sizes: stage {stage} pools {height}x{width} by {pool_height}x{pool_width}, a window larger "
                    "than its input; use a smaller window"
                )
            height, width = height // pool_height, width // pool_width
            shapes.append((height, width, filters))
        return shapes

    @property
    def block(self) -> Pair:
        """(height, width) of the block of pixels that a value of the code stands for.

        >>> Architecture(filters=(16, 8), pool_sizes=(2, (4, 2))).block
        (8, 4)
        """
        height, width = (math.prod(lengths) for lengths in zip(*self.pool_sizes))
        return height, width

    @property
    def code_channels(self) -> int:
        """The number of the code's channels: one for each filter of the last stage, and then the averages."""
        return self.averages + self.filters[-1]

    def code_shape(self, image_shape: Sequence[int]) -> tuple[int, int, int]:
        """Returns (height, width, channels) of the code of an image of this shape.

        Args:
            image_shape: (height, width, channels) of the images.

        Returns:
            The code's shape.

        Raises:
            InputError: if a window is larger than its input, or a block has fewer numbers than there are averages.

        >>> Architecture(filters=(12,), pool_sizes=(8,), averages=20).code_shape((64, 65, 3))
        (8, 8, 32)
        """
        height, width, _ = self.stage_shapes(image_shape)[-1]
        limit = math.prod(self.block) * image_shape[-1]
        if self.averages > limit:
            raise InputError(
                f"averages: {self.averages} are more than the {limit} numbers of a block ({_size_text(self.block)} "
                f"pixels, channels: {image_shape[-1]}); give at most {limit}"
            )
        return height, width, self.code_channels

    def check_trainable(self, image_shape: Sequence[int], images_per_step: int, activation_bytes: int = 4) -> None:
        """Checks that a model of these stages can be trained on images of this shape.

        Args:
            image_shape: (height, width, channels) of the images.
            images_per_step: the number of images in the largest batch.
            activation_bytes: the bytes of a value that a layer computes: 4 for float32, 2 in mixed precision.

        Raises:
            InputError: if a pooling window is larger than its input, a block has fewer numbers than there are averages,
                the kernel is larger than the image, or training takes more memory than there is. In the last case, the
                message gives a lower bound of the memory that training takes with any optimizer.
        """
        self.code_shape(image_shape)
        shapes = self.stage_shapes(image_shape)
        height, width, _ = shapes[0]
        if self.kernel_size[0] > height or self.kernel_size[1] > width:
            raise InputError(
                f"kernel_size: {self.kernel_size[0]}x{self.kernel_size[1]} is larger than the images, {height}x{width};"
                " give a smaller kernel, or larger images"
            )
        weights, activations = 2 * math.prod(self.block) * shapes[0][-1] * self.averages, 0
        for (height, width, channels), (*_, filters) in pairwise(shapes):
            # The factor 2 stands for the encoder and the decoder.
            weights += 2 * math.prod(self.kernel_size) * channels * filters
            activations += 2 * height * width * filters
        # Each weight is float32 and has a gradient and at least one moment. Each activation has a gradient.
        needed = 3 * 4 * weights + 2 * activation_bytes * activations * images_per_step
        numbers.check_memory(
            "filters", needed, f"to train {weights:,} weights in steps of {images_per_step:,} images of this size"
        )

    @property
    def switches_names(self) -> tuple[str, ...]:
        """The name of each pooling's switches, outermost first.

        >>> Architecture(filters=(5, 1), pool_sizes=(2, 2)).switches_names
        ('switches_1', 'switches_2')
        """
        return switches_names(len(self.filters))

    @property
    def title(self) -> str:
        """The stages in a few words.

        >>> Architecture(filters=(16, 8), pool_sizes=(2, (4, 2))).title
        'filters 16, 8; pools 2x2, 4x2'
        >>> Architecture(filters=(12,), pool_sizes=(8,), averages=20).title
        'averages 20; filters 12; pools 8x8'
        """
        averages = f"averages {self.averages}; " if self.averages else ""
        pools = ", ".join(map(_size_text, self.pool_sizes))
        return f"{averages}filters {', '.join(map(str, self.filters))}; pools {pools}"

    def size_per_image(self, image_shape: Sequence[int]) -> "SizePerImage":
        """Counts the bits of one image of this shape, of its code and of its switches."""
        pooled_shapes = self.stage_shapes(image_shape)[1:]
        return SizePerImage(
            pixels=math.prod(image_shape),
            code_values=math.prod(self.code_shape(image_shape)),
            switches_bits=sum(
                math.prod(shape) * math.log2(height * width)
                for shape, (height, width) in zip(pooled_shapes, self.pool_sizes)
            ),
        )


def _checked_list(argument: str, values: Any) -> Sequence[Any]:
    if isinstance(values, (str, dict)) or not hasattr(values, "__len__") or not hasattr(values, "__iter__"):
        raise InputError(f"{argument}: {values!a} is not a list; give one value per stage")
    return values


def _size_text(lengths: Sequence[int]) -> str:
    return "x".join(map(str, lengths))


@dataclass(frozen=True)
class SizePerImage:
    """The bits of an image as pixels, as a code, and as a code with switches.

    The original CNTK example counts numbers: it reduces 784 pixels to 49 code values, and calls that a factor of 16,
    although its decoder reads the switches as well. This class counts bits, and counts the switches separately.

    Attributes:
        pixels: numbers in the image, height x width x channels, of 8 bits each.
        code_values: float32 numbers in the code.
        switches_bits: log2 of the number of positions in a window, summed over the pooled values of all stages.

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
        """Pixels over code values: the factor that the page of the original CNTK example gives."""
        return self.pixels / self.code_values

    @property
    def factor_without_switches(self) -> float:
        return self.original_bits / self.code_bits

    @property
    def factor_with_switches(self) -> float:
        return self.original_bits / (self.code_bits + self.switches_bits)


def switches_names(count: int) -> tuple[str, ...]:
    """Returns the names of the switches of `count` poolings, outermost first."""
    return tuple(f"switches_{number}" for number in range(1, count + 1))
