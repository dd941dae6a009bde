"""Runs deconv_ae_programs/train.py, as `deconv-ae train` does."""

import installed

installed.run("train")
