"""What `deconv-ae compress` does, in this folder: see deconv_ae_programs/compress.py."""

import installed

installed.run("compress")
