"""The colours of all pictures.

People with red-green colour-blindness can tell apart all colours that are used together, except those of the places
in large windows.
"""

from matplotlib.colors import LinearSegmentedColormap

ORANGE, SKY_BLUE, GREEN, BLUE, VERMILION = "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00"
"""Five of the eight colours of Okabe and Ito, "Color Universal Design", 2008."""

CURVES = (BLUE, ORANGE, GREEN, SKY_BLUE)
"""The colours of curves, in the order in which a plot uses them."""

POINTS = ORANGE
"""Points on grey pictures. Even people with red-green colour-blindness do not see this colour as grey."""

NO_VALUE = BLUE
"""Gaps in a grey picture."""

SIGNED = LinearSegmentedColormap.from_list("signed", [BLUE, "white", VERMILION])
"""Negative values are blue, 0 is white, positive values are vermilion."""
