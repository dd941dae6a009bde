"""The quality of an exported model on a data set, beside baselines that need no model."""

from dataclasses import dataclass

import numpy as np

from deconv_ae.data import ImageDataset, pixels
from deconv_ae.model.baselines import Baselines, thumbnail_size
from deconv_ae.saved_model.image_codecs import FileOfSize, files_of_size
from deconv_ae.saved_model.model_card import ModelCard
from deconv_ae.saved_model.serving import SignatureAutoencoder
from deconv_ae.saved_model.signatures import CODE
from deconv_ae.saved_model.similarity import ssim
from deconv_ae.training.evaluation import baselines, silent_channels, thumbnail_rmse

ONLY_SPLIT = "these"
"""The split's name in an `Evaluation` of images without splits."""


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate` or `evaluate_images`. Images without splits count as test images.

    Attributes:
        rmse: the mean RMSE of each split, by the split's name.
        psnr: the mean PSNR of each split in dB, by the split's name.
        ssim: structural similarity, averaged over the test images.
        counts: the number of images of each split, by the split's name.
        baselines: the test RMSE of baselines; None without training images.
        thumbnails: a description and the test RMSE of each of two thumbnails: one with at most as many numbers as the
            code, one with at most as many bits as code and switches.
        files: JPEG and WebP with at most as many bits as code and switches, or of the lowest quality if even that takes
            more bits; empty unless the images have 1 or 3 channels.
        silent_channels: the number of the code's channels that are 0 in every test image.
        channels: the number of the code's channels.
    """

    rmse: dict[str, float]
    psnr: dict[str, float]
    counts: dict[str, int]
    baselines: Baselines | None
    thumbnails: tuple[tuple[str, float], ...]
    files: tuple[FileOfSize, ...]
    silent_channels: int
    channels: int
    ssim: float

    def table(self) -> str:
        """Text with a line for each split, and for each other result."""
        rows = [
            (
                "RMSE" if split == ONLY_SPLIT else f"{split} RMSE",
                f"{self.rmse[split]:.6f}, PSNR {self.psnr[split]:.2f} dB, over {count:,} images",
            )
            for split, count in self.counts.items()
        ]
        last_split = list(self.counts)[-1]
        measured_images = "these images" if last_split == ONLY_SPLIT else f"the {last_split} images"
        rows.append(("SSIM", f"{self.ssim:.4f}, the mean over {measured_images}; 1 means equal"))
        if self.baselines is not None:
            rows += [
                ("mean training image", f"{self.baselines.mean_image_rmse:.6f}, in place of every test image"),
                ("black", f"{self.baselines.black_rmse:.6f}"),
            ]
        rows += [("thumbnail", f"{rmse:.6f}, {description}") for description, rmse in self.thumbnails]
        rows += [(file.name, str(file)) for file in self.files]
        if self.silent_channels:
            rows.append(
                (
                    "silent channels",
                    f"{self.silent_channels} of {self.channels}; they are 0 in all of {measured_images}",
                )
            )
        return "\n".join(f"{label:<24}{value}" for label, value in rows)


def evaluate(model: SignatureAutoencoder, train: np.ndarray, test: np.ndarray) -> Evaluation:
    """Evaluates a model on a data set, one batch at a time.

    Args:
        model: the model.
        train: the training split, `(N, height, width, channels)` uint8.
        test: the test split.

    Returns:
        RMSE and PSNR of both splits, and all other results of the test split.

    Raises:
        InputError: as `SignatureAutoencoder.check`.
    """
    errors = {split: model.errors(images) for split, images in (("train", train), ("test", test))}
    return _evaluation(model, errors, test, baselines(train, test, model.card.size_per_image.code_values))


def evaluate_images(model: SignatureAutoencoder, images: np.ndarray) -> Evaluation:
    """Evaluates a model on images without splits.

    Args:
        model: the model.
        images: `(N, height, width, channels)` uint8.

    Returns:
        The results, with the images as a split named `these`; `baselines` is None.

    Raises:
        InputError: as `SignatureAutoencoder.check`.
    """
    return _evaluation(model, {ONLY_SPLIT: model.errors(images)}, images, None)


def _evaluation(
    model: SignatureAutoencoder, errors: dict[str, np.ndarray], test: np.ndarray, test_baselines: Baselines | None
) -> Evaluation:
    size = model.card.size_per_image
    bits = size.code_bits + size.switches_bits
    code_thumbnail_rmse = None if test_baselines is None else test_baselines.thumbnail_rmse
    if code_thumbnail_rmse is None:
        code_thumbnail_rmse = thumbnail_rmse(test, size.code_values)
    return Evaluation(
        rmse={split: float(values.mean(dtype=np.float64)) for split, values in errors.items()},
        psnr={split: psnr(values) for split, values in errors.items()},
        ssim=_mean_ssim(model, test),
        counts={split: len(values) for split, values in errors.items()},
        baselines=test_baselines,
        thumbnails=(
            (_thumbnail_text(test, size.code_values, "numbers as the code"), code_thumbnail_rmse),
            # Each number of this thumbnail is rounded to 8 bits.
            (
                _thumbnail_text(test, bits / 8, "bits as code and switches"),
                thumbnail_rmse(test, bits / 8, is_rounded=True),
            ),
        ),
        files=files_of_size(test, bits),
        silent_channels=silent_channels(lambda batch: model.encode_scaled(batch)[CODE], test),
        channels=model.card.architecture.code_channels,
    )


def _mean_ssim(model: SignatureAutoencoder, images: np.ndarray) -> float:
    similarities = [ssim(batch, reconstruction, 1.0) for batch, reconstruction in model.reconstruct_batches(images)]
    return float(np.concatenate(similarities).mean(dtype=np.float64))


def _thumbnail_text(images: np.ndarray, max_values: float, comparison: str) -> str:
    height, width = thumbnail_size(images.shape[1:], max_values)
    return f"{height}x{width} pixels: as many {comparison}, enlarged"


def comparison_with_card(card: ModelCard, dataset: ImageDataset) -> str:
    """Says in one line whether the data set is the card's, or that the card does not say which images it means.

    If it is another data set, the line also says how many of its test images are not among the card's test images.
    """
    card_dataset = card.dataset
    if not card_dataset.fingerprint:
        answer = "the card does not say which images the model was trained on"
    elif card_dataset.fingerprint == dataset.fingerprint:
        answer = "those of the card"
    else:
        new = pixels.count_new(dataset.test, card_dataset.test_pictures)
        answer = (
            f"not those of the card, or read in another way: {new:,} of the {len(dataset.test):,} test images are not "
            f"among the card's {card_dataset.test_images:,} test images; its {card_dataset.training_images:,} training "
            "images are not compared"
        )
    return f"{'images':<24}{answer}"


def psnr(rmses: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB: 20 log10(1 / RMSE) of each image, averaged over images.

    The peak is 1 on the scale of pixels / 256. Higher is better; an exact image makes the average infinite. The PSNR of
    the mean RMSE would be lower, unless all images had the same RMSE.

    >>> psnr(np.array([0.1, 0.01]))
    30.0
    """
    with np.errstate(divide="ignore"):
        return float(np.mean(-20 * np.log10(np.asarray(rmses, np.float64))))
