"""What `deconv-ae train` does, in this folder: see deconv_ae_programs/train.py."""

import installed

installed.run("train")
