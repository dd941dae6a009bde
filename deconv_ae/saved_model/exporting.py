"""A trained autoencoder to a SavedModel that serves programs without this package."""

import ctypes
import os
import shutil
import sys
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from deconv_ae.data import ImageDataset
from deconv_ae.errors import InputError, RunError
from deconv_ae.files import flush_to_disk, flush_tree_to_disk
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.ops.execution import without_gradients
from deconv_ae.saved_model.model_card import FILE_NAME, ModelCard, versions
from deconv_ae.saved_model.signatures import (
    CODE,
    DECODE,
    ENCODE,
    RECONSTRUCTION,
    SERVING_DEFAULT,
    encoded_specs,
    images_spec,
)
from deconv_ae.training import TrainingResult

KERAS_FILE = "autoencoder.keras"
"""The Keras model beside the SavedModel, for conversion and further training."""


def export(
    result: TrainingResult, dataset: ImageDataset, export_dir: str, preset: str | None = None, overwrite: bool = False
) -> ModelCard:
    """Writes a SavedModel with its model card.

    Everything is written to a hidden directory beside export_dir, which is then renamed: whoever
    looks finds the old model or the new one, whole.

    Args:
        result: what `training.train` returned.
        dataset: what it was trained on.
        export_dir: the SavedModel's directory.
        preset: the preset's name for the card, None for an architecture of one's own.
        overwrite: whether to replace a model that is there.

    Raises:
        InputError: as `check_export_dir`.
        RunError: if writing fails; a model that was there stays.
    """
    check_export_dir(export_dir, overwrite)
    target = Path(export_dir).absolute()
    partial = target.with_name(f".{target.name}.partial")
    card = make_card(result, dataset, preset)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_signatures(result.model, partial)
        _without_optimizer(result.model).save(partial / KERAS_FILE)
        (partial / FILE_NAME).write_text(card.to_json(), encoding="utf-8")
        _put_in_place(partial, target)
    except (OSError, tf.errors.OpError) as error:
        raise RunError(f"export_dir: {target} cannot be written: {str(error).splitlines()[0]}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return card


def check_export_dir(export_dir: str, overwrite: bool) -> None:
    """Whether a model can be written there, before time is spent on training it.

    Raises:
        InputError: if something is there and overwrite is false or it is no model, or if the
            directory cannot be written.
    """
    target = Path(export_dir).absolute()
    if target.exists():
        if not overwrite:
            raise InputError(f"export_dir: {target} exists; pass --overwrite to replace it, or another directory")
        if not (target / "saved_model.pb").is_file():
            raise InputError(f"export_dir: {target} holds something other than a model; give another directory")
    ancestor = next(parent for parent in target.parents if parent.exists())
    try:
        tempfile.TemporaryDirectory(dir=ancestor, prefix=".writable-").cleanup()
    except OSError as error:
        raise InputError(f"export_dir: {ancestor} cannot be written: {error.strerror}; give another") from error


def make_card(result: TrainingResult, dataset: ImageDataset, preset: str | None = None) -> ModelCard:
    """What a model card says of a training result."""
    model, options = result.model, result.options
    size = model.architecture.size_per_image(model.image_shape)
    return ModelCard(
        preset=preset,
        architecture=model.get_config()["architecture"],
        image_shape=list(model.image_shape),
        recipe={
            "name": options.recipe,
            "epochs": options.epochs_to_run,
            "batch_size": options.images_per_step,
            "learning_rate": options.learning_rate,
            "mixed_precision": options.mixed_precision,
        },
        dataset={"name": dataset.name, "training_images": len(dataset.train), "test_images": len(dataset.test)},
        training_rmse=result.training_rmse,
        test_rmse=result.test_rmse,
        seed=options.seed,
        parameters=model.count_params(),
        size_per_image={
            "original_bits": size.original_bits,
            "code_bits": size.code_bits,
            "switches_bits": size.switches_bits,
            "factor_in_numbers": size.factor_in_numbers,
            "factor_without_switches": size.factor_without_switches,
            "factor_with_switches": size.factor_with_switches,
        },
        layers=[
            {"name": layer.name, "shape": _shape(layer), "parameters": layer.count_params()} for layer in model.layers
        ],
        versions=versions(),
    )


def save_signatures(model: Autoencoder, directory: Path) -> None:
    """Writes a SavedModel with the signatures of `saved_model.signatures`. The weights are constants."""
    module = tf.Module()
    names = model.architecture.switches_names
    weights = model.get_weights()

    def constant_weights() -> keras.StatelessScope:
        # What is computed from weights alone, such as the convolutions' bands, TensorFlow then computes once.
        return keras.StatelessScope([(variable, tf.constant(w)) for variable, w in zip(model.weights, weights)])

    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        with constant_weights():
            code, *switches = model.encoder(images)
        return {CODE: code, **dict(zip(names, switches))}

    def decode(code: tf.Tensor, **switches: tf.Tensor) -> dict[str, tf.Tensor]:
        with constant_weights():
            return {RECONSTRUCTION: model.decoder([code, *(switches[name] for name in names)])}

    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        encoded = encode(images)
        return {CODE: encoded[CODE], **decode(**encoded)}

    module.encode, module.serve, module.decode = map(tf.function, (encode, serve, decode))
    images = images_spec(model.image_shape)
    with without_gradients():
        signatures = {
            SERVING_DEFAULT: module.serve.get_concrete_function(**images),
            ENCODE: module.encode.get_concrete_function(**images),
            DECODE: module.decode.get_concrete_function(**encoded_specs(model.architecture, model.image_shape)),
        }
        tf.saved_model.save(module, str(directory), signatures=signatures)


def replace_directory(source: Path, target: Path) -> None:
    """Copies a directory to where another may be: beside it first, then in its place."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial)
    try:
        _put_in_place(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _without_optimizer(model: Autoencoder) -> Autoencoder:
    copy = Autoencoder.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def _shape(layer: keras.layers.Layer) -> list[int | None]:
    """A layer's output shape; the pooled values' where it also gives the argmax."""
    output = layer.output
    return list((output[0] if isinstance(output, (tuple, list)) else output).shape)


def _put_in_place(partial: Path, target: Path) -> None:
    """Renames partial to target; what was there is exchanged for it in one step, then deleted."""
    flush_tree_to_disk(partial)
    if not target.exists():
        partial.rename(target)
    elif not _exchange(partial, target):
        # Two steps where the system has no exchange: a kill between them leaves the old model
        # under this other name.
        old = target.with_name(f".{target.name}.old")
        target.rename(old)
        partial.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    flush_to_disk(target.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Swaps two directories' names atomically; False where the system or file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    current_directory, rename_exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    return renameat2 is not None and not renameat2(
        current_directory, os.fsencode(first), current_directory, os.fsencode(second), rename_exchange
    )
