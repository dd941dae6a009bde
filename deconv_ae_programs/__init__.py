"""The programs: `deconv-ae train` and the others. pip installs them beside the library `deconv_ae`.

They are a package of their own because `import deconv_ae` takes seconds: it loads Keras and a backend, to register the
classes that saved files name. A program refuses a wrong flag before this import.
"""
