"""The per-image RMSE as a function, a loss and a metric."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deconv_ae import PerImageRMSE, PerImageRMSELoss, per_image_rmse

RANDOM = np.random.default_rng(0)


def numpy_rmse(images: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    difference = (images.astype(np.float64) - reconstruction).reshape(len(images), -1)
    return np.sqrt(np.mean(difference**2, axis=1))


@pytest.mark.parametrize("shape", [(1, 28, 28, 1), (7, 5, 3, 4), (2, 6)])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float16", 2e-3), ("bfloat16", 2e-2), ("float32", 1e-6), ("float64", 1e-12)]
)
def test_rmse_is_root_of_each_images_mean_square(shape: tuple[int, ...], dtype: str, tolerance: float) -> None:
    images, reconstruction = RANDOM.uniform(size=(2, *shape))
    measured = per_image_rmse(tf.cast(images, dtype), tf.cast(reconstruction, dtype))
    np.testing.assert_allclose(measured, numpy_rmse(images, reconstruction), rtol=tolerance)
    assert measured.dtype == ("float64" if dtype == "float64" else "float32")


def test_loss_is_not_root_of_mean_over_all_images() -> None:
    images, reconstruction = np.zeros((2, 4, 4, 1), np.float32), np.zeros((2, 4, 4, 1), np.float32)
    reconstruction[1] = 1
    root_of_mean = float(np.sqrt(np.mean(np.square(reconstruction))))
    assert float(PerImageRMSELoss()(images, reconstruction)) == 0.5 != pytest.approx(root_of_mean, abs=0.2)


def test_exact_reconstruction_has_zero_gradient() -> None:
    images = tf.constant(RANDOM.uniform(size=(3, 4, 4, 1)), tf.float32)
    reconstruction = tf.Variable(images + tf.reshape([0.0, 0.1, 0.0], (3, 1, 1, 1)))
    with tf.GradientTape() as tape:
        loss = PerImageRMSELoss()(images, reconstruction)
    gradient = tape.gradient(loss, reconstruction).numpy()
    assert np.all(gradient[[0, 2]] == 0)
    np.testing.assert_allclose(gradient[1], 1 / 3 / 16 * 0.1 / 0.1, rtol=1e-5)


def test_gradient_equals_finite_differences() -> None:
    images, start = RANDOM.uniform(size=(2, 2, 3, 3, 1))
    reconstruction = tf.Variable(start)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(per_image_rmse(images, reconstruction))
    gradient = tape.gradient(loss, reconstruction).numpy()
    for index in np.ndindex(start.shape):
        step = np.zeros_like(start)
        step[index] = 1e-6
        above, below = (numpy_rmse(images, start + sign * step).sum() for sign in (1, -1))
        assert gradient[index] == pytest.approx((above - below) / 2e-6, abs=1e-7)


def test_metric_counts_every_image_once_in_any_batches() -> None:
    images, reconstruction = RANDOM.uniform(size=(2, 10, 4, 4, 1)).astype(np.float32)
    metric = PerImageRMSE()
    for start, stop in ((0, 7), (7, 9), (9, 10)):
        metric.update_state(images[start:stop], reconstruction[start:stop])
    assert float(metric.result()) == pytest.approx(numpy_rmse(images, reconstruction).mean(), rel=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0


@pytest.mark.parametrize("loss_or_metric", [PerImageRMSELoss(), PerImageRMSE()])
def test_loss_and_metric_round_trip_through_their_configuration(
    loss_or_metric: keras.losses.Loss | keras.metrics.Metric,
) -> None:
    serialize, deserialize = (
        (keras.losses.serialize, keras.losses.deserialize)
        if isinstance(loss_or_metric, keras.losses.Loss)
        else (keras.metrics.serialize, keras.metrics.deserialize)
    )
    assert type(deserialize(serialize(loss_or_metric))) is type(loss_or_metric)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_reconstruction_has_non_finite_rmse(value: float) -> None:
    images = np.zeros((2, 4, 4, 1), np.float32)
    reconstruction = images.copy()
    reconstruction[1, 2, 3] = value
    first, second = per_image_rmse(images, reconstruction).numpy()
    assert first == 0
    assert not np.isfinite(second)
    assert not np.isfinite(float(PerImageRMSELoss()(images, reconstruction)))
