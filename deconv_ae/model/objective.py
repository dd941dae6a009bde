"""The autoencoder's loss and metric: the root mean square error of each image."""

from typing import Any

import keras
from keras import ops


def per_image_rmse(images: Any, reconstruction: Any) -> Any:
    """Computes the root mean square error of each image over its height, width and channels.

    The original CNTK example trains and evaluates with this error. `PerImageRMSELoss` and `PerImageRMSE` average it
    over images. Unless all images have the same error, this average is smaller than the root mean square error over
    the pixels of all images together.

    The gradient for an exactly reproduced image is zero; a plain square root would make it NaN.

    Args:
        images: `(N, ...)`, any floating dtype.
        reconstruction: the shape of `images`.

    Returns:
        `(N,)` float64 for a float64 reconstruction, else float32, since a float16 square loses small errors.

    >>> ones, zeros = keras.ops.ones((4, 4, 1)), keras.ops.zeros((4, 4, 1))
    >>> keras.ops.convert_to_numpy(per_image_rmse(keras.ops.ones((2, 4, 4, 1)), keras.ops.stack([ones, zeros])))
    array([0., 1.], dtype=float32)
    """
    reconstruction = ops.convert_to_tensor(reconstruction)
    dtype = "float64" if keras.backend.standardize_dtype(reconstruction.dtype) == "float64" else "float32"
    difference = ops.cast(reconstruction, dtype) - ops.cast(images, dtype)
    mean_square = ops.mean(ops.square(difference), axis=list(range(1, len(difference.shape))))
    # The inner `where` keeps the square root's infinite slope at 0 out of the gradient. The outer one alone would
    # multiply that slope by zero, which is NaN. The test is not `mean_square > 0`, which would turn a NaN into an RMSE
    # of 0.
    is_exact = ops.equal(mean_square, 0)
    root = ops.sqrt(ops.where(is_exact, ops.ones_like(mean_square), mean_square))
    return ops.where(is_exact, ops.zeros_like(root), root)


@keras.saving.register_keras_serializable(package="deconv_ae")
class PerImageRMSELoss(keras.losses.Loss):
    """`per_image_rmse` as a Keras loss, averaged over the images of a batch.

    >>> float(PerImageRMSELoss()(keras.ops.zeros((2, 28, 28, 1)), keras.ops.ones((2, 28, 28, 1))))
    1.0
    """

    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "per_image_rmse", **options) -> None:
        super().__init__(reduction=reduction, name=name, **options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return per_image_rmse(y_true, y_pred)


@keras.saving.register_keras_serializable(package="deconv_ae")
class PerImageRMSE(keras.metrics.MeanMetricWrapper):
    """`per_image_rmse` as a Keras metric: the mean over all images seen since the last reset.

    Every image counts once, also in batches of unequal size.

    >>> metric = PerImageRMSE()
    >>> metric.update_state(keras.ops.zeros((3, 2, 2, 1)), keras.ops.zeros((3, 2, 2, 1)))
    >>> metric.update_state(keras.ops.zeros((1, 2, 2, 1)), keras.ops.ones((1, 2, 2, 1)))
    >>> float(metric.result())
    0.25
    """

    def __init__(self, name: str = "rmse", dtype: str = "float32") -> None:
        super().__init__(per_image_rmse, name=name, dtype=dtype)
        self._direction = "down"

    def get_config(self) -> dict:
        return {"name": self.name, "dtype": self.dtype}
