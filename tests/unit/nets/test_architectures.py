"""What holds for every net of the table, and the numbers that are known of each."""

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnnlab.errors import InputRejected
from cnnlab.nets import ARCHITECTURES, build_seeded
from cnnlab.nets.seeding import build_filled

NUM_WEIGHTS = {
    "mlp": 109_386,
    "simple_conv_net": 421_642,
    "simple_cnn": 421_642,
    "lenet5": 61_706,
    "cnn_mnist": 1_630_090,
    "image_classification": 81_302,
    "cnn_cifar": 2_122_186,
    "cifar10_cnn_shared_bn": 1_403_498,
    "cifar10_cnn": 1_403_946,
    "resnet_cifar": 340_546,
    "resnet9": 1_646_122,
    "vgg16_cifar": 33_638_218,
    "tiny_vgg": 19_920,
    "cat_dog_cnn": 7_663_138,
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "mobilenet_v3_small": 2_542_856,
    "efficientnet_b0": 5_288_548,
}
# For one picture of the size the net was made for. The tutorials' nets: measured on the tutorials' own code.
# ResNet for 32 × 32, by hand: weights of the convolutions at each side, times the places there.
MACS = {
    "mlp": 784 * 128 + 128 * 64 + 64 * 10,
    "simple_conv_net": 4_241_152,
    "simple_cnn": 4_241_152,
    "lenet5": 416_520,
    "cnn_mnist": 5_449_216,
    "image_classification": 371_856,
    "cnn_cifar": 7_705_600,
    "cifar10_cnn_shared_bn": 39_748_864,
    "cifar10_cnn": 39_748_864,
    "resnet_cifar": (648 + 10_368) * 32**2 + 32_256 * 16**2 + (129_024 + 165_888) * 8**2 + 960,
    "resnet9": (864 + 18_432) * 32**2 + (2 * 36_864 + 73_728) * 16**2 + 294_912 * 8**2 + 2 * 589_824 * 4**2 + 2_560,
    "vgg16_cifar": 332_111_872,
    "cat_dog_cnn": 2_593_161_472,
    "alexnet": 714_188_480,
}
# Larger ones are tried without weights, on the meta device: shapes are worked out, numbers are not.
LARGE = {key for key, count in NUM_WEIGHTS.items() if count > 30_000_000}
every_net = pytest.mark.parametrize("key", ARCHITECTURES)
every_net_with_numbers = pytest.mark.parametrize("key", [key for key in ARCHITECTURES if key not in LARGE])


def build(key: str, **chosen: int) -> nn.Module:
    """A net to take to pieces, without weights where it is large."""
    if key not in LARGE:
        return build_seeded(key, seed=0, **chosen)
    with torch.device("meta"):
        return ARCHITECTURES[key].build(**chosen)


@cache
def shared(key: str) -> nn.Module:
    """A net in evaluation mode that no test changes."""
    return build_seeded(key, seed=0).requires_grad_(False)


def noise(key: str, side: int, *, batch: int = 2, channels: int | None = None) -> torch.Tensor:
    channels = channels or ARCHITECTURES[key].input_shape[0]
    if key in LARGE:
        return torch.empty(batch, channels, side, side, device="meta")
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(1))


def macs(key: str) -> int:
    architecture = ARCHITECTURES[key]
    with torch.device("meta"):
        model = architecture.build().eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, *architecture.input_shape))
    return counter.get_total_flops() // 2


# --- the table --------------------------------------------------------------------------------------------------


def test_the_numbers_are_known_of_every_net_in_the_order_of_the_table():
    assert list(NUM_WEIGHTS) == list(ARCHITECTURES)


@every_net
def test_entries_are_fit_to_be_shown(key):
    entry = ARCHITECTURES[key]
    assert entry.lesson.endswith(".")
    assert 1943 <= entry.year <= 2026
    assert entry.url == "" or entry.url.startswith("https://")
    assert entry.input_shape[1] == entry.input_shape[2]
    assert entry.min_size <= entry.input_shape[1] <= (entry.max_size or math.inf)
    for text in (entry.label, entry.paper, entry.lesson, entry.family):
        assert text.strip() == text != ""
        assert "  " not in text


