"""The numbers of an evaluation, compared with NumPy's."""

from pathlib import Path

import numpy as np
import pytest

from deconv_ae.data import ImageDataset
from deconv_ae.errors import InputError
from deconv_ae.model.baselines import Baselines
from deconv_ae.saved_model.evaluation import Evaluation, evaluate, psnr
from deconv_ae.saved_model.image_codecs import FileOfSize, files_of_size
from deconv_ae.saved_model.serving import ServedAutoencoder
from deconv_ae.training.evaluation import baselines


def test_errors_equal_numpys_and_baselines_equal_the_cards(exported: Path, digits: ImageDataset) -> None:
    model = ServedAutoencoder(exported)
    evaluation = evaluate(model, digits.train, digits.test)
    for split, images in (("train", digits.train), ("test", digits.test)):
        reconstruction = model.decode(model.encode(images)).astype(np.float64)
        mean_squares = np.mean((images / 256 - reconstruction) ** 2, axis=(1, 2, 3))
        assert evaluation.rmse[split] == pytest.approx(np.sqrt(mean_squares).mean(), rel=1e-5)
        assert evaluation.psnr[split] == pytest.approx(np.mean(10 * np.log10(1 / mean_squares)), rel=1e-5)
        assert evaluation.rmse[split] == pytest.approx(
            getattr(model.card, f"{split.replace('train', 'training')}_rmse")
        )
    assert evaluation.baselines == baselines(digits.train, digits.test, code_values=49)
    assert evaluation.baselines == model.card.baselines
    assert [description.split(":")[0] for description, _ in evaluation.thumbnails] == ["7x7 pixels", "14x14 pixels"]
    assert (evaluation.silent_channels, evaluation.channels) == (0, 1)


@pytest.mark.parametrize(
    ("rmses", "decibels"), [([1.0], 0.0), ([0.1], 20.0), ([0.1, 0.001], 40.0), ([0.1, 0.0], np.inf)]
)
def test_psnr_is_averaged_over_images(rmses: list[float], decibels: float) -> None:
    assert psnr(np.array(rmses)) == pytest.approx(decibels)


def test_table_shows_the_numbers_of_an_evaluation() -> None:
    by_split = {"train": 0.1, "test": 0.2}
    evaluation = Evaluation(
        by_split,
        by_split,
        {"train": 4000, "test": 1000},
        Baselines(0.25, 0.5, 0.125),
        thumbnails=(("7x7 pixels", 0.125),),
        files=(FileOfSize("JPEG", 7, 1600.0, 1000.0, 0.0625, 100),),
        silent_channels=2,
        channels=4,
        ssim=0.75,
    )
    assert evaluation.table().splitlines() == [
        "train RMSE              0.100000, PSNR 0.10 dB, over 4,000 images",
        "test RMSE               0.200000, PSNR 0.20 dB, over 1,000 images",
        "SSIM                    0.7500, the mean over the test images; 1 means equal",
        "mean training image     0.250000, in place of every test image",
        "black                   0.500000",
        "thumbnail               0.125000, 7x7 pixels",
        "JPEG                    0.062500, quality 7: 1,600 bits, 1,000 without header, over 100 images",
        "silent channels         2 of 4; they are 0 in all of the test images",
    ]


def test_files_fit_the_bits_or_have_the_lowest_quality(colour_images: ImageDataset) -> None:
    images = colour_images.train
    finest = files_of_size(images, bits=1e9)
    assert [(file.name, file.quality) for file in finest] == [("JPEG", 100), ("WebP", 100)]
    assert all(", quality 100, the highest, in fewer bits than code and switches: " in str(file) for file in finest)
    for most_bits in (file.bits * 0.9 for file in finest):
        for file in files_of_size(images, most_bits):
            assert file.is_larger == (file.bits > most_bits)
            assert not file.is_larger or file.quality == 1
            assert 0 < file.payload_bits < file.bits
    coarsest = files_of_size(images, 0)
    assert all(", quality 1, the lowest, yet larger than code and switches: " in str(file) for file in coarsest)
    assert all(file.rmse > finer.rmse for file, finer in zip(coarsest, finest, strict=True))
    assert files_of_size(np.zeros((2, 12, 12, 2), np.uint8), 1e9) == ()


def test_images_of_another_shape_are_refused(exported: Path) -> None:
    wrong = np.zeros((2, 12, 12, 1), np.uint8)
    with pytest.raises(InputError, match="made for 28x28x1"):
        evaluate(ServedAutoencoder(exported), wrong, wrong)
