"""Converts an exported model to other formats. Each file is checked in its own runtime before it gets its name."""

import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from deconv_ae import paths
from deconv_ae.conversion.formats import FORMATS, check_formats
from deconv_ae.conversion.portable import Part, parts
from deconv_ae.conversion.verification import Agreement, Reference
from deconv_ae.errors import InputError, RunError
from deconv_ae.files import move_together, partial_directory, read_with_checksum, with_checksum, write_atomically
from deconv_ae.saved_model.export_directory import MODEL_FILE
from deconv_ae.saved_model.keras_file import load_keras_model
from deconv_ae.saved_model.model_card import versions
from deconv_ae.saved_model.serving import ServedAutoencoder

REPORT_FILE = "conversion_report.json"
CHECKED_IMAGES = 100
CALIBRATION_IMAGES = 200


@dataclass(frozen=True)
class ConvertedFile:
    """A converted part and how well it agrees with the SavedModel.

    Attributes:
        format: the name of the format.
        variant: `"float32"`, `"float16"` or `"int8"`.
        part: the name of the part.
        file: the path of the file to open, below the output directory. OpenVINO reads its weights from a second file.
        bytes: the size of all files of the part together.
        agreement: the agreement with the SavedModel. OpenVINO is told to compute in float32.
        by_default: the agreement when OpenVINO chooses the precision for this CPU; None for other formats.
    """

    format: str
    variant: str
    part: str
    file: str
    bytes: int
    agreement: Agreement
    by_default: Agreement | None = None


def convert(
    model_dir: str | Path,
    formats: Sequence[str],
    output_dir: str | Path,
    test_images: np.ndarray,
    calibration_images: np.ndarray,
) -> list[ConvertedFile]:
    """Writes the SavedModel's signatures as files of each format, and `conversion_report.json`.

    Files go to `<output_dir>/<format>/` and replace files of the same names. A float32 file is moved there only if it
    agrees with the SavedModel: on the first 100 test images, in batches of 1, 3 and 64, values must agree to 1e-5 of
    their scale, and every switch must point to its window's maximum. float16 and int8 files run on the same images; the
    report has their loss of accuracy. The report keeps its entries for other formats.

    Args:
        model_dir: a directory that `exporting.export` wrote.
        formats: names in `FORMATS`.
        output_dir: a directory, which is created if it does not exist.
        test_images: `(N, height, width, channels)` uint8, like the images that the model was trained on. Any number of
            channels works, though the programs read only images of 1 or 3 channels.
        calibration_images: as `test_images`; the first 200 determine the ranges of int8.

    Returns:
        The written files, in the order of formats.

    Raises:
        InputError: If no format is given, a format is unknown or needs a missing package, the model is bad, there are
            no images, the images do not fit the model, or the output directory holds a damaged report or files of
            another model.
        RunError: If a file differs too much from the SavedModel, fails in its runtime or cannot be written. Files of
            other formats are kept.
    """
    check_formats(formats)
    served = ServedAutoencoder(model_dir)
    model = load_keras_model(served)
    reference = Reference(served, model, test_images[:CHECKED_IMAGES])
    calibration = Reference(served, model, calibration_images[:CALIBRATION_IMAGES])
    modules = {name: importlib.import_module(f"{__package__}.{FORMATS[name].module}") for name in formats}
    output = paths.checked_path("output_dir", output_dir)
    kept_report = _kept_report(output, served, formats)
    written: list[ConvertedFile] = []
    errors: list[str] = []
    # Formats with the same layout share their parts; ONNX and OpenVINO also share the ONNX models made from them.
    # An export of an earlier version may lack a signature.
    all_parts = {
        channels_first: [part for part in parts(model, channels_first) if part.signature in served.card.signatures]
        for channels_first in (True, False)
    }
    for name, module in modules.items():
        format_parts = all_parts[FORMATS[name].channels_first]
        try:
            written += _convert_to(name, module, format_parts, reference, calibration, output)
            # The report is written after each format: a later format may fail, and existing files need their entries.
            _write_report(output, served, modules, written, kept_report)
        except RunError as error:
            errors.append(str(error))
        except OSError as error:
            errors.append(f"output_dir: {output} cannot be written: {error.strerror or error}")
            break
    if errors:
        raise RunError("; ".join(errors))
    return written


