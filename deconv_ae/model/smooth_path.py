"""The smooth path: weighted averages of blocks of an image, and the smooth picture that they are enlarged to."""

from dataclasses import dataclass
from typing import Any

import keras

from deconv_ae.model.architecture import Architecture, Pair

AVERAGES, ENLARGE = "averages", "enlarge"
"""The names of the layers that have weights."""


@keras.saving.register_keras_serializable(package="deconv_ae")
class RepeatEdges(keras.layers.Layer):
    """Makes images larger: their last row and their last column are repeated.

    Args:
        size: (height, width) of the output, no smaller than the input's.

    Input: `(N, height, width, channels)`. Output: `(N, *size, channels)`.

    >>> RepeatEdges((2, 3))(keras.ops.reshape(keras.ops.arange(4.0), (1, 2, 2, 1)))[0, ..., 0].numpy()
    array([[0., 1., 1.],
           [2., 3., 3.]], dtype=float32)
    """

    def __init__(self, size: Pair, **options: Any) -> None:
        super().__init__(**options)
        self.size = (int(size[0]), int(size[1]))

    def call(self, images: Any) -> Any:
        for axis, length in enumerate(self.size, start=1):
            missing = length - images.shape[axis]
            last = images[:, -1:] if axis == 1 else images[:, :, -1:]
            images = keras.ops.concatenate([images] + [last] * missing, axis) if missing else images
        return images

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


@dataclass(frozen=True, eq=False)
class SmoothPath:
    """Its layers, which the whole autoencoder, its encoder and its decoder share.

    Attributes:
        channels: of the code that are averages, its last.
        averages: a convolution whose kernel and strides are the block that a value of the code stands for; linear.
        enlarge: the transposed convolution back, with a bias.
        repeat_edges: gives the smooth picture the rows and columns that no block has; None where blocks have all.
        rest: images less the smooth picture, which the stages see.
        code: maxima and averages, side by side.
        reconstruction: the smooth picture plus what the stages draw.
    """

    channels: int
    averages: keras.layers.Conv2D
    enlarge: keras.layers.Conv2DTranspose
    repeat_edges: RepeatEdges | None
    rest: keras.layers.Subtract
    code: keras.layers.Concatenate
    reconstruction: keras.layers.Add

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        image_shape: tuple[int, int, int],
        convolution_initializer: Any,
        deconvolution_initializer: Any,
    ) -> "SmoothPath":
        """Of an architecture with averages, with fresh layers."""
        down, right, _ = architecture.code_shape(image_shape)
        height, width = architecture.block
        size = image_shape[:2]
        # Averages say how bright and of which colour a block is, for which half precision is too coarse.
        dtype = keras.config.dtype_policy().variable_dtype
        block = {"kernel_size": architecture.block, "strides": architecture.block, "data_format": "channels_last"}
        return cls(
            channels=architecture.averages,
            averages=keras.layers.Conv2D(
                architecture.averages,
                **block,
                kernel_initializer=keras.initializers.get(convolution_initializer).clone(),
                dtype=dtype,
                name=AVERAGES,
            ),
            enlarge=keras.layers.Conv2DTranspose(
                image_shape[-1],
                **block,
                kernel_initializer=keras.initializers.get(deconvolution_initializer).clone(),
                dtype=dtype,
                name=ENLARGE,
            ),
            repeat_edges=(
                None if (down * height, right * width) == size else RepeatEdges(size, dtype=dtype, name="repeat_edges")
            ),
            rest=keras.layers.Subtract(dtype=dtype, name="rest"),
            code=keras.layers.Concatenate(dtype=dtype, name="code"),
            reconstruction=keras.layers.Add(dtype=dtype, name="reconstruction"),
        )

    def smooth(self, averages: Any) -> Any:
        """`(N, blocks down, blocks right, channels)` to the smooth picture, `(N, height, width, image channels)`."""
        enlarged = self.enlarge(averages)
        return enlarged if self.repeat_edges is None else self.repeat_edges(enlarged)

    def split(self, code: Any) -> tuple[Any, Any]:
        """The averages and the maxima of a code."""
        return code[..., -self.channels :], code[..., : -self.channels]
