"""This project's layers on any backend, and steps on JAX and PyTorch, whose processes never import TensorFlow."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import torch_models
from benchmarks.calls import Step
from benchmarks.measurement import Unavailable


def our_layers(dimensions: int, pool_size: int, strides: int) -> Callable[[Any], Any]:
    """Returns a function that pools and unpools channels-last images, on the Keras backend of this process."""
    import deconv_ae

    pooling, unpooling = (
        getattr(deconv_ae, f"{name}{dimensions}D")(pool_size, strides)
        for name in ("MaxPoolingWithArgmax", "MaxUnpooling")
    )
    return lambda images: unpooling(*pooling(images), like=images)


def jax_step(arrays: Sequence[np.ndarray], pool_size: int, strides: int, backward: bool) -> Step:
    """A step that `jax.jit` compiles. `arrays` holds the images, and a weight for each value of the restored images."""
    os.environ["KERAS_BACKEND"] = "jax"
    try:
        import jax
    except ImportError as error:
        raise Unavailable("JAX is not installed, see the extra [test]") from error
    images, weights = map(jax.numpy.asarray, arrays)
    run = our_layers(images.ndim - 2, pool_size, strides)

    def step(images, weights):
        if not backward:
            return (run(images),)
        restored, pullback = jax.vjp(run, images)
        return restored, *pullback(weights)

    compiled = jax.jit(step)
    return Step(lambda: jax.block_until_ready(compiled(images, weights)))


def torch_step(arrays: Sequence[np.ndarray], pool_size: int, strides: int, backward: bool) -> Step:
    """A step in eager PyTorch. `arrays` holds the images, and a weight for each value of the restored images."""
    os.environ["KERAS_BACKEND"] = "torch"
    torch = torch_models.import_torch()
    images, weights = map(torch.from_numpy, arrays)
    run = our_layers(images.ndim - 2, pool_size, strides)

    def step():
        leaf = images.detach().requires_grad_(backward)
        restored = run(leaf)
        if not backward:
            return (restored,)
        restored.backward(weights)
        return restored.detach(), leaf.grad

    return Step(step)


STEPS = {"jax": jax_step, "torch": torch_step}
