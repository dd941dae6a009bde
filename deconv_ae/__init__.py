"""Max unpooling for Keras 3, and the image autoencoder that shows what it does.

This module imports the layers and the model. Data, training, exporting and visualization are modules of their own, so
that a program that uses only the layers does not load them. The first use of `deconv_ae.train` or `deconv_ae.load`
imports all but visualization, which a model's `plot` imports. This module imports every class that a saved file can
name, because the import registers the class with Keras.
"""

from typing import Any

from deconv_ae.errors import InputError, missing_package_message
from deconv_ae.layers import (
    ArgmaxToSwitches2D,
    MaxPoolingWithArgmax1D,
    MaxPoolingWithArgmax2D,
    MaxPoolingWithArgmax3D,
    MaxUnpooling1D,
    MaxUnpooling2D,
    MaxUnpooling3D,
    SwitchesToArgmax2D,
    argmax_to_switches,
    switches_to_argmax,
)
from deconv_ae.model.architecture import Architecture
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.initializers import RowOfBumps
from deconv_ae.model.objective import PerImageRMSE, PerImageRMSELoss, per_image_rmse
from deconv_ae.ops.environment import portable
from deconv_ae.version import __version__ as __version__

__all__ = [
    "Architecture",
    "ArgmaxToSwitches2D",
    "Autoencoder",
    "MaxPoolingWithArgmax1D",
    "MaxPoolingWithArgmax2D",
    "MaxPoolingWithArgmax3D",
    "MaxUnpooling1D",
    "MaxUnpooling2D",
    "MaxUnpooling3D",
    "PerImageRMSE",
    "PerImageRMSELoss",
    "RowOfBumps",
    "SwitchesToArgmax2D",
    "argmax_to_switches",
    "per_image_rmse",
    "portable",
    "switches_to_argmax",
]
# The list leaves out `load` and `train`, which need TensorFlow and all other requirements. All names in the list work
# on every Keras backend.


_NEED_ALL_PACKAGES = ("load", "train")


def __getattr__(name: str) -> Any:
    if name in _NEED_ALL_PACKAGES:
        try:
            from deconv_ae import trained_autoencoder
        except ModuleNotFoundError as error:
            message = missing_package_message(error)
            if message is None:
                raise
            raise InputError(f"deconv_ae.{name}: {message}") from error
        return getattr(trained_autoencoder, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_NEED_ALL_PACKAGES, "__version__"])
