"""What `deconv-ae playground` does, in this folder: see deconv_ae_programs/playground.py."""

import installed

installed.run("playground")
