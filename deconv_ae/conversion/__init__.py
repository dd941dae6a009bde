"""Conversion of an exported model to the formats of other runtimes."""

from deconv_ae.conversion.convert import (
    REPORT_FILE,
    ConvertedFile,
    convert,
    table,
)
from deconv_ae.conversion.formats import FORMATS, check_formats
from deconv_ae.saved_model.keras_file import load_keras_model

__all__ = ["FORMATS", "REPORT_FILE", "ConvertedFile", "check_formats", "convert", "load_keras_model", "table"]
