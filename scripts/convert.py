"""Runs deconv_ae_programs/convert.py, as `deconv-ae convert` does."""

import installed

installed.run("convert")