def table(written: Sequence[ConvertedFile]) -> str:
    """The report as text: a row for each file, the meaning of the columns, and warnings."""
    lines = [f"{'file':<36}{'bytes':>8}{'code':>10}{'picture':>10}{'switches':>10}{'RMSE':>10}{'cost':>10}"]
    for entry in written:
        agreement = entry.agreement
        differences = "".join(
            f"{'-' if value is None else format(value, '.1e'):>10}"
            for value in (agreement.code, agreement.reconstruction)
        )
        switches = "-" if agreement.switches is None else agreement.switches
        lines.append(
            f"{entry.file:<36}{entry.bytes:>8}{differences}{switches:>10}"
            f"{agreement.rmse:>10.5f}{round(agreement.rmse_cost, 5) + 0.0:>+10.5f}"
        )
        if entry.by_default is not None and not entry.by_default.is_exact:
            lines.append(
                f"  with this CPU's default precision, without INFERENCE_PRECISION_HINT=f32: {entry.by_default}, "
                f"cost {entry.by_default.rmse_cost:+.5f}"
            )
    lines.append("code, picture: largest difference from the SavedModel; switches: number of wrong ones;")
    lines.append(f"RMSE: over {CHECKED_IMAGES} test images at most; cost: RMSE minus the SavedModel's RMSE")
    lines += [
        f"{entry.file}: {entry.agreement.switches:,} switches do not point to a maximum, and differ from the "
        "SavedModel's, even if the cost is small. Decode them with files of the same variant, or use float32."
        for entry in written
        if entry.agreement.switches
    ]
    return "\n".join(lines)


def _convert_to(
    name: str, module: ModuleType, format_parts: list[Part], reference: Reference, calibration: Reference, output: Path
) -> list[ConvertedFile]:
    """Writes all files of one format, or none. If a rename fails, however, the files already renamed stay."""
    converted, to_move = [], []
    output.mkdir(parents=True, exist_ok=True)
    with partial_directory(output / name) as folder:
        for part in format_parts:
            for variant in module.VARIANTS:
                files = module.write(part, variant, calibration.tensors, folder)
                agreement = reference.compare(files[0].name, module.open_file(files[0]), part)
                if variant == "float32" and not agreement.is_exact:
                    raise RunError(
                        f"{name}: {files[0].name} differs from the SavedModel's {part.name}: {agreement}; not written"
                    )
                size = sum(file.stat().st_size for file in files)
                default_precision_agreement = None
                if hasattr(module, "open_with_default_precision"):
                    run = module.open_with_default_precision(files[0])
                    default_precision_agreement = reference.compare(files[0].name, run, part)
                converted.append(
                    ConvertedFile(
                        name,
                        variant,
                        part.name,
                        f"{name}/{files[0].name}",
                        size,
                        agreement,
                        by_default=default_precision_agreement,
                    )
                )
                # The order is reversed, so that the first file, which readers open, is moved last.
                to_move += reversed(files)
        (output / name).mkdir(exist_ok=True)
        move_together([(file, output / name / file.name) for file in to_move])
    return converted


def _kept_report(output: Path, served: ServedAutoencoder, formats: Sequence[str]) -> dict[str, Any]:
    """Reads an earlier report on the same model, and keeps the entries whose files still exist.

    Args:
        output: the output directory.
        served: the model that is converted now.
        formats: the formats that are converted now.

    Returns:
        `files` (the kept entries) and `versions` of the report; empty if there is no report or nothing to keep.

    Raises:
        InputError: If the report is damaged, or if the directory would mix the files of two models.
    """
    file = output / REPORT_FILE
    try:
        report = read_with_checksum(file)
        entries = [entry for entry in report["files"] if (output / entry["file"]).is_file()]
        for entry in entries:
            ConvertedFile(**(entry | {"agreement": Agreement(**entry["agreement"])}))
        earlier_model, earlier_versions = (report["model"], report.get("model_sha256")), dict(report["versions"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"output_dir: {file} is not a conversion report ({error}); remove it, or give another directory"
        ) from error
    if earlier_model == (served.card.title, _model_checksum(served)):
        return {"files": entries, "versions": earlier_versions} if entries else {}
    other_formats = [entry["format"] for entry in entries if entry["format"] not in formats]
    if other_formats:
        raise InputError(
            f"output_dir: {output} holds {other_formats[0]} files of another model, {earlier_model[0]}; "
            "convert to all formats in it, or give another directory"
        )
    return {}


def _model_checksum(served: ServedAutoencoder) -> str | None:
    return served.card.checksums.get(MODEL_FILE)


def _write_report(
    output: Path,
    served: ServedAutoencoder,
    modules: dict[str, ModuleType],
    written: Sequence[ConvertedFile],
    kept_report: dict[str, Any],
) -> None:
    formats = {entry.format for entry in written}
    earlier_entries = [entry for entry in kept_report.get("files", []) if entry["format"] not in formats]
    used_versions = versions() | {key: value for module in modules.values() for key, value in module.VERSIONS.items()}
    report = {
        "model": served.card.title,
        "model_sha256": _model_checksum(served),
        "dataset": served.card.dataset.name,
        "checked_images": CHECKED_IMAGES,
        "versions": kept_report.get("versions", {}) | used_versions,
        "files": [*earlier_entries, *(asdict(entry) for entry in written)],
    }
    write_atomically(output / REPORT_FILE, with_checksum(report))
