"""The published settings as data, with the published numbers."""

from dataclasses import dataclass

from deconv_ae.model.architecture import Architecture


@dataclass(frozen=True)
class Preset:
    """One of the original's settings, and the RMSE that its page gives, where it gives one."""

    title: str
    architecture: Architecture
    published_training_rmse: float | None = None
    published_test_rmse: float | None = None


PRESETS: dict[str, Preset] = {
    "cmap1_pool4": Preset("1 filter, pool 4x4", Architecture((1,), (4,)), 0.225, 0.223),
    "cmap3_pool4": Preset("3 filters, pool 4x4", Architecture((3,), (4,)), 0.196, 0.196),
    "cmap1_pool2": Preset("1 filter, pool 2x2", Architecture((1,), (2,)), 0.136, 0.131),
    "two_layer": Preset("two stages (5, 1), pool 2x2 twice", Architecture((5, 1), (2, 2))),
}
