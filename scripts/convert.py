"""What `deconv-ae convert` does, in this folder: see deconv_ae_programs/convert.py."""

import installed

installed.run("convert")
