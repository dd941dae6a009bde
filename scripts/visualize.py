"""Runs deconv_ae_programs/visualize.py, as `deconv-ae visualize` does."""

import installed

installed.run("visualize")