def test_labels_differ_and_families_stand_together():
    labels = [entry.label for entry in ARCHITECTURES.values()]
    assert len(set(labels)) == len(labels)
    families = [entry.family for entry in ARCHITECTURES.values()]
    assert families == sorted(families, key=families.index)


@every_net
def test_weights_are_as_many_as_published(key):
    with torch.device("meta"):
        model = ARCHITECTURES[key].build()
    assert sum(weight.numel() for weight in model.parameters()) == NUM_WEIGHTS[key]


@pytest.mark.parametrize("key", MACS)
def test_macs_are_as_many_as_measured_elsewhere(key):
    assert macs(key) == MACS[key]


def test_alexnet_for_ten_classes_has_the_published_number_of_weights():
    with torch.device("meta"):
        model = ARCHITECTURES["alexnet"].build(num_classes=10)
    assert sum(weight.numel() for weight in model.parameters()) == 57_044_810


def test_the_net_for_laptops_is_small():
    assert macs("resnet_cifar") <= 45_000_000
    assert 300_000 <= NUM_WEIGHTS["resnet_cifar"] <= 700_000


# --- what every net can do --------------------------------------------------------------------------------------


@every_net
def test_it_learns_at_its_smallest_size(key):
    check_a_step(key, ARCHITECTURES[key].min_size)


@every_net
def test_it_learns_at_the_size_it_was_made_for(key):
    check_a_step(key, ARCHITECTURES[key].input_shape[1])


def check_a_step(key: str, side: int) -> None:
    """Forward and backward in training mode: logits for each class, a finite gradient for each weight."""
    model = build(key).train()
    logits = model(noise(key, side))
    assert logits.shape == (2, ARCHITECTURES[key].num_classes)
    logits.square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.is_meta or bool(weight.grad.isfinite().all()), name


@every_net
def test_its_limits_of_size_are_exact(key):
    entry = ARCHITECTURES[key]
    model = build(key).eval()
    largest = entry.max_size or 2 * entry.input_shape[1] + 1
    sides = {entry.min_size, entry.min_size + 1, largest - 1, largest}
    for side in sides if entry.max_size != entry.min_size else {entry.min_size}:
        if entry.max_size is None and side > 300 and key not in LARGE:
            continue  # seconds of work that show nothing new
        with torch.no_grad():
            assert model(noise(key, side)).shape == (2, entry.num_classes)
    for side in (entry.min_size - 1, (entry.max_size or -1) + 1):
        if side > 0:
            with pytest.raises(RuntimeError):
                model(noise(key, side))


@every_net
@pytest.mark.parametrize("in_channels", [1, 3])
def test_it_takes_other_channels_and_gives_other_classes(key, in_channels):
    with torch.device("meta"):
        model = ARCHITECTURES[key].build(num_classes=7, in_channels=in_channels).eval()
    side = ARCHITECTURES[key].input_shape[1]
    assert model(torch.empty(2, in_channels, side, side, device="meta")).shape == (2, 7)


@pytest.mark.parametrize("key", ["vgg16", "resnet18", "mobilenet_v3_small", "efficientnet_b0"])
def test_other_channels_change_nothing_but_the_first_convolution(key):
    with torch.device("meta"):
        before = ARCHITECTURES[key].build().state_dict()
        after = ARCHITECTURES[key].build(in_channels=1).state_dict()
    assert before.keys() == after.keys()
    changed = {
        name: (before[name].shape, after[name].shape) for name in before if before[name].shape != after[name].shape
    }
    ((name, (shape, other)),) = changed.items()
    assert name == next(iter(before))
    assert (shape[1], other[1]) == (3, 1)
    assert shape[:1] + shape[2:] == other[:1] + other[2:]


@every_net
def test_no_module_works_in_place(key):
    with torch.device("meta"):
        model = ARCHITECTURES[key].build()
    assert not [name for name, module in model.named_modules() if getattr(module, "inplace", False)]


