"""What is drawn of a model, as data."""

MOST_IMAGES = 250
"""Of a figure: matplotlib draws no more than 65,536 pixels in a row."""
