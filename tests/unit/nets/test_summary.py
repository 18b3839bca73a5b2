import math
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torchinfo
import torchvision
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.flop_counter import FlopCounterMode

from cnnlab.errors import InputRejected
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.skeletons import on_meta
from cnnlab.nets.summary import legal_sizes, summarize, totals
from cnnlab.nets.tracing import DoesNotFit, trace_shapes

every_net = pytest.mark.parametrize("key", ARCHITECTURES)


class ImageClassification(nn.Module):
    """The tutorial's net, ReLU as a function."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3)
        self.pool1 = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 3)
        self.pool2 = nn.MaxPool2d(2, 2)
        self.linear1 = nn.Linear(576, 120)
        self.linear2 = nn.Linear(120, 84)
        self.out = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool1(F.relu(self.conv1(x)))
        x = self.pool2(F.relu(self.conv2(x)))
        x = x.reshape(x.size(0), -1)
        x = F.relu(self.linear1(x))
        x = F.relu(self.linear2(x))
        return self.out(x)


class Flow(nn.Module):
    """A forward written down as a function of the parts and x."""

    def __init__(self, way, *parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self._way = way

    def forward(self, x):
        return self._way(self.parts, x)


def listed(key):
    """A net of the table, without values."""
    architecture = ARCHITECTURES[key]
    with torch.device("meta"):
        return architecture.build(num_classes=architecture.num_classes, in_channels=architecture.input_shape[0])


def worked_out(formula):
    """The left and the right side of "3·3·3·6 + 6 = 168", each as numbers, one per axis."""
    pairs = []
    for line in formula.split(", ") if "columns" in formula else [formula]:
        left, right = line.removeprefix("rows ").removeprefix("columns ").split(" = ")
        python = left.replace(",", "").replace("·", "*").replace("−", "-")
        python = python.replace("⌊", "math.floor(").replace("⌈", "math.ceil(").replace("⌋", ")").replace("⌉", ")")
        pairs.append((eval(python, {"math": math}), int(right.replace(",", ""))))
    return pairs


def assert_formulas_hold(facts):
    for fact in facts:
        if fact.shape_formula and "keeps" not in fact.shape_formula:
            sides = worked_out(fact.shape_formula)
            assert all(left == right for left, right in sides)
            sizes = [right for _, right in sides]
            expected = {fact.output_shape[0]} if fact.operation == "cat" else set(fact.output_shape[-2:])
            assert set(sizes) == ({fact.output_shape[-1]} if len(fact.output_shape) == 1 else expected)
        if fact.params_formula:
            assert worked_out(fact.params_formula)[0] == (fact.num_params,) * 2 or fact.shares_with
        if fact.macs_formula:
            assert worked_out(fact.macs_formula)[0] == (fact.macs,) * 2
        assert bool(fact.macs) == bool(fact.macs_formula)


# --- by hand ------------------------------------------------------------------------------------------------------


def test_the_net_of_the_tutorial_by_hand():
    facts = summarize(ImageClassification(), (3, 32, 32))
    assert [(fact.name, fact.kind, fact.output_shape, fact.num_params, fact.macs) for fact in facts] == [
        ("conv1", "Conv2d", (6, 30, 30), 168, 145_800),
        ("relu", "relu", (6, 30, 30), 0, 0),
        ("pool1", "MaxPool2d", (6, 15, 15), 0, 0),
        ("conv2", "Conv2d", (16, 13, 13), 880, 146_016),
        ("relu#2", "relu", (16, 13, 13), 0, 0),
        ("pool2", "MaxPool2d", (16, 6, 6), 0, 0),
        ("reshape", "reshape", (576,), 0, 0),
        ("linear1", "Linear", (120,), 69_240, 69_120),
        ("relu#3", "relu", (120,), 0, 0),
        ("linear2", "Linear", (84,), 10_164, 10_080),
        ("relu#4", "relu", (84,), 0, 0),
        ("out", "Linear", (10,), 850, 840),
    ]
    conv, pool, flat, linear = facts[0], facts[2], facts[6], facts[7]
    assert conv.shape_formula == "⌊(32 + 2·0 − 3) / 1⌋ + 1 = 30"
    assert conv.shape_symbols == "⌊(H + 2·P − K) / S⌋ + 1"
    assert conv.params_formula == "3·3·3·6 + 6 = 168"
    assert conv.params_symbols == "K·K·Cᵢₙ·Cₒᵤₜ + Cₒᵤₜ"
    assert conv.macs_formula == "30·30·3·3·3·6 = 145,800"
    assert conv.macs_symbols == "H′·W′·K·K·Cᵢₙ·Cₒᵤₜ"
    assert pool.shape_formula == "⌊(30 + 2·0 − 2) / 2⌋ + 1 = 15"
    assert (flat.shape_formula, flat.shape_symbols) == ("16·6·6 = 576", "C·H·W")
    assert (linear.params_formula, linear.macs_formula) == ("576·120 + 120 = 69,240", "576·120 = 69,120")
    assert conv.hyperparameters == {"kernel_size": 3, "stride": 1, "padding": 0, "bias": True}
    assert conv.receptive_field.size == (3, 3)
    assert [fact.activation_bytes for fact in facts[:3]] == [21_600, 21_600, 5_400]
    assert flat.activation_bytes == 0, "it only looks at the map"
    total = totals(facts)
    assert (total.num_params, total.num_trainable, total.macs, total.depth) == (81_302, 81_302, 371_856, 5)
    assert (total.num_layers, total.param_bytes) == (7, 325_208)


def test_settings_that_differ_by_axis_and_groups_by_hand():
    conv = nn.Conv2d(6, 12, (1, 3), stride=2, padding=(0, 1), groups=2, dilation=(1, 2), bias=False)
    (fact,) = summarize(conv, (6, 15, 15))
    assert fact.shape_formula == ("rows ⌊(15 + 2·0 − 1) / 2⌋ + 1 = 8, columns ⌊(15 + 2·1 − 2·(3 − 1) − 1) / 2⌋ + 1 = 7")
    assert fact.shape_symbols == "⌊(H + 2·P − D·(K − 1) − 1) / S⌋ + 1"
    assert fact.params_formula == "1·3·(6 / 2)·12 = 108"
    assert fact.params_symbols == "K·K·(Cᵢₙ / G)·Cₒᵤₜ"
    assert fact.macs_formula == "8·7·1·3·(6 / 2)·12 = 6,048"
    assert fact.hyperparameters == {
        "kernel_size": (1, 3),
        "stride": 2,
        "padding": (0, 1),
        "dilation": (1, 2),
        "groups": 2,
        "bias": False,
    }


def test_layers_that_enlarge_join_and_normalise_by_hand():
    up = summarize(nn.ConvTranspose2d(12, 4, 4, stride=2, padding=1), (12, 8, 7))[0]
    assert up.shape_formula == "rows (8 − 1)·2 − 2·1 + 4 = 16, columns (7 − 1)·2 − 2·1 + 4 = 14"
    assert (up.params_formula, up.macs_formula) == ("4·4·12·4 + 4 = 772", "8·7·4·4·12·4 = 43,008")
    joined = summarize(Flow(lambda _, x: torch.cat([x, x, x[:, :2]], dim=1)), (3, 4, 4))[-1]
    assert (joined.shape_formula, joined.shape_symbols) == ("3 + 3 + 2 = 8", "C₁ + C₂ + C₃")
    assert summarize(nn.BatchNorm2d(64), (64, 2, 2))[0].params_formula == "2·64 = 128"
    pool = summarize(nn.MaxPool2d(2, ceil_mode=True), (1, 5, 5))[0]
    assert pool.shape_formula == "⌈(5 + 2·0 − 2) / 2⌉ + 1 = 3"
    # The fourth window would begin in the padding: PyTorch leaves it out.
    pool = summarize(nn.MaxPool2d(2, stride=2, padding=1, ceil_mode=True), (1, 5, 5))[0]
    assert pool.shape_formula == "⌈(5 + 2·1 − 2) / 2⌉ + 1 − 1 = 3"


def test_functions_have_the_facts_of_layers():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(8, 1, 5, 5))
            self.bias = nn.Parameter(torch.randn(8))
            self.matrix = nn.Parameter(torch.randn(10, 8 * 12 * 12))

        def forward(self, x):
            x = F.max_pool2d(F.conv2d(x, self.kernel, self.bias, stride=1), 2)
            return F.linear(x.flatten(1), self.matrix)

    facts = summarize(Functional(), (1, 28, 28))
    assert [(fact.kind, fact.num_params) for fact in facts] == [
        ("conv2d", 208),
        ("max_pool2d", 0),
        ("flatten", 0),
        ("linear", 11_520),
    ]
    assert facts[0].hyperparameters == {"stride": 1, "bias": True}
    assert (facts[0].params_formula, facts[3].params_formula) == ("5·5·1·8 + 8 = 208", "1,152·10 = 11,520")
    assert_formulas_hold(facts)


def test_shared_parameters_are_counted_where_they_are_used_first():
    norm = nn.BatchNorm2d(4)
    facts = summarize(nn.Sequential(nn.Conv2d(4, 4, 1), norm, nn.Conv2d(4, 4, 1), norm), (4, 5, 5))
    assert [(fact.name, fact.num_params, fact.shares_with) for fact in facts] == [
        ("0", 20, ""),
        ("1", 8, ""),
        ("2", 20, ""),
        ("1#2", 0, "1"),
    ]
    assert totals(facts).num_params == 48


def test_parameters_that_do_not_learn_are_told_apart():
    net = ImageClassification()
    net.conv1.requires_grad_(False)
    total = totals(summarize(net, (3, 32, 32)))
    assert (total.num_params, total.num_trainable) == (81_302, 81_302 - 168)


def test_layers_that_did_not_run_are_listed_last_and_counted():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used = nn.Conv2d(1, 1, 1)
            self.block = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return self.used(x)

    facts = summarize(Idle(), (1, 2, 2))
    assert [(fact.name, fact.kind, fact.is_used, fact.num_params, fact.scope) for fact in facts] == [
        ("used", "Conv2d", True, 2, ()),
        ("Idle#unused", "Idle", False, 3, ()),
        ("block.0#unused", "Linear", False, 20, ("block",)),
    ]
    total = totals(facts)
    assert (total.num_params, total.num_unused, total.num_layers) == (25, 23, 1)


class Transformed(nn.Module):
    """Weights that a function makes or that are no parameters."""

    def __init__(self):
        super().__init__()
        self.normed = parametrizations.weight_norm(nn.Conv2d(3, 6, 3))
        self.register_buffer("kernel", torch.ones(6, 6, 1, 1))
        self.bias = nn.Parameter(torch.zeros(6))
        self.fc = nn.Linear(6, 4)

    def forward(self, x):
        x = F.conv2d(self.normed(x), self.kernel)
        x = F.conv2d(x, self.normed.weight[:, :1], self.bias * 2, groups=6)
        windows = x.view(6, 2, 3, 2, 3).permute(1, 3, 2, 4, 0).reshape(4, 9, 6)
        return self.fc(windows).reshape(1, -1)


def test_formulas_that_would_not_come_to_the_number_are_left_out():
    normed, constant, *others = summarize(Transformed(), (3, 10, 10))
    # 6·3·3·3 directions, 6 lengths and 6 biases.
    assert (normed.num_params, normed.params_formula, normed.params_symbols) == (174, "", "")
    assert normed.macs_formula == "8·8·3·3·3·6 = 10,368"
    assert (constant.num_params, constant.params_formula, constant.params_symbols) == (0, "", "")
    assert constant.macs_formula == "8·8·1·1·6·6 = 2,304"
    linear = next(fact for fact in others if fact.kind == "Linear")
    # Four windows of nine tokens out of one picture.
    assert (linear.macs_formula, linear.macs_symbols) == ("36·6·4 = 864", "T·Nᵢₙ·Nₒᵤₜ")


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (torchvision.models.swin_t(), (3, 64, 64)),
        (torchvision.models.swin_v2_t(), (3, 64, 64)),
        (torchvision.models.vit_b_16(image_size=32), (3, 32, 32)),
        (torchvision.models.convnext_tiny(), (3, 64, 64)),
        (Transformed(), (3, 10, 10)),
    ],
)
def test_no_formula_is_false_in_nets_written_in_other_ways(net, shape):
    facts = summarize(net, shape)
    own = dict(net.named_parameters())
    read = {call.name: sum(own[name].numel() for name in call.parameters) for call in trace_shapes(net, shape)}
    for fact in facts:
        if "=" in fact.shape_formula:
            assert all(left == right for left, right in worked_out(fact.shape_formula))
        if fact.params_formula:
            assert worked_out(fact.params_formula) == [(read[fact.name],) * 2]
        if fact.macs_formula:
            assert worked_out(fact.macs_formula) == [(fact.macs,) * 2]
        for text, symbols in (
            (fact.shape_formula, fact.shape_symbols),
            (fact.params_formula, fact.params_symbols),
            (fact.macs_formula, fact.macs_symbols),
        ):
            assert bool(text) == bool(symbols)


# --- references ---------------------------------------------------------------------------------------------------


@every_net
def test_nets_of_the_table_add_up(key):
    architecture = ARCHITECTURES[key]
    net = listed(key)
    facts = summarize(net, architecture.input_shape)
    total = totals(facts)
    assert total.num_params == sum(each.numel() for each in net.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        on_meta(net)(torch.empty(1, *architecture.input_shape, device="meta"))
    assert total.macs * 2 == counter.get_total_flops()
    assert facts[-1].output_shape == (architecture.num_classes,)
    assert len({fact.name for fact in facts}) == len(facts)
    assert all(source < fact.index for fact in facts for source in fact.inputs)
    assert_formulas_hold(facts)


@every_net
def test_nets_of_the_table_are_summarised_at_their_smallest_size_and_not_below(key):
    architecture = ARCHITECTURES[key]
    net, (channels, side) = listed(key), (architecture.input_shape[0], architecture.min_size)
    assert summarize(net, (channels, side, side))[-1].output_shape == (architecture.num_classes,)
    if side > 1:
        with pytest.raises(DoesNotFit, match="cannot work on"):
            summarize(net, (channels, side - 1, side - 1))


@pytest.mark.parametrize(
    ("key", "depth"), [("lenet5", 5), ("vgg16", 16), ("resnet18", 18), ("resnet34", 34), ("resnet50", 50)]
)
def test_the_depth_is_the_number_in_the_name(key, depth):
    assert totals(summarize(listed(key), ARCHITECTURES[key].input_shape)).depth == depth


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (torchvision.models.vit_b_16(image_size=32), (3, 32, 32)),
        (torchvision.models.swin_t(), (3, 64, 64)),
        (torchvision.models.convnext_tiny(), (3, 64, 64)),
        (torchvision.models.inception_v3(init_weights=False), (3, 96, 96)),
        (torchvision.models.shufflenet_v2_x0_5(), (3, 64, 64)),
    ],
)
def test_no_parameter_is_lost_in_nets_written_in_other_ways(net, shape):
    """Class tokens, tables of positions, weights used by functions, exits that do not run."""
    total = totals(summarize(net, shape))
    assert total.num_params == total.num_trainable == sum(each.numel() for each in net.parameters())


@pytest.mark.parametrize("key", ["lenet5", "resnet18", "mobilenet_v3_small"])
def test_layers_have_the_parameters_and_outputs_that_torchinfo_finds(key):
    architecture = ARCHITECTURES[key]
    net = architecture.build(num_classes=10, in_channels=architecture.input_shape[0])
    theirs = torchinfo.summary(net, (1, *architecture.input_shape), verbose=0)
    expected = [
        (type(row.module).__name__, tuple(row.output_size[1:]), 0 if row.is_recursive else row.num_params)
        for row in theirs.summary_list
        if row.is_leaf_layer
    ]
    ours = [
        (fact.kind, fact.output_shape, fact.num_params)
        for fact in summarize(net, architecture.input_shape)
        if fact.is_module
    ]
    assert ours == expected


# --- laws ---------------------------------------------------------------------------------------------------------


@st.composite
def layers(draw):
    """One layer with settings of all kinds."""
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    kind = draw(st.sampled_from(["conv", "transposed", "max", "avg", "linear"]))
    stride, padding, dilation = draw(pair), draw(st.tuples(st.integers(0, 2), st.integers(0, 2))), draw(pair)
    groups, bias = draw(st.sampled_from([1, 2, 4])), draw(st.booleans())
    if kind == "conv":
        return nn.Conv2d(4, 8, draw(pair), stride, padding, dilation, groups, bias)
    if kind == "transposed":
        return nn.ConvTranspose2d(4, 8, draw(pair), stride, padding, 0, groups, bias, dilation)
    if kind == "linear":
        return nn.Linear(13, 3, bias=bias)
    kernel = draw(st.tuples(st.integers(4, 5), st.integers(4, 5)))
    pool = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
    return pool(kernel, stride, padding, ceil_mode=draw(st.booleans()))


@settings(max_examples=100)
@given(layers())
def test_formulas_give_what_pytorch_gives(layer):
    try:
        facts = summarize(layer, (4, 17, 13))
    except DoesNotFit:
        assume(False)
    assert facts[0].output_shape == tuple(layer(torch.zeros(1, 4, 17, 13)).shape[1:])
    assert facts[0].num_params == sum(each.numel() for each in layer.parameters())
    assert_formulas_hold(facts)


def test_many_threads_get_the_same_summary():
    net = ARCHITECTURES["cifar10_cnn_shared_bn"].build(num_classes=10, in_channels=3)
    expected = summarize(net, (3, 32, 32))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: summarize(net, (3, 32, 32)), range(16)))
    assert all(each == expected for each in found)
    assert net.training
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in net.modules())


# --- sizes --------------------------------------------------------------------------------------------------------


@every_net
def test_the_sizes_found_are_those_of_the_table(key):
    architecture = ARCHITECTURES[key]
    found = legal_sizes(listed(key), architecture.input_shape[0], near=20, largest=512)
    assert found == (architecture.min_size, architecture.max_size)


def test_sizes_are_found_where_the_net_does_not_say_in_which_direction_they_lie():
    assert legal_sizes(torchvision.models.vit_b_16(image_size=32), 3, near=100) == (32, 32)


def test_no_size_is_found_where_the_channels_are_wrong():
    assert legal_sizes(listed("lenet5"), 3, near=28) is None
    assert legal_sizes(listed("resnet18"), 1, near=28) is None


def test_what_does_not_fit_is_an_error_the_user_can_read():
    with pytest.raises(InputRejected, match=re.escape("it expects 576 numbers a picture, 400 arrive (16 × 5 × 5)")):
        summarize(ImageClassification(), (3, 28, 28))