@every_net_with_numbers
def test_memory_layout_changes_nothing(key):
    x = noise(key, max(ARCHITECTURES[key].min_size, min(64, ARCHITECTURES[key].input_shape[1])))
    expected = shared(key)(x)
    atol = 1e-3 * float(expected.abs().max())
    torch.testing.assert_close(
        shared(key)(x.contiguous(memory_format=torch.channels_last)), expected, rtol=1e-3, atol=atol
    )
    model = build(key).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.testing.assert_close(model(x.contiguous(memory_format=torch.channels_last)), expected, rtol=1e-3, atol=atol)


@every_net_with_numbers
def test_its_weights_survive_a_safetensors_file(key, tmp_path):
    # Copies: safetensors refuses a module that stands in two places, and its save_model cannot be read back then.
    copies = {name: tensor.clone() for name, tensor in shared(key).state_dict().items()}
    safetensors.torch.save_file(copies, tmp_path / "net.safetensors")
    other = build_seeded(key, seed=1)
    x = noise(key, ARCHITECTURES[key].min_size)
    assert not torch.equal(other(x), shared(key)(x))
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "net.safetensors"))
    assert torch.equal(other(x), shared(key)(x))


@every_net
def test_the_parts_of_our_own_nets_in_a_row_are_the_net(key):
    model = build(key).eval()
    if key in ("vgg16", "resnet18", "resnet34", "resnet50", "mobilenet_v3_small", "efficientnet_b0"):
        return  # torchvision's own
    assert {"features", "classifier"} <= dict(model.named_children()).keys()
    x = noise(key, ARCHITECTURES[key].min_size)
    in_a_row = nn.Sequential(*model.children())(x)
    assert in_a_row.is_meta or torch.equal(in_a_row, model(x))


@every_net
def test_it_can_be_traced(key):
    with torch.device("meta"):
        graph = torch.fx.symbolic_trace(ARCHITECTURES[key].build()).graph
    assert [node.op for node in graph.nodes].count("output") == 1


# --- random weights from a seed ---------------------------------------------------------------------------------


@every_net_with_numbers
def test_weights_depend_on_the_seed_alone(key):
    again, other = build_seeded(key, seed=0).state_dict(), build_seeded(key, seed=1).state_dict()
    for name, tensor in shared(key).state_dict().items():
        assert torch.equal(tensor, again[name]), name
    assert any(not torch.equal(tensor, other[name]) for name, tensor in again.items())


def test_a_seeded_net_is_ready_for_prediction():
    model = build_seeded("cifar10_cnn", seed=3, num_classes=4, in_channels=1)
    assert not any(module.training for module in model.modules())
    assert model(torch.zeros(1, 1, 32, 32)).shape == (1, 4)
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("key", ["lenet5", "cifar10_cnn_shared_bn", "resnet18"])
def test_torchs_global_generator_is_left_alone(key):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    build_seeded(key, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_that_build_at_once_get_what_one_gets():
    keys = ["lenet5", "resnet_cifar", "simple_cnn", "tiny_vgg"] * 4
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda key: build_seeded(key, seed=0).state_dict(), keys))
    for key, state in zip(keys, built, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in shared(key).state_dict().items())


