"""The programs, `deconv-ae train` and its brothers, which pip installs beside the library `deconv_ae`.

They are a package of their own because `import deconv_ae` registers with Keras what saved files name, and so loads
Keras and a backend, which takes seconds; a program refuses a wrong flag before that.
"""
