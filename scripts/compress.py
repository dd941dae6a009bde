"""Runs deconv_ae_programs/compress.py, as `deconv-ae compress` does."""

import installed

installed.run("compress")
