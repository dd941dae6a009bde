"""The ops and layers under PyTorch's transforms, which torch.nn.functional's pooling and unpooling support as well.

`test_other_backends.py` runs this file on PyTorch, without TensorFlow.
"""

import copy
import io

import keras
import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import deconv_ae
from deconv_ae.layers import ArgmaxToSwitches2D, MaxPoolingWithArgmax2D, MaxUnpooling2D, SwitchesToArgmax2D
from deconv_ae.ops import argmax_to_switches, max_pool_with_argmax, max_unpool, switches_to_argmax

IMAGES = torch.from_numpy(np.random.default_rng(0).permutation(3 * 2 * 6 * 7 * 2).reshape(3, 2, 6, 7, 2) / 100).float()
RAMP = torch.arange(16.0).reshape(1, 4, 4, 1)


def unpool_side_by_side(images):
    return max_unpool(*max_pool_with_argmax(images, 2), 2, like=images)


def unpool_overlapping(images):
    return max_unpool(*max_pool_with_argmax(images, 3, 2, "same"), 3, 2, "same", like=images)


def unpool_by_switches(images):
    pooled, argmax = max_pool_with_argmax(images, 2)
    argmax = switches_to_argmax(argmax_to_switches(argmax, (6, 7), 2), (6, 7), 2)
    return max_unpool(pooled, argmax, 2, output_size=(6, 7))


every_function = pytest.mark.parametrize("function", [unpool_side_by_side, unpool_overlapping, unpool_by_switches])


@every_function
def test_vmap_equals_a_loop(function):
    expected = torch.stack([function(each) for each in IMAGES])
    assert torch.equal(torch.func.vmap(function)(IMAGES), expected)
    assert torch.equal(torch.func.vmap(torch.func.grad(lambda x: (function(x) ** 2).sum()))(IMAGES), 2 * expected)


def test_vmap_takes_mapped_and_shared_positions():
    pooled, argmax = torch.func.vmap(lambda x: max_pool_with_argmax(x, 2))(IMAGES)
    for positions in (argmax, argmax[0]):
        is_mapped = positions.ndim == pooled.ndim
        actual = torch.func.vmap(
            lambda *tensors: max_unpool(*tensors, 2, output_size=(6, 7)), in_dims=(0, 0 if is_mapped else None)
        )(pooled, positions)
        for n, restored in enumerate(actual):
            own_positions = positions[n] if is_mapped else positions
            assert torch.equal(restored, max_unpool(pooled[n], own_positions, 2, output_size=(6, 7)))


@every_function
@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_make_fx_traces_the_functions(function, mode):
    assert torch.equal(make_fx(function, tracing_mode=mode)(IMAGES[0])(IMAGES[1]), function(IMAGES[1]))


@every_function
def test_fake_and_meta_tensors_keep_the_shape(function):
    with FakeTensorMode():
        assert function(torch.empty(2, 6, 7, 2)).shape == (2, 6, 7, 2)
    assert function(torch.empty(2, 6, 7, 2, device="meta")).shape == (2, 6, 7, 2)


@every_function
def test_exported_program_equals_the_function(function):
    class Module(torch.nn.Module):
        def forward(self, images):
            return function(images)

    exported = torch.export.export(Module(), (IMAGES[0],)).module()
    assert torch.equal(exported(IMAGES[1]), function(IMAGES[1]))


@every_function
def test_one_compiled_graph_handles_all_images(function):
    graphs = []

    def backend(module, _):
        graphs.append(module)
        return module.forward

    compiled = torch.compile(function, fullgraph=True, backend=backend)
    for images in IMAGES:
        assert torch.equal(compiled(images), function(images))
    assert len(graphs) == 1


def test_one_compiled_graph_unpools_any_positions():
    graphs = []

    def backend(module, _):
        graphs.append(module)
        return module.forward

    @torch.compile(fullgraph=True, backend=backend)
    def unpool(values, argmax):
        return max_unpool(values, argmax, 2, output_size=(6, 7))

    for images in IMAGES:
        assert torch.equal(unpool(*max_pool_with_argmax(images, 2)), unpool_side_by_side(images))
    assert len(graphs) == 1


@every_function
def test_first_and_second_gradients_equal_finite_differences(function):
    images = IMAGES[0, :1].double().requires_grad_()
    assert torch.autograd.gradcheck(function, (images,)) and torch.autograd.gradgradcheck(function, (images,))


