"""Presets as data: the original's, with the published RMSEs if there are any, and one for photographs."""

from dataclasses import dataclass

from deconv_ae.model.architecture import Architecture


@dataclass(frozen=True)
class Preset:
    """An architecture with a title, and the RMSEs that the page of the original CNTK example gives, if any."""

    title: str
    architecture: Architecture
    published_training_rmse: float | None = None
    published_test_rmse: float | None = None


PRESETS: dict[str, Preset] = {
    "cmap1_pool4": Preset("1 filter, pool 4x4", Architecture((1,), (4,)), 0.225, 0.223),
    "cmap3_pool4": Preset("3 filters, pool 4x4", Architecture((3,), (4,)), 0.196, 0.196),
    "cmap1_pool2": Preset("1 filter, pool 2x2", Architecture((1,), (2,)), 0.136, 0.131),
    "two_layer": Preset("stages of 5 and 1 filters, pool 2x2", Architecture((5, 1), (2, 2))),
}
"""The original's presets."""

PHOTOGRAPHS = "photos"
ALL_PRESETS: dict[str, Preset] = {
    **PRESETS,
    PHOTOGRAPHS: Preset(
        "for photographs: 20 averages of 8x8 blocks and 12 filters, pool 8x8, kernels 7x7",
        Architecture((12,), (8,), kernel_size=7, averages=20),
    ),
}
"""The original's presets, and this project's own."""
