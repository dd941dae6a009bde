"""Runs deconv_ae_programs/evaluate.py, as `deconv-ae evaluate` does."""

import installed

installed.run("evaluate")
