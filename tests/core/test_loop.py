"""Inside the loop over batches nothing travels between devices and nobody waits for one."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from modelgif_core import Paths, extract_field
from modelgif_core.field import _weighted_gradients, usual_batch
from modelgif_core.view import colour_mean, flat

WAITING = {"aten._local_scalar_dense.default", "aten.nonzero.default", "aten.equal.default"}


class Watch(TorchDispatchMode):
    """Every operation, those that touch two devices, and those for which the host waits."""

    def __init__(self):
        super().__init__()
        self.operations, self.copies, self.waits = 0, [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        devices = {each.device for each in tree_leaves((args, kwargs, result)) if isinstance(each, torch.Tensor)}
        self.operations += 1
        if len(devices) > 1:
            self.copies.append(str(func))
        if str(func) in WAITING:
            self.waits.append(str(func))
        return result


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8 * 7 * 7, 10)).eval()


def watched(paths, steps, device, **options):
    model = network().to(device)
    with Watch() as watch:
        extract_field(model, paths, steps=steps, **options)
    return watch


def test_the_watch_sees_copies_and_waits():
    with Watch() as watch:
        torch.ones(2).to("meta")
        torch.ones(1).item()
    assert watch.copies == ["aten._to_copy.default"]
    assert watch.waits == ["aten._local_scalar_dense.default"]


@pytest.mark.parametrize("view", [flat, colour_mean])
@pytest.mark.parametrize("batch_size", [1, 7, 20, 1000])
def test_the_loop_copies_nothing_between_devices_and_waits_for_nothing(view, batch_size):
    # On the meta device, which holds no values, reading one or fetching a gradient to the CPU is an error besides.
    ends, follow = torch.rand(5, 3, 16, 16, device="meta"), torch.rand(5, 10, device="meta")
    numbers = {"nodes": torch.rand(10, device="meta"), "weights": torch.rand(10, device="meta")}
    options = {"times_direction": True, "view": view, "batch_size": batch_size, "dtype": torch.float32}
    model = network().to("meta").requires_grad_(False)
    with Watch() as watch:
        field = _weighted_gradients(model, ends * 0, ends, follow, **numbers, **options)
    assert field.device.type == "meta"
    assert watch.operations > 20
    assert (watch.copies, watch.waits) == ([], [])


def test_more_batches_wait_no_more_often():
    paths = Paths(torch.zeros(()), torch.rand(30, 3, 16, 16))
    few, many = (watched(paths, 2, "cpu", batch_size=size) for size in (60, 2))
    assert many.operations > 5 * few.operations
    assert many.waits == few.waits


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_on_an_accelerator_the_copies_are_as_many_for_many_batches_as_for_one():
    paths = Paths(torch.zeros(()), torch.rand(30, 3, 16, 16))
    few, many = (watched(paths, 20, "cuda", batch_size=size) for size in (600, 20))
    assert many.operations > 5 * few.operations
    assert (many.copies, many.waits) == (few.copies, few.waits)
    assert len(few.copies) <= 6  # an example, starts, ends, nodes, weights; the labels of paths that have some


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_a_field_lies_on_the_accelerator_and_is_that_of_the_processor():
    paths, model = Paths(torch.zeros(()), torch.rand(4, 3, 16, 16)), network()
    expected = extract_field(model, paths, steps=10)
    found = extract_field(model.to("cuda"), paths, steps=10)
    assert found.is_cuda
    assert (found.cpu() - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.parametrize(
    ("shape", "device", "points"),
    [
        ((3, 32, 32), "cpu", 100),
        ((3, 256, 256), "cpu", 12),
        ((3, 2000, 2000), "cpu", 1),
        ((3, 32, 32), "cuda", 1302),
        ((3, 256, 256), "cuda", 20),
        ((10,), "cuda", 4096),
    ],
)
def test_batches_follow_from_the_size_of_an_input_and_the_device(shape, device, points):
    assert usual_batch(Paths(torch.zeros(()), torch.zeros(1, *shape)), torch.device(device)) == points


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(100, [100, 20]), (59, [40, 40, 40]), (20, [20] * 6), (15, [15, 5] * 6)]
)
def test_a_batch_holds_whole_paths_or_a_part_of_one(batch_size, sizes):
    seen, model = [], network()
    model.register_forward_pre_hook(
        lambda module, inputs: seen.append(len(inputs[0])) if inputs[0].requires_grad else None
    )
    extract_field(model, Paths(torch.zeros(()), torch.rand(6, 3, 16, 16)), steps=20, batch_size=batch_size)
    assert seen == sizes
