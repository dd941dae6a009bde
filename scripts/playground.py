"""Runs deconv_ae_programs/playground.py, as `deconv-ae playground` does."""

import installed

installed.run("playground")
