"""What `deconv-ae decompress` does, in this folder: see deconv_ae_programs/decompress.py."""

import installed

installed.run("decompress")
