import copy
import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from torch.utils.flop_counter import FlopCounterMode

from cnnlab.errors import InputRejected, ResourceExhausted, Unsupported
from cnnlab.nets import counting
from cnnlab.nets.skeletons import on_meta, skeleton
from cnnlab.nets.tracing import DoesNotFit, output_of, trace, trace_shapes


class Mixed(nn.Module):
    """Layers and functions, in place and not, a layer used twice, a constant, a weight used by a function."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.kernel = nn.Parameter(torch.randn(8, 4, 3, 3))
        self.fc = nn.Linear(8 * 5 * 5, 10)

    def forward(self, x):
        x = F.max_pool2d(self.relu(self.conv(x)), 2)
        x = self.relu(F.conv2d(x, self.kernel))
        x = F.max_pool2d(x, kernel_size=2)
        x = x + torch.ones(1)
        x += x
        return self.fc(x.view(-1, 200))


class Net(nn.Module):
    """Parts by name and a forward given as a function of the net and x."""

    def __init__(self, forward, **parts):
        super().__init__()
        self._way = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self._way(self, x)


def fingerprint(model):
    """All that a trace might change."""
    return {
        "modules": [
            (
                name,
                type(each),
                each.training,
                {key: len(value) for key, value in vars(each).items() if key.endswith("hooks")},
            )
            for name, each in model.named_modules()
        ],
        "values": {name: each.clone() for name, each in model.state_dict().items()},
        "learns": [each.requires_grad for each in model.parameters()],
        "gradients": [each.grad for each in model.parameters()],
        "ids": [id(each) for each in (*model.parameters(), *model.buffers(), *model.modules())],
        "inplace": [getattr(each, "inplace", None) for each in model.modules()],
    }


def assert_untouched(model, before):
    after = fingerprint(model)
    for name, value in before.pop("values").items():
        torch.testing.assert_close(after["values"][name], value, rtol=0, atol=0)
    del after["values"]
    assert after == before


def seen(model, x, **options):
    """The calls of a run, and what each had made when it was done."""
    outputs = []
    calls = trace(model, x, watch=lambda _, output: outputs.append(output.clone()), **options)
    return calls, outputs


def shapes(calls):
    return [(call.name, call.kind, call.inputs, call.output_shape, call.macs, call.parameters) for call in calls]


# --- what is written down -----------------------------------------------------------------------------------------


def test_a_net_of_layers_and_functions_worked_out_by_hand():
    calls = trace_shapes(Mixed(), (1, 28, 28))
    assert shapes(calls) == [
        ("conv", "Conv2d", (-1,), (1, 4, 26, 26), 26 * 26 * 3 * 3 * 4, ("conv.weight", "conv.bias")),
        ("relu", "ReLU", (0,), (1, 4, 26, 26), 0, ()),
        ("max_pool2d", "max_pool2d", (1,), (1, 4, 13, 13), 0, ()),
        ("conv2d", "conv2d", (2,), (1, 8, 11, 11), 11 * 11 * 3 * 3 * 4 * 8, ("kernel",)),
        ("relu#2", "ReLU", (3,), (1, 8, 11, 11), 0, ()),
        ("max_pool2d#2", "max_pool2d", (4,), (1, 8, 5, 5), 0, ()),
        ("add", "add", (5,), (1, 8, 5, 5), 0, ()),
        ("add#2", "add", (6,), (1, 8, 5, 5), 0, ()),
        ("view", "view", (7,), (1, 200), 0, ()),
        ("fc", "Linear", (8,), (1, 10), 2000, ("fc.weight", "fc.bias")),
    ]
    # Layer and function are the same operation with the same settings.
    assert [call.operation for call in calls].count("conv2d") == 2
    assert calls[5].settings["kernel_size"] == 2
    # In place, nothing new is taken: the second ReLU overwrites what the convolution made.
    assert calls[4].new_bytes == 0
    assert calls[4].memory_of == 3
    assert calls[8].memory_of == 6, "a view looks at the sum"
    assert calls[3].new_bytes == 8 * 11 * 11 * 4


def test_a_residual_block_joins_its_two_ways():
    calls = {call.name: call for call in trace_shapes(torchvision.models.resnet18(), (3, 64, 64))}
    assert sum(call.kind == "add" for call in calls.values()) == 8
    plain, shrinking = calls["layer1.0.add"], calls["layer2.0.add"]
    assert [list(calls)[at] for at in plain.inputs] == ["layer1.0.bn2", "maxpool"]
    assert [list(calls)[at] for at in shrinking.inputs] == ["layer2.0.bn2", "layer2.0.downsample.1"]
    downsample = calls["layer2.0.downsample.1"]
    first = calls["layer2.0.conv1"].index
    assert [(each.path, each.kind, each.is_sequential, each.first) for each in downsample.blocks] == [
        ("layer2", "Sequential", True, first),
        ("layer2.0", "BasicBlock", False, first),
        ("layer2.0.downsample", "Sequential", True, calls["layer2.0.downsample.0"].index),
    ]
    assert calls["layer1.0.relu#2"].kind == "ReLU"


def test_the_layer_in_a_call_is_the_one_of_the_given_model():
    model = Mixed()
    assert trace_shapes(model, (1, 28, 28))[0].module is model.conv


def test_tuples_dicts_and_keyword_arguments_are_followed():
    class Two(nn.Module):
        def forward(self, left, *, right):
            return {"sum": left + right, "both": (left, right)}

    def way(self, x):
        halves = x.chunk(2, dim=1)
        made = self.two(halves[0], right=self.conv(halves[1]))
        return made["sum"] * made["both"][1]

    calls = trace_shapes(Net(way, two=Two(), conv=nn.Conv2d(2, 2, 1)), (4, 6, 6))
    assert [(call.name, call.inputs) for call in calls] == [
        ("chunk", (-1,)),
        ("conv", (0,)),
        ("two", (0, 1)),
        ("mul", (2,)),
    ]
    assert [call.kind for call in calls[2].inner] == ["add"]
    assert calls[0].output_shapes == ((1, 2, 6, 6), (1, 2, 6, 6))


def test_what_only_looks_at_the_same_numbers_is_no_call():
    calls = trace_shapes(Net(lambda _, x: x.float().contiguous().detach().view(x.shape).relu_()), (3, 4, 4))
    assert [(call.name, call.inputs) for call in calls] == [("relu", (-1,))]


def test_assigning_to_a_part_makes_the_tensor_anew():
    def way(net, x):
        y = x * 2
        y[:, 0] = 1.0
        return y.exp()

    assert [(call.kind, call.inputs) for call in trace_shapes(Net(way), (3, 4, 4))] == [
        ("mul", (-1,)),
        ("setitem", (0,)),
        ("exp", (1,)),
    ]


def test_functions_of_parameters_alone_are_written_down_and_constants_are_not():
    class Token(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.randn(3))
            self.register_buffer("mean", torch.zeros(3, 1, 1))

        def forward(self, x):
            noise = torch.zeros_like(x) + torch.arange(4.0)
            return x - (self.mean + 1) + self.token.view(1, 3, 1, 1) + noise

    calls = trace_shapes(Token(), (3, 4, 4))
    assert [(call.name, call.inputs, call.parameters) for call in calls] == [
        ("sub", (-1,), ()),
        ("view", (), ("token",)),
        ("add", (0, 1), ()),
        ("add#2", (2,), ()),
    ]


def test_shared_layers_and_parameters_keep_one_name():
    first, second = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
    second.weight = first.weight
    calls = trace_shapes(nn.Sequential(first, second, first), (2, 4, 4))
    assert [(call.name, call.parameters) for call in calls] == [
        ("0", ("0.weight", "0.bias")),
        ("1", ("0.weight", "1.bias")),
        ("0#2", ("0.weight", "0.bias")),
    ]


def test_a_block_that_runs_twice_is_told_apart():
    block = Net(lambda net, x: net.conv(x) + x, conv=nn.Conv2d(2, 2, 1))
    calls = trace_shapes(nn.Sequential(block, block), (2, 4, 4))
    assert [[(each.path, each.first) for each in call.blocks] for call in calls] == [
        [("0", 0)],
        [("0", 0)],
        [("0", 2)],
        [("0", 2)],
    ]


def test_what_numpy_calls_otherwise_has_one_name():
    calls = trace_shapes(Net(lambda _, x: x.swapaxes(axis0=2, axis1=3).mean(axis=1, keepdims=True)), (2, 4, 4))
    assert (calls[0].settings["dim0"], calls[0].settings["dim1"]) == (2, 3)
    assert (calls[1].settings["dim"], calls[1].settings["keepdim"]) == (1, True)


def test_a_function_whose_name_a_layer_has_gets_another():
    calls = trace_shapes(Net(lambda net, x: torch.relu(net.relu(x)), relu=nn.ReLU()), (1, 4, 4))
    assert [call.name for call in calls] == ["relu", "relu#2"]


def test_a_net_that_is_one_layer_is_traced():
    assert [(call.name, call.macs) for call in trace_shapes(nn.Conv2d(1, 2, 3), (1, 4, 4))] == [("Conv2d", 72)]


# --- multiply-adds ------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    def forward(self, x):
        x = x.flatten(2).transpose(1, 2)
        return F.scaled_dot_product_attention(x, x, x) @ x.transpose(1, 2)


COUNTED = {
    "functions": (Mixed(), (1, 28, 28)),
    "transposed": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 6, 4, stride=2, groups=2)), (3, 9, 9)),
    "depthwise": (nn.Conv2d(8, 8, 3, padding=1, groups=8), (8, 12, 10)),
    "attention": (Attention(), (8, 6, 6)),
    "einsum": (Net(lambda _, x: torch.einsum("nchw,ncvw->nhv", x, x)), (3, 6, 6)),
    "inception": (torchvision.models.inception_v3(init_weights=False), (3, 96, 96)),
    "shufflenet": (torchvision.models.shufflenet_v2_x0_5(), (3, 64, 64)),
    "swin": (torchvision.models.swin_t(), (3, 64, 64)),
}


@pytest.mark.parametrize("name", COUNTED)
def test_multiply_adds_are_half_of_what_pytorch_counts(name):
    model, shape = COUNTED[name]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(model).eval()(torch.zeros(2, *shape))
    calls = trace_shapes(model, shape, batch_size=2)
    assert sum(call.macs for call in calls) * 2 == counter.get_total_flops() > 0


def test_attention_is_counted_though_pytorch_would_hide_it():
    """17.56 GMACs, as in the table of torchvision; 11.27 when the fused path for inference is taken."""
    calls = trace_shapes(torchvision.models.vit_b_16(), (3, 224, 224))
    assert sum(call.macs for call in calls) == 17_563_828_224


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "net", [Mixed(), torchvision.models.mobilenet_v3_small(), torchvision.models.googlenet(init_weights=False)]
)
def test_outputs_seen_are_what_the_layers_made(net):
    """Also where the next layer would have overwritten them."""
    torch.manual_seed(0)
    x = torch.rand(2, *((1, 28, 28) if isinstance(net, Mixed) else (3, 64, 64)))
    expected = {}

    def note(name, output):
        expected.setdefault(name, output.clone())

    plain = copy.deepcopy(net).eval()
    for name, module in plain.named_modules():
        if not any(module.children()):
            module.register_forward_hook(lambda _, __, output, name=name: note(name, output))
    with torch.no_grad():
        result = plain(x)
        calls, outputs = seen(net, x)
    for call, output in zip(calls, outputs, strict=True):
        if call.module is not None and "#" not in call.name:
            torch.testing.assert_close(output, expected[call.name])
    torch.testing.assert_close(outputs[-1], result)
    assert [call.output_shape for call in calls] == [tuple(output.shape) for output in outputs]


def test_functions_that_overwrite_are_seen_one_by_one():
    x = torch.linspace(-1, 1, 9).view(1, 1, 3, 3)
    _, outputs = seen(Net(lambda _, x: F.relu((x * 2).add_(1), inplace=True)), x)
    for output, expected in zip(outputs, (x * 2, x * 2 + 1, F.relu(x * 2 + 1)), strict=True):
        torch.testing.assert_close(output, expected)


def test_the_output_of_one_call_is_had_without_running_the_rest():
    def broken(net, x):
        raise AssertionError

    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), Net(broken))
    x = torch.rand(1, 1, 5, 5)
    torch.testing.assert_close(output_of(net, x, "0"), net[0](x))
    torch.testing.assert_close(output_of(net, x, 1), net[0](x).relu())
    assert output_of(net[:2], x, 2) is None
    assert output_of(net[:2], x, "2") is None


def test_gradients_reach_the_picture_and_stay_away_from_the_parameters():
    model = Mixed()
    x = torch.rand(1, 1, 28, 28, requires_grad=True)
    output_of(model, x, "fc").sum().backward()
    expected = torch.autograd.grad(model.eval()(x).sum(), x)[0]
    torch.testing.assert_close(x.grad, expected)
    assert all(each.grad is None for each in model.parameters())


def test_the_picture_is_not_overwritten():
    x = torch.full((1, 1, 2, 2), 3.0)
    trace(Net(lambda _, x: x.mul_(2)), x)
    assert x.eq(3).all()


def test_the_mode_of_the_caller_or_of_the_net_changes_nothing():
    def way(_, x):
        with torch.inference_mode():
            y = x * 2
            y += 1
            return F.relu(y, True)

    expected = shapes(trace(Mixed(), torch.rand(1, 1, 28, 28)))
    with torch.inference_mode():
        assert shapes(trace(Mixed(), torch.rand(1, 1, 28, 28))) == expected
        assert shapes(trace_shapes(Mixed(), (1, 28, 28))) == expected
        assert not output_of(Mixed(), torch.rand(1, 1, 28, 28), 0).requires_grad
    assert [call.name for call in trace(Net(way), torch.rand(1, 1, 2, 2))] == ["mul", "add", "relu"]
    same = Net(lambda _, x: x.view(x.shape).mul(2))
    with torch.inference_mode():
        assert [call.name for call in trace(same, torch.rand(1, 1, 2, 2))] == ["mul"]


def test_too_little_memory_is_told():
    with pytest.raises(ResourceExhausted, match="Use a smaller picture"):
        trace(Net(lambda _, x: x + torch.empty(2**58)), torch.rand(1, 1, 2, 2))


def test_hooks_that_make_the_weights_run_and_others_do_not():
    pruned = nn.Sequential(nn.Conv2d(1, 2, 3))
    prune.l1_unstructured(pruned[0], "weight", amount=0.5)
    with torch.no_grad():
        pruned[0].weight_orig.mul_(3)
    ran = []
    pruned[0].register_forward_hook(lambda *_: ran.append("forward"))
    pruned[0].register_forward_pre_hook(lambda *_: ran.append("before"))
    x = torch.rand(1, 1, 5, 5)
    _, (output,) = seen(pruned, x)
    assert ran == []
    torch.testing.assert_close(output, pruned(x))


def test_normalised_weights_count_as_one_layer():
    net = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(1, 2, 3)))
    x = torch.rand(1, 1, 5, 5)
    (call,), (output,) = seen(net, x)
    assert (call.kind, call.operation, call.macs) == ("Conv2d", "conv2d", 3 * 3 * 3 * 3 * 2)
    torch.testing.assert_close(output, net(x))
    assert shapes(trace_shapes(net, (1, 5, 5))) == shapes([call])


def test_training_uses_the_batch_and_leaves_the_running_statistics_alone():
    net = nn.Sequential(nn.BatchNorm2d(2)).eval()
    x = torch.rand(4, 2, 3, 3) * 7 + 5
    before = fingerprint(net)
    _, (output,) = seen(net, x, train=True)
    assert_untouched(net, before)
    assert float(output.mean().detach()) == pytest.approx(0, abs=1e-5)


def test_whatever_watches_sees_each_call_as_it_comes_and_may_end_the_run():
    watched = []

    def watch(call, output):
        watched.append(
            (call.name, tuple(output.shape), float((output @ output.transpose(-1, -2)).mean().detach()) >= 0)
        )
        if call.name == "relu":
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        trace(Mixed(), torch.rand(1, 1, 28, 28), watch=watch)
    assert watched == [("conv", (1, 4, 26, 26), True), ("relu", (1, 4, 26, 26), True)]


def test_watching_is_not_counted():
    watched = trace(Mixed(), torch.rand(1, 1, 28, 28), watch=lambda _, output: output.flatten() @ output.flatten())
    assert shapes(watched) == shapes(trace_shapes(Mixed(), (1, 28, 28)))


class Depends(nn.Module):
    """Goes a way that depends on the values."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        return self.conv(x) if float(x.sum()) == 0 else x


