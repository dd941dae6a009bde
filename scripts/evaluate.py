"""What `deconv-ae evaluate` does, in this folder: see deconv_ae_programs/evaluate.py."""

import installed

installed.run("evaluate")
