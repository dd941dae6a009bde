"""An exported model to the formats of other runtimes."""

from deconv_ae.conversion.convert import (
    FORMATS,
    REPORT_FILE,
    ConvertedFile,
    check_formats,
    convert,
    load_keras_model,
    table,
)

__all__ = ["FORMATS", "REPORT_FILE", "ConvertedFile", "check_formats", "convert", "load_keras_model", "table"]
