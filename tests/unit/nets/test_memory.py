import pytest
import torch
import torchvision
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.memory import inference_memory, training_memory
from cnnlab.nets.tracing import DoesNotFit

MEGABYTE = 1024**2


def listed(key):
    """A net of the table, without values."""
    architecture = ARCHITECTURES[key]
    with torch.device("meta"):
        return architecture.build(num_classes=architecture.num_classes, in_channels=architecture.input_shape[0])


def kept_by_a_real_run(model, x):
    """Bytes that PyTorch keeps for the way back on the CPU, each piece of memory once, parameters left out."""
    own = {each.untyped_storage().data_ptr() for each in (*model.parameters(), *model.buffers())}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage  # holding it keeps its address from being used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(x)
    return sum(storage.nbytes() for storage in kept.values())


def test_a_small_net_by_hand():
    """Convolution and linear layer keep their inputs, ReLU its output, pooling its input (the same) and places."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 5))
    found = training_memory(net, (1, 6, 6), 3, optimizer="adam")
    num_params = 2 * 9 + 2 + 8 * 5 + 5
    assert found.parameters == found.gradients == num_params * 4
    assert found.optimizer_state == 2 * num_params * 4
    assert found.saved == 3 * 4 * (36 + 2 * 16 + 2 * 4 + 2 * 4 * 2)
    # Most while ReLU runs: the picture, what the convolution made, which is still held, and what ReLU makes.
    assert found.forward_peak == 3 * 4 * (36 + 2 * 16 + 2 * 16)
    assert found.total == 4 * num_params * 4 + found.forward_peak


@pytest.mark.parametrize(("optimizer", "numbers"), [("sgd", 0), ("momentum", 1), ("adam", 2)])
def test_optimizers_keep_what_pytorch_keeps(optimizer, numbers):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    net[0].bias.requires_grad_(False)
    found = training_memory(net, (1, 6, 6), 2, optimizer=optimizer)
    assert found.optimizer_state == numbers * found.gradients == numbers * (36 + 8) * 4
    made = {
        "sgd": lambda: torch.optim.SGD(net.parameters()),
        "momentum": lambda: torch.optim.SGD(net.parameters(), momentum=0.9),
        "adam": lambda: torch.optim.Adam(net.parameters()),
    }[optimizer]()
    net(torch.rand(2, 1, 6, 6)).sum().backward()
    made.step()
    held = [each for state in made.state.values() for each in state.values() if torch.is_tensor(each) and each.ndim]
    assert sum(each.numel() * 4 for each in held) == found.optimizer_state


# Measured once with a hook on a real run of each net, in MB of 1024² bytes a picture.
@pytest.mark.parametrize(
    ("key", "megabytes"),
    [
        ("image_classification", 0.065),
        ("cifar10_cnn_shared_bn", 1.06),
        ("cat_dog_cnn", 55.2),
        ("resnet18", 21.2),
        ("efficientnet_b0", 84.1),
    ],
)
def test_what_is_kept_a_picture(key, megabytes):
    found = training_memory(listed(key), ARCHITECTURES[key].input_shape, 8)
    assert found.saved / 8 / MEGABYTE == pytest.approx(megabytes, rel=0.01)


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5)), (3, 8, 8)),
        (torchvision.models.resnet18(), (3, 64, 64)),
        (torchvision.models.mobilenet_v3_small(), (3, 64, 64)),
        (torchvision.models.densenet121(), (3, 32, 32)),
        (torchvision.models.convnext_tiny(), (3, 32, 32)),
    ],
)
def test_a_run_without_values_keeps_what_a_real_run_keeps(net, shape):
    expected = kept_by_a_real_run(net, torch.rand(2, *shape))
    assert training_memory(net, shape, 2).saved == pytest.approx(expected, rel=1e-3)


def test_a_net_whose_way_depends_on_values_is_measured_on_a_real_run():
    class Depends(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x):
            return self.conv(x) if float(x.detach().sum()) == 0 else x

    assert training_memory(Depends(), (1, 5, 5), 2).saved == 2 * 25 * 4


def test_training_needs_a_batch_that_can_be_normalised():
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4))
    with pytest.raises(DoesNotFit, match="Train on more pictures"):
        training_memory(net, (4, 8, 8), 1)
    assert training_memory(net, (4, 8, 8), 2).saved > 0


def test_the_peak_of_a_chain_by_hand():
    # Picture 36 numbers, then 2·16, 2·16 (ReLU), 2·4: most while ReLU runs.
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2))
    found = inference_memory(net, (1, 6, 6), 3)
    assert (found.peak, found.peak_at) == (3 * 4 * (36 + 32 + 32), "1")
    assert found.total == found.peak + 20 * 4
    net[1].inplace = True
    found = inference_memory(net, (1, 6, 6), 3)
    # Pooling also makes the places of its 8 maxima, of 8 bytes.
    assert (found.peak, found.peak_at) == (3 * 4 * (36 + 32 + 8 + 2 * 8), "2")


def test_a_way_around_is_held_until_the_sum():
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x):
            x = self.first(x)
            y = x.view(x.shape[0], 2, -1).view_as(x)  # only looks at it
            return self.second(self.second(y)) + x

    found = inference_memory(Around(), (1, 10, 10), 1)
    # Picture 100; what `first` made, 200, is held; 200 from `second`, 200 from its second run or from the sum.
    assert found.peak == 4 * (100 + 200 + 200 + 200)


class Held(TorchDispatchMode):
    """Most bytes held at one time in a real run, weights left out."""

    def __init__(self, net, x):
        super().__init__()
        self.own = {each.untyped_storage()._cdata for each in (*net.parameters(), *net.buffers())}
        self.held = {}
        self.most = 0
        self.note(x)

    def note(self, tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in self.own:
            self.held[storage._cdata] = StorageWeakRef(storage), storage.nbytes()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.held = {key: held for key, held in self.held.items() if not held[0].expired()}
        for each in made if isinstance(made, tuple) else [made]:
            if isinstance(each, torch.Tensor):
                self.note(each)
        self.most = max(self.most, sum(num_bytes for _, num_bytes in self.held.values()))
        return made


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (torchvision.models.squeezenet1_0(), (3, 96, 96)),
        (torchvision.models.densenet121(), (3, 32, 32)),
        (torchvision.models.resnet50(), (3, 64, 64)),
        (torchvision.models.swin_t(), (3, 64, 64)),
    ],
)
def test_what_is_held_at_one_time_is_what_a_real_run_holds(net, shape):
    x = torch.rand(2, *shape)
    with torch.no_grad(), Held(net, x) as in_use:
        net.eval()(x)
    assert inference_memory(net, shape, 2).peak == pytest.approx(in_use.most, rel=2e-3)
    with Held(net, x) as training:
        net.train()(x)
    found = training_memory(net, shape, 2)
    assert found.forward_peak == pytest.approx(training.most, rel=2e-3)
    assert found.forward_peak >= found.saved


def test_what_enters_a_block_is_held_until_the_block_ends():
    """Its caller has it in a variable; two layers of the block make 200 numbers each beside the 200 that came in."""

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(1, 2, 1)
            self.block = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1))

        def forward(self, x):
            x = self.first(x)
            return self.block(x)

    found = inference_memory(Outer(), (1, 10, 10), 1)
    assert (found.peak, found.peak_at) == (4 * (100 + 200 + 200 + 200), "block.1")


def test_training_takes_more_than_is_kept_when_the_way_there_does():
    """Pooling to one number keeps little; the picture and what the first layer makes are there all the same."""
    net = nn.Sequential(nn.AvgPool2d(1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 1))
    found = training_memory(net, (1, 10, 10), 1, optimizer="sgd")
    assert found.saved == 4
    assert found.forward_peak == 4 * (100 + 100 + 1)
    assert found.total == 2 * 2 * 4 + found.forward_peak


def test_the_model_is_untouched():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()
    training_memory(net, (1, 6, 6), 4)
    inference_memory(net, (1, 6, 6), 4)
    assert not net.training
    assert int(net[1].num_batches_tracked) == 0
    assert all(each.grad is None for each in net.parameters())
    assert all(not module._forward_hooks for module in net.modules())
