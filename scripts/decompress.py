"""Runs deconv_ae_programs/decompress.py, as `deconv-ae decompress` does."""

import installed

installed.run("decompress")
