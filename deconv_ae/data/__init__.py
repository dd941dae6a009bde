"""Loads a data set by its name, and makes the batches for training and evaluation.

Every split is one uint8 array. `cache` decodes a split once into a file, and maps that file from then on. Pixels become
floats only in batches, by `scale`.
"""

from deconv_ae.data.batches import (
    EvaluationBatches,
    replica_batches,
    scale,
    to_pixels,
    training_batches,
)
from deconv_ae.data.dataset import ImageDataset, load_dataset, load_split
from deconv_ae.data.source import COLOR_MODES, FITS, SAMPLE_NAME, SPLITS, Source
from deconv_ae.data.steps import steps_per_epoch

__all__ = [
    "COLOR_MODES",
    "FITS",
    "SAMPLE_NAME",
    "SPLITS",
    "EvaluationBatches",
    "ImageDataset",
    "Source",
    "load_dataset",
    "load_split",
    "replica_batches",
    "scale",
    "steps_per_epoch",
    "to_pixels",
    "training_batches",
]
