"""Notebooks to learn from, and a SegNet to copy."""