CHANGES = {
    "in place": lambda tensor: tensor.zero_(),
    "through NumPy": lambda tensor: tensor.numpy().fill(0),
    "a deep copy": lambda tensor: copy.deepcopy(tensor).zero_(),
    "a clone": lambda tensor: tensor.clone().zero_(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_unpooling_uses_positions_changed_in_place(change):
    pooled, argmax = max_pool_with_argmax(RAMP, 2)
    changed = change(argmax)
    restored = max_unpool(pooled, argmax if changed is None else changed, 2)
    assert restored.ravel()[0] == 15 and restored.sum() == 15


def test_switches_and_argmax_are_independent_tensors():
    _, argmax = max_pool_with_argmax(RAMP, 2)
    switches = argmax_to_switches(argmax, (4, 4), 2)
    argmax.zero_()
    assert switches_to_argmax(switches, (4, 4), 2).ravel().tolist() == [5, 7, 13, 15]
    switches.zero_()
    assert switches_to_argmax(switches, (4, 4), 2).ravel().tolist() == [0, 2, 8, 10]


def test_negative_position_raises_value_error():
    pooled, argmax = max_pool_with_argmax(RAMP, 2)
    argmax -= 6
    with pytest.raises(ValueError, match="out of range"):
        max_unpool(pooled, argmax, 2)


def test_positions_and_switches_can_be_saved():
    _, argmax = max_pool_with_argmax(RAMP, 2)
    switches, file = argmax_to_switches(argmax, (4, 4), 2), io.BytesIO()
    torch.save([argmax, switches], file)
    file.seek(0)
    assert all(map(torch.equal, torch.load(file), [argmax, switches]))
    assert not vars(argmax) and not vars(switches)


def test_subclassed_model_infers_shapes_and_trains():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.convolution = keras.layers.Conv2D(3, 3, padding="same")
            self.pool, self.unpool = MaxPoolingWithArgmax2D(2), MaxUnpooling2D(2)
            self.to_switches = ArgmaxToSwitches2D(2, input_size=(6, 7))
            self.to_argmax = SwitchesToArgmax2D(2, input_size=(6, 7))

        def call(self, images):
            pooled, argmax = self.pool(self.convolution(images))
            return self.unpool(pooled, self.to_argmax(self.to_switches(argmax)), output_size=(6, 7))

    assert Model()(keras.KerasTensor((None, 6, 7, 2))).shape == (None, 6, 7, 3)
    model = Model()
    model.compile("sgd", "mse")
    images = IMAGES.reshape(-1, 6, 7, 2).numpy()
    losses = model.fit(images, np.zeros((len(images), 6, 7, 3)), epochs=2, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_tensor_likes_are_pooled_and_sparse_tensors_are_refused():
    expected = max_pool_with_argmax(RAMP, 2)[0]
    for images in (torch.nn.Parameter(RAMP), keras.Variable(RAMP.numpy()), RAMP.numpy(), RAMP.tolist()):
        assert torch.equal(max_pool_with_argmax(images, 2)[0], expected)
    with pytest.raises(ValueError, match="give a dense tensor"):
        max_pool_with_argmax(RAMP.to_sparse(), 2)


def test_pooled_images_without_channels_have_no_channels():
    assert [each.shape for each in max_pool_with_argmax(torch.zeros(1, 4, 4, 0), 2)] == [(1, 2, 2, 0)] * 2


@pytest.mark.parametrize(
    "pool_size, strides, padding", [(2, 2, "valid"), (3, 2, "same")], ids=["side by side", "overlapping"]
)
def test_portable_model_runs_in_onnx_runtime(pool_size, strides, padding, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    images = keras.Input((6, 7, 2))
    pooled, argmax = MaxPoolingWithArgmax2D(pool_size, strides, padding)(images)
    restored = MaxUnpooling2D(pool_size, strides, padding)(pooled, argmax, like=images)
    model = keras.Model(images, [pooled, argmax, restored])
    batch = IMAGES[0].numpy()
    expected = model(batch)
    with deconv_ae.portable():
        model.export(str(tmp_path / "model.onnx"), format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for actual, wanted in zip(session.run(None, {session.get_inputs()[0].name: batch}), expected):
        np.testing.assert_array_equal(actual, wanted.detach())