def test_weights_are_drawn_as_he_et_al_say():
    model = build_seeded("simple_cnn", seed=0)
    hidden = model.get_parameter("classifier.1.weight")  # fan-in 3136
    assert float(hidden.detach().var()) == pytest.approx(2 / 3136, rel=0.01)
    assert float(hidden.detach().abs().max()) <= math.sqrt(6 / 3136)
    last = model.get_parameter("classifier.3.weight")  # fan-in 128, a tenth
    assert float(last.detach().abs().max()) <= math.sqrt(6 / 128) / 10
    assert not any(bias.any() for name, bias in model.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("key", ["mlp", "simple_conv_net", "lenet5", "cifar10_cnn", "resnet_cifar", "tiny_vgg"])
def test_an_untrained_net_is_undecided(key):
    model = build_seeded(key, seed=0).train()
    loss = nn.functional.cross_entropy(
        model(noise(key, ARCHITECTURES[key].input_shape[1], batch=50)), torch.arange(50) % 10
    )
    assert loss.item() == pytest.approx(math.log(10), abs=0.15)


def test_signals_reach_the_end_of_a_deep_net_without_batch_norm():
    model = build_seeded("vgg16_cifar", seed=0).requires_grad_(False)
    features = model.get_submodule("features")(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert 0.1 < float(features.std()) < 10


@pytest.mark.parametrize(
    "make",
    [lambda: nn.BatchNorm1d(4), lambda: nn.BatchNorm2d(4), lambda: nn.GroupNorm(2, 4), lambda: nn.PReLU(4)],
    ids=["BatchNorm1d", "BatchNorm2d", "GroupNorm", "PReLU"],
)
def test_layers_without_chance_start_as_pytorch_starts_them(make):
    filled = build_filled(lambda **_: make(), seed=0, num_classes=1, in_channels=1).state_dict()
    expected = make().state_dict()
    assert filled.keys() == expected.keys()
    assert all(torch.equal(filled[name], expected[name]) for name in expected)


def test_a_layer_whose_start_is_unknown_is_not_left_to_chance():
    with pytest.raises(TypeError, match="Embedding"):
        build_filled(lambda **_: nn.Embedding(3, 3), seed=0, num_classes=1, in_channels=1)


@pytest.mark.parametrize("chosen", [{"num_classes": 0}, {"in_channels": 0}, {"seed": -1}, {"seed": 2**63}])
def test_numbers_that_make_no_net_are_rejected(chosen):
    with pytest.raises(InputRejected, match="got"):
        build_seeded("lenet5", **({"seed": 0} | chosen))


# --- the lessons ------------------------------------------------------------------------------------------------


def test_alexnet_cannot_take_a_picture_of_cifar10():
    with pytest.raises(RuntimeError, match="too small"):
        build("alexnet")(noise("alexnet", 32))


def test_alexnets_weights_are_named_as_torchvisions():
    import torchvision

    with torch.device("meta"):
        theirs, ours = torchvision.models.alexnet().state_dict(), ARCHITECTURES["alexnet"].build().state_dict()
    assert {name: weight.shape for name, weight in ours.items()} == {
        name: weight.shape for name, weight in theirs.items()
    }


@pytest.mark.parametrize("key", ["resnet18", "mobilenet_v3_small", "efficientnet_b0"])
def test_torchvisions_nets_compute_what_torchvision_computes(key):
    import torchvision

    reference = torchvision.models.get_model(key, weights=None).eval()
    reference.load_state_dict(shared(key).state_dict())
    x = noise(key, 64)
    with torch.no_grad():
        assert torch.equal(reference(x), shared(key)(x))


def test_a_shared_batch_norm_mixes_the_statistics_of_two_convolutions():
    """After one batch its running mean has moved toward both convolutions' means, one after the other."""
    model = build_seeded("cifar10_cnn_shared_bn", seed=0).train()
    convolution, norm, relu, other, same = (model.get_submodule(f"features.{index}") for index in range(5))
    assert norm is same
    assert isinstance(norm, nn.BatchNorm2d)
    x = noise("cifar10_cnn_shared_bn", 32, batch=8)
    with torch.no_grad():
        first = convolution(x)
        second = other(relu(nn.functional.batch_norm(first, None, None, training=True)))
        model(x)
    expected = 0.9 * (0.1 * first.mean((0, 2, 3))) + 0.1 * second.mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, expected, rtol=1e-4, atol=1e-5)
    assert norm.num_batches_tracked == 2


def test_an_mlp_does_not_know_which_pixels_are_neighbours():
    """Shuffle the pixels and the columns of the first layer alike: the logits stay."""
    model = build_seeded("mlp", seed=0).requires_grad_(False)
    x = noise("mlp", 28)
    expected = model(x)
    order = torch.randperm(784, generator=torch.Generator().manual_seed(0))
    weight = model.get_parameter("features.1.weight")
    weight.copy_(weight[:, order])
    torch.testing.assert_close(model(x.flatten(1)[:, order].reshape(x.shape)), expected)


def test_the_table_does_not_wait_for_torchvision():
    code = "import sys, cnnlab.nets; sys.exit('torchvision' in sys.modules or 'streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