def test_a_net_whose_way_depends_on_values_is_run_on_a_black_picture():
    assert [call.name for call in trace_shapes(Depends(), (1, 5, 5))] == ["sum", "conv"]


# --- laws ---------------------------------------------------------------------------------------------------------


@st.composite
def stacks(draw):
    """A stack of layers that may or may not fit 3 × 14 × 11."""
    layers, channels = [], 3
    for _ in range(draw(st.integers(1, 5))):
        kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
        stride = draw(st.integers(1, 3))
        kind = draw(st.sampled_from(["conv", "max", "avg", "transposed", "norm", "adaptive", "relu"]))
        if kind == "conv":
            wide = draw(st.integers(1, 4))
            layers.append(
                nn.Conv2d(
                    channels if draw(st.integers(0, 9)) else channels + 1,
                    wide,
                    kernel,
                    stride,
                    padding=draw(st.integers(0, 2)),
                    dilation=draw(st.integers(1, 2)),
                )
            )
            channels = wide
        elif kind in ("max", "avg"):
            pool = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
            padding = draw(st.integers(0, min(kernel) // 2))
            layers.append(pool(kernel, stride, padding=padding, ceil_mode=draw(st.booleans())))
        elif kind == "transposed":
            layers.append(nn.ConvTranspose2d(channels, channels, kernel, stride, padding=draw(st.integers(0, 1))))
        elif kind == "norm":
            layers.append(nn.BatchNorm2d(channels))
        elif kind == "adaptive":
            layers.append(nn.AdaptiveAvgPool2d(draw(st.integers(1, 6))))
        else:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


@settings(max_examples=80)
@given(stacks())
def test_without_values_the_same_fits_and_the_shapes_are_those_of_a_real_run(net):
    x = torch.zeros(1, 3, 14, 11)
    try:
        with torch.no_grad():
            expected = [tuple(output.shape) for output in seen(net, x)[1]]
            assert expected[-1] == tuple(net.eval()(x).shape)
    except DoesNotFit as real:
        with pytest.raises(DoesNotFit, match=re.escape(str(real))):
            trace_shapes(net, (3, 14, 11))
    else:
        assert [call.output_shape for call in trace_shapes(net, (3, 14, 11))] == expected


def test_many_threads_may_trace_one_model():
    model = torchvision.models.resnet18()
    before = fingerprint(model)
    expected = shapes(trace_shapes(model, (3, 32, 32)))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: shapes(trace_shapes(model, (3, 32, 32))), range(16)))
    assert all(each == expected for each in found)
    assert_untouched(model, before)


