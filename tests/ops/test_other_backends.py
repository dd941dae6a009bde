"""The package on JAX and on PyTorch, each backend in its own process without TensorFlow."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import deconv_ae

CONFORMANCE = Path(__file__).with_name("test_every_backend.py")
TRANSFORMS = Path(__file__).with_name("transforms_program.py")
PROGRAM = """
import sys
sys.modules["tensorflow"] = None  # An import of TensorFlow fails, as if it were not installed.
import keras, numpy as np, pytest
import deconv_ae, deconv_ae.layers, deconv_ae.ops, deconv_ae.model.presets, deconv_ae.model.recipes
model = keras.saving.load_model("model.keras")
np.testing.assert_allclose(model.predict(np.load("images.npy"), verbose=0), np.load("reconstruction.npy"), atol=1e-5)
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_layers_and_models_conform_on_other_backends(backend, tmp_path):
    # A skipif mark would always skip JAX, because conftest.py hides JAX until the tests are collected.
    if importlib.util.find_spec(backend) is None:
        pytest.skip("not installed")
    keras.utils.set_random_seed(1)
    model = deconv_ae.Autoencoder(deconv_ae.Architecture((3, 2), (2, 3)), (17, 13, 3))
    images = np.random.default_rng(0).random((5, 17, 13, 3), "float32")
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "reconstruction.npy", model(images))
    # JAX's compiler takes as long as all the tests, so most optimizations are off. They change no result here.
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    tests = [CONFORMANCE, TRANSFORMS] if backend == "torch" else [CONFORMANCE]
    command = [sys.executable, "-c", PROGRAM, *map(str, tests), "--noconftest", "-q", "-o", "addopts="]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout[-5000:] + finished.stderr[-1000:]
