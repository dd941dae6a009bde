"""The smooth path: weighted averages of an image's blocks, enlarged to a smooth picture."""

from dataclasses import dataclass
from typing import Any

import keras

from deconv_ae.model.architecture import Architecture, Pair

AVERAGES, ENLARGE = "averages", "enlarge"
"""The names of the two layers that have weights."""


@keras.saving.register_keras_serializable(package="deconv_ae")
class RepeatEdges(keras.layers.Layer):
    """Enlarges images by repeating their last row and their last column.

    Args:
        size: (height, width) of the output, no smaller than the input's.
        **options: `name` and `dtype`, as for any Keras layer.

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
    """The layers of the smooth path, which the autoencoder, its encoder and its decoder share.

    Attributes:
        channels: the number of averages, the last channels of the code.
        averages: computes the averages of each block, as a linear convolution. Its kernel and its strides have the
            size of a block.
        enlarge: computes a smooth picture from the averages, as a transposed convolution with a bias.
        repeat_edges: extends the smooth pictures to the rows and columns that no block covers; None if all are covered.
        rest: subtracts the smooth pictures from the images. The stages encode the difference, the rest.
        code: concatenates maxima and averages.
        reconstruction: adds the smooth pictures to the pictures that the stages decoded.
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
        """Makes the smooth path of an architecture with averages, with fresh layers."""
        block_rows, block_columns, _ = architecture.code_shape(image_shape)
        height, width = architecture.block
        size = image_shape[:2]
        # Averages hold a block's brightness and colour; half precision is too coarse for them.
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
                None
                if (block_rows * height, block_columns * width) == size
                else RepeatEdges(size, dtype=dtype, name="repeat_edges")
            ),
            rest=keras.layers.Subtract(dtype=dtype, name="rest"),
            code=keras.layers.Concatenate(dtype=dtype, name="code"),
            reconstruction=keras.layers.Add(dtype=dtype, name="reconstruction"),
        )

    def smooth(self, averages: Any) -> Any:
        """Enlarges `(N, rows of blocks, columns of blocks, averages)` to `(N, height, width, image channels)`."""
        enlarged = self.enlarge(averages)
        return enlarged if self.repeat_edges is None else self.repeat_edges(enlarged)

    def split(self, code: Any) -> tuple[Any, Any]:
        """Splits a code into averages and maxima."""
        return code[..., -self.channels :], code[..., : -self.channels]