def test_another_thread_may_empty_the_memory_of_shapes_at_any_time(monkeypatch):
    class Emptied(dict):
        """Is emptied after each look into it."""

        looks = 0

        def __contains__(self, key):
            return self.get(key) is not None

        def get(self, key, default=None):
            found = super().get(key, default)
            self.looks += found is not None
            self.clear()
            return found

    memory = Emptied()
    monkeypatch.setattr(counting, "_remembered", memory)
    model = nn.Sequential(*[nn.Conv2d(2, 2, 1) for _ in range(6)])
    calls = trace(model, torch.empty(1, 2, 8, 8, device="meta"))
    assert [call.macs for call in calls] == [256] * 6
    assert memory.looks > 0


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("side", [32, 4])
def test_the_model_is_untouched_after_success_and_after_failure(train, device, side):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(8), nn.Dropout(0.5)
    )
    model[0].weight.requires_grad_(False)
    model[0].register_forward_hook(lambda *_: None)
    before = fingerprint(model)
    x = torch.rand(2, 3, side, side).to(device)
    if side == 32:
        seen(model, x, train=train)
    else:
        with pytest.raises(DoesNotFit):
            trace(model, x, train=train)
    assert_untouched(model, before)


def test_copies_share_values_and_nothing_else():
    model = Mixed().train()
    twin, shape_only = skeleton(model), on_meta(model, train=True)
    assert twin.fc.weight.data_ptr() == model.fc.weight.data_ptr()
    assert all(each.is_meta for each in (*shape_only.parameters(), *shape_only.buffers()))
    assert not twin.training
    assert shape_only.training
    twin(torch.rand(1, 1, 28, 28)).sum().backward()
    assert model.fc.weight.grad is None


