"""Exports a trained autoencoder to a SavedModel, which programs can serve without this package."""

import os
from dataclasses import replace
from pathlib import Path

import keras
import tensorflow as tf

from deconv_ae.data import ImageDataset, pixels
from deconv_ae.errors import InputError, RunError, first_line
from deconv_ae.files import sha256
from deconv_ae.model import arrays
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.recipes import RECIPES
from deconv_ae.ops.environment import without_gradients
from deconv_ae.saved_model.export_directory import ExportDirectory
from deconv_ae.saved_model.model_card import (
    FILE_NAME,
    KERAS_FILE,
    DatasetUsed,
    LayerUsed,
    ModelCard,
    RecipeUsed,
    versions,
)
from deconv_ae.saved_model.serving import ServedAutoencoder
from deconv_ae.saved_model.signatures import SIGNATURES, functions, trace
from deconv_ae.training import TrainingResult


def export(
    result: TrainingResult,
    dataset: ImageDataset,
    export_dir: str | os.PathLike[str] | ExportDirectory,
    preset: str | None = None,
    overwrite: bool = False,
) -> ModelCard:
    """Writes a SavedModel with its model card.

    The function writes to a hidden directory beside `export_dir`, and then renames that directory. So a reader sees the
    old model or the new model, never a part. See `ExportDirectory` for systems that cannot exchange two directories.

    Args:
        result: the result of `training.train`.
        dataset: the data set that the model was trained on.
        export_dir: the SavedModel's directory, or an `ExportDirectory` that was entered before training.
        preset: the preset's name for the card; None for an architecture of the user's own.
        overwrite: whether to replace an existing model; ignored for an `ExportDirectory`, which has its own.

    Returns:
        The model card that was written.

    Raises:
        InputError: as `ExportDirectory`.
        RunError: if writing fails; an existing model stays.
    """
    if not isinstance(export_dir, ExportDirectory):
        with ExportDirectory(export_dir, overwrite) as place:
            return export(result, dataset, place, preset)
    card = make_card(result, dataset, preset)

    def write(directory: Path) -> None:
        nonlocal card
        try:
            save_signatures(result.model, directory)
            arrays.save(_copy_without_optimizer(result.model), directory / KERAS_FILE)
            card = replace(card, checksums=_checksums(directory))
            (directory / FILE_NAME).write_text(card.to_json(), encoding="utf-8")
            _read_back(directory)
        except tf.errors.OpError as error:
            raise OSError(first_line(error)) from error

    export_dir.replace(write)
    return card


def _read_back(directory: Path) -> None:
    """Raises RunError if the written model cannot be read back; called before its directory is renamed."""
    try:
        ServedAutoencoder(directory).card.check_file(directory, KERAS_FILE)
    except InputError as error:
        raise RunError(f"export_dir: what was written cannot be read back ({error})") from error


def _checksums(directory: Path) -> dict[str, str]:
    """The SHA-256 of every file in a directory, by the file's relative path with `/`."""
    return {
        file.relative_to(directory).as_posix(): sha256(file.read_bytes())
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }


def make_card(result: TrainingResult, dataset: ImageDataset, preset: str | None = None) -> ModelCard:
    """The model card of a training result, without the files' checksums."""
    model, options = result.model, result.options
    values = options.deciding_values(len(dataset.train))
    seed = values.pop("seed")
    return ModelCard(
        preset=preset,
        architecture=model.architecture,
        image_shape=model.image_shape,
        recipe=RecipeUsed(
            name=values.pop("recipe"),
            **{name: values.pop(name) for name in ("epochs", "batch_size", "learning_rate", "mixed_precision")},
            # If the recipe does not plan the learning rate ahead, an extended run ends with the same weights as one run
            # of all epochs, and the card need not mention the extension.
            extended_after_epochs=result.extended_after_epochs if RECIPES[options.recipe].plans_ahead else (),
            other_options=values,
        ),
        dataset=_dataset_used(dataset),
        training_rmse=result.training_rmse,
        test_rmse=result.test_rmse,
        seed=seed,
        layers=tuple(LayerUsed(layer.name, _shape(layer), layer.count_params()) for layer in model.layers),
        versions=versions(),
        signatures=tuple(SIGNATURES),
        baselines=result.baselines,
    )


def _dataset_used(dataset: ImageDataset) -> DatasetUsed:
    used = DatasetUsed(
        name=dataset.name,
        training_images=len(dataset.train),
        test_images=len(dataset.test),
        fit=dataset.fit,
        is_array=dataset.source is None,
        fingerprint=dataset.fingerprint,
        test_pictures=pixels.digests(dataset.test),
    )
    source = dataset.source
    if source is None:
        return used
    return replace(used, color_mode=source.color_mode, background=source.background, split_by=source.split_by)


def save_signatures(model: Autoencoder, directory: Path) -> None:
    """Writes a SavedModel with all `SIGNATURES`; the weights are constants in its graphs."""
    weights = model.get_weights()

    def constant_weights() -> keras.StatelessScope:
        # TensorFlow computes what depends only on constants, such as `kernel_of_blocks` in fast/blocks.py, once for a
        # loaded graph instead of in every call.
        return keras.StatelessScope([(variable, tf.constant(w)) for variable, w in zip(model.weights, weights)])

    with without_gradients():
        signatures = trace(functions(model, constant_weights), model)
        module = tf.Module()
        for name, function in signatures.items():
            # keras.layers.TFSMLayer passes its first input by position, which a signature of several inputs refuses. A
            # function that is an attribute accepts this input, and TFSMLayer prefers attributes to signatures.
            setattr(module, SIGNATURES[name].attribute, function)
        tf.saved_model.save(module, str(directory), signatures=signatures)


def _copy_without_optimizer(model: Autoencoder) -> Autoencoder:
    copy = Autoencoder.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def _shape(layer: keras.layers.Layer) -> tuple[int | None, ...]:
    """A layer's output shape; for several outputs, the shape of the first, the pooled values."""
    output = layer.output
    return tuple((output[0] if isinstance(output, (tuple, list)) else output).shape)
