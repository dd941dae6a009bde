"""What `deconv-ae visualize` does, in this folder: see deconv_ae_programs/visualize.py."""

import installed

installed.run("visualize")