def test_results_of_a_computation_kept_in_a_net_do_not_keep_it_from_being_copied():
    net = Net(lambda net, x: net.conv(x), conv=nn.Conv2d(1, 1, 1))
    net.last = net.conv(torch.rand(1, 1, 2, 2))  # PyTorch's deepcopy refuses such a tensor
    assert len(trace_shapes(net, (1, 4, 4))) == 1


# --- what does not fit --------------------------------------------------------------------------------------------


MISFITS = [
    (
        nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(2)),
        (3, 2, 2),
        "1",
        (3, 1, 1),
        "its 2 × 2 window needs at least 2 × 2 px",
    ),
    (nn.Conv2d(3, 4, 3), (3, 2, 9), "Conv2d", (3, 2, 9), "its 3 × 3 window needs at least 3 × 3 px"),
    (
        nn.Conv2d(3, 4, 5, padding=1, dilation=2),
        (3, 6, 6),
        "Conv2d",
        (3, 6, 6),
        "its 9 × 9 window needs at least 7 × 7 px, its padding of 1 × 1 counted in",
    ),
    (nn.Conv2d(3, 4, 3), (1, 9, 9), "Conv2d", (1, 9, 9), "it expects 3 channels, 1 arrives"),
    (nn.ConvTranspose2d(3, 4, 3), (5, 9, 9), "ConvTranspose2d", (5, 9, 9), "it expects 3 channels, 5 arrive"),
    (
        nn.ConvTranspose2d(3, 4, 2, padding=1),
        (3, 1, 9),
        "ConvTranspose2d",
        (3, 1, 9),
        "its padding of 1 × 1 cuts off all that it makes",
    ),
    (nn.BatchNorm2d(3), (4, 9, 9), "BatchNorm2d", (4, 9, 9), "it expects 3 channels, 4 arrive"),
    (nn.InstanceNorm2d(3), (3, 1, 1), "InstanceNorm2d", (3, 1, 1), "it compares the places of a map"),
    (
        nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(3136, 10)),
        (64, 8, 8),
        "2",
        (4096,),
        "it expects 3,136 numbers a picture, 4,096 arrive (64 × 8 × 8)",
    ),
    (
        Net(lambda _, x: x.view(-1, 3136)),
        (64, 8, 8),
        "view",
        (64, 8, 8),
        "it expects 3,136 numbers a picture, 4,096 arrive (64 × 8 × 8)",
    ),
    (
        Net(lambda _, x: x.view(-1, 3136)),
        (64, 14, 14),
        "view",
        (64, 14, 14),
        "it expects 3,136 numbers a picture, 12,544 arrive (64 × 14 × 14)",
    ),
    (
        Net(lambda _, x: x + F.max_pool2d(x, 2)),
        (2, 8, 8),
        "add",
        (2, 8, 8),
        "2 × 8 × 8 and 2 × 4 × 4 do not go together",
    ),
    (
        nn.Sequential(nn.Flatten(), nn.Conv2d(3, 4, 1)),
        (3, 8, 8),
        "1",
        (192,),
        "it expects channels with rows and columns",
    ),
    (nn.LayerNorm(6), (3, 4, 5), "LayerNorm", (3, 4, 5), "it expects 6 at the end"),
    (
        nn.Conv2d(1, 1, 3, padding=3, padding_mode="reflect"),
        (1, 2, 2),
        "Conv2d",
        (1, 2, 2),
        "its border mirrors 3 × 3 px",
    ),
]


