"""Random architectures, from training to the SavedModel and every format."""

import math
import tempfile
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from runtimes import WORKING_FORMATS

from deconv_ae import Architecture, conversion
from deconv_ae.data import ImageDataset
from deconv_ae.saved_model import exporting
from deconv_ae.saved_model.serving import ServedAutoencoder
from deconv_ae.training import TrainingOptions, train

LARGEST_SIDE = 40


@st.composite
def cases(draw):
    """Draws an architecture, and a shape of images on which the architecture can be trained."""
    stages = draw(st.integers(1, 5))
    pool_sizes, smallest_sides = [], (1, 1)
    for _ in range(stages):
        pool_size = tuple(draw(st.integers(1, min(4, LARGEST_SIDE // side))) for side in smallest_sides)
        pool_sizes.append(pool_size)
        smallest_sides = tuple(map(math.prod, zip(smallest_sides, pool_size)))
    # The windows may or may not divide the sides.
    sides = tuple(draw(st.integers(side, LARGEST_SIDE)) for side in smallest_sides)
    kernel_size = tuple(draw(st.integers(1, min(6, side))) for side in sides)
    filters = draw(st.lists(st.sampled_from([1, 2, 3, 5, 17, 64]), min_size=stages, max_size=stages))
    channels = draw(st.integers(1, 4))
    averages = draw(st.integers(0, min(5, channels * math.prod(map(math.prod, pool_sizes)))))
    return Architecture(filters, pool_sizes, kernel_size, averages=averages), (*sides, channels)


def examples(count):
    return lambda test: hypothesis.settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        # Shrinking a failing example takes minutes.
        phases=[hypothesis.Phase.generate],
    )(test)


def export_trained(architecture: Architecture, image_shape: tuple[int, ...], folder: Path) -> np.ndarray:
    """Trains a model on noise, exports it to folder/model, checks RMSEs and reconstructions, and returns the images."""
    images = np.random.default_rng(0).integers(0, 256, (11, *image_shape), np.uint8)
    dataset = ImageDataset("noise", images[:6], images[6:])
    result = train(dataset, TrainingOptions(architecture, epochs=1, batch_size=4), verbose=False)
    exporting.export(result, dataset, str(folder / "model"))
    served = ServedAutoencoder(folder / "model")
    # This call of the model runs eagerly, without a graph.
    expected = result.model(dataset.test.astype(np.float32) / 256).numpy()
    errors = np.sqrt(np.mean((expected - dataset.test / 256) ** 2, axis=(1, 2, 3)))
    assert result.test_rmse == pytest.approx(errors.mean(), rel=1e-4)
    assert result.history[-1].test_rmse == pytest.approx(errors.mean(), rel=1e-4)
    assert served.rmse(dataset.test) == pytest.approx(errors.mean(), rel=1e-4)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(served.decode(served.encode(dataset.test)), expected, rtol=0, atol=1e-5 * scale)
    return images


@examples(2)
@hypothesis.given(case=cases())
def test_random_architectures_train_and_serve(case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        export_trained(*case, Path(folder))


@pytest.mark.long
@examples(25)
@hypothesis.given(case=cases())
def test_random_architectures_convert_to_every_format(case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        images = export_trained(*case, Path(folder))
        written = conversion.convert(
            Path(folder) / "model", list(WORKING_FORMATS), Path(folder) / "files", images, images
        )
        assert all(entry.agreement.is_exact for entry in written if entry.variant == "float32")
