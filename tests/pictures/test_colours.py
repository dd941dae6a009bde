"""People with red-green colour-blindness can tell apart all colours that are used together.

The colours of the places in large windows are an exception.
"""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from deconv_ae.pictures import colours
from deconv_ae.playground import drawings

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009, at
# severity 1: each matrix maps linear RGB to the linear RGB that looks to a trichromat as the input looks to that eye.
EYES = {
    "trichromat": np.eye(3),
    "protanope": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranope": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
# CIE 1931 XYZ of linear sRGB, and D65 white.
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = XYZ.sum(axis=1)
GREYS = [(level, level, level) for level in np.linspace(0, 1, 52)]
LEAST_DISTANCE = 20
"""In CIELAB, where a distance of 2.3 is just noticeable side by side."""


def cielab(colour: tuple[float, float, float], eyes: str) -> np.ndarray:
    """The CIELAB coordinates at which a person with these eyes sees an sRGB colour."""
    rgb = np.array(colour, float)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(EYES[eyes] @ linear, 0, 1) / WHITE
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: tuple[float, float, float], other: tuple[float, float, float], eyes: str) -> float:
    return float(np.linalg.norm(cielab(one, eyes) - cielab(other, eyes)))


def least_distance(pairs, eyes: str) -> float:
    return min(distance(to_rgb(one), to_rgb(other), eyes) for one, other in pairs)


@pytest.mark.parametrize("eyes", EYES)
def test_points_and_gaps_look_like_no_grey(eyes: str) -> None:
    for colour in (colours.POINTS, colours.NO_VALUE):
        assert least_distance([(colour, grey) for grey in GREYS], eyes) > LEAST_DISTANCE


@pytest.mark.parametrize("eyes", EYES)
def test_curves_of_one_plot_differ(eyes: str) -> None:
    assert least_distance(combinations(colours.CURVES, 2), eyes) > LEAST_DISTANCE


@pytest.mark.parametrize("eyes", EYES)
def test_zero_negative_and_positive_differ(eyes: str) -> None:
    negative, zero, positive = (colours.SIGNED(value)[:3] for value in (0.25, 0.5, 0.75))
    assert least_distance(combinations([negative, zero, positive], 2), eyes) > LEAST_DISTANCE
    # The further a value is from 0, the more its colour differs from the colour of 0.
    for side in (np.linspace(0.5, 0, 6), np.linspace(0.5, 1, 6)):
        distances = [distance(zero, colours.SIGNED(value)[:3], eyes) for value in side]
        assert distances == sorted(distances)


@pytest.mark.parametrize(
    "palette", [drawings.COLOURS_OF_FEW_PLACES, drawings.POINT_COLOURS], ids=["few_places", "points"]
)
@pytest.mark.parametrize("eyes", EYES)
def test_playground_colours_of_one_palette_differ(palette, eyes: str) -> None:
    rgbs = [to_rgb(colour) if isinstance(colour, str) else tuple(np.array(colour) / 255) for colour in palette]
    assert least_distance(combinations(rgbs, 2), eyes) > LEAST_DISTANCE


def test_colour_blindness_simulation_keeps_greys_and_confuses_red_with_olive() -> None:
    for eyes in EYES:
        assert np.abs(cielab((0.5, 0.5, 0.5), eyes)[1:]).max() < 1
    red, olive = (1.0, 0.0, 0.0), (0.4, 0.4, 0.0)
    assert distance(red, olive, "protanope") < 10 < 60 < distance(red, olive, "trichromat")