@pytest.mark.parametrize(("model", "shape", "name", "arrives", "reason"), MISFITS)
def test_what_does_not_fit_is_named_and_explained(model, shape, name, arrives, reason):
    with pytest.raises(DoesNotFit) as caught:
        trace_shapes(model, shape)
    misfit = caught.value
    assert (misfit.name, misfit.arrives) == (name, arrives)
    assert misfit.reason.startswith(reason)
    assert misfit.is_certain
    assert misfit.reason in str(misfit)
    assert str(misfit).count(". ") == 1, "what came and what to do are two sentences"


def test_the_message_names_the_layer_what_arrives_and_what_to_do():
    net = nn.Sequential(nn.Conv2d(3, 256, 1), nn.MaxPool2d(4), nn.MaxPool2d(3))
    with pytest.raises(InputRejected) as caught:
        trace_shapes(net, (3, 4, 4))
    assert str(caught.value) == (
        "Layer 2 (MaxPool2d) cannot work on 256 × 1 × 1: its 3 × 3 window needs at least 3 × 3 px. "
        "Use a larger picture, or take out a layer before it that shrinks the picture."
    )
    assert [call.name for call in caught.value.calls] == ["0", "1"]


def test_one_picture_cannot_train_a_batch_normalisation_of_one_place():
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4))
    with pytest.raises(DoesNotFit, match=r"a single value has nothing to compare\. Train on more pictures"):
        trace_shapes(net, (4, 8, 8), train=True)
    assert len(trace_shapes(net, (4, 8, 8), train=True, batch_size=2)) == 2


def test_what_the_net_itself_refuses_is_shown_in_its_words():
    def way(net, x):
        raise ValueError("only pictures of 5 px at 0x7f00dead beef\nand more")

    with pytest.raises(DoesNotFit) as caught:
        trace_shapes(Net(way), (1, 4, 4))
    assert "PyTorch says" in str(caught.value)
    assert "0x7f" not in str(caught.value)
    assert "and more" not in str(caught.value)
    assert not caught.value.is_certain


def test_layers_without_sizes_are_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = nn.Sequential(nn.LazyConv2d(4, 3))
    with pytest.raises(InputRejected, match=r"Layer 0 .* has no size yet"):
        trace_shapes(net, (3, 8, 8))


def test_compiled_nets_are_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = torch.jit.trace(nn.Sequential(nn.Conv2d(1, 1, 1)), torch.rand(1, 1, 2, 2))
    with pytest.raises(Unsupported, match="TorchScript"):
        trace_shapes(net, (1, 2, 2))
