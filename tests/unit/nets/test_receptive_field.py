import numpy as np
import pytest
import torch
import torchvision
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from cnnlab.errors import InputRejected
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.receptive_field import ReceptiveField, effective_field, receptive_fields
from cnnlab.nets.tracing import output_of, trace_shapes


def fields(net, shape):
    calls = trace_shapes(net, shape)
    return {call.name: seen for call, seen in zip(calls, receptive_fields(calls), strict=True)}


def last_map(net, shape):
    """What the last layer that makes a map sees, before anything sees everything."""
    calls = trace_shapes(net, shape)
    maps = [
        seen
        for call, seen in zip(calls, receptive_fields(calls), strict=True)
        if len(call.output_shape) == 4 and not call.operation.startswith("adaptive") and "mean" not in call.operation
    ]
    return maps[-1]


def listed(key):
    """A net of the table, without values."""
    architecture = ARCHITECTURES[key]
    with torch.device("meta"):
        return architecture.build(num_classes=architecture.num_classes, in_channels=architecture.input_shape[0])


class Flow(nn.Module):
    """A forward written down as a function of the parts and x."""

    def __init__(self, way, *parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self._way = way

    def forward(self, x):
        return self._way(self.parts, x)


# --- known nets ---------------------------------------------------------------------------------------------------

# The tutorials' nets, after the last layer that makes a map.
TUTORIALS = {
    "simple_conv_net": 10,
    "simple_cnn": 10,
    "lenet5": 16,
    "cnn_mnist": 10,
    "cnn_cifar": 10,
    "image_classification": 10,
    "cifar10_cnn_shared_bn": 36,
    "cifar10_cnn": 36,
    "cat_dog_cnn": 76,
    "alexnet": 195,
    "vgg16": 212,
    "vgg16_cifar": 212,
    "tiny_vgg": 16,
    "resnet18": 435,
    "resnet50": 427,
}


@pytest.mark.parametrize("key", TUTORIALS)
def test_known_nets_see_what_is_known_of_them(key):
    seen = last_map(listed(key), ARCHITECTURES[key].input_shape)
    assert seen.size == (TUTORIALS[key], TUTORIALS[key])
    assert not seen.whole_image


# Size, jump and effective padding as listed in google-research/receptive_field; there the padding P is counted from
# the left edge, and the first window begins at −P.
def test_inception_v3_sees_what_google_measured():
    seen = fields(torchvision.models.inception_v3(init_weights=False), (3, 299, 299))["Mixed_7c.cat#3"]
    assert (seen.size, seen.jump) == ((1311, 1311), (32, 32))
    assert seen.window(0, 0)[:2] == (-618, -618)


def test_vgg16_begins_where_google_measured():
    seen = fields(torchvision.models.vgg16(init_weights=False), (3, 224, 224))["features.30"]
    assert (seen.size, seen.jump, seen.window(0, 0)[:2]) == ((212, 212), (32, 32), (-90, -90))


class SlimUnit(nn.Module):
    """Bottleneck as in TensorFlow-Slim: a shortcut that keeps its channels is thinned out without weights."""

    def __init__(self, channels, wide, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 2, 1),
            nn.ReLU(),
            nn.Conv2d(2, 2, 3, stride, padding=1),
            nn.ReLU(),
            nn.Conv2d(2, wide, 1),
        )
        self.shortcut = nn.MaxPool2d(1, stride) if channels == wide else nn.Conv2d(channels, wide, 1, stride)

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x))


def slim_resnet(*num_units):
    """ResNet v1 of TensorFlow-Slim: the last unit of a block halves the map, the last block does not."""
    layers = [nn.Conv2d(3, 2, 7, stride=2, padding=3), nn.MaxPool2d(3, stride=2, padding=1)]
    channels = 2
    for block, count in enumerate(num_units, 1):
        for unit in range(1, count + 1):
            stride = 2 if unit == count and block < len(num_units) else 1
            layers.append(SlimUnit(channels, 2 + block, stride))
            channels = 2 + block
    return nn.Sequential(*layers)


@pytest.mark.parametrize(("units", "size"), [((3, 4, 6, 3), 483), ((3, 4, 23, 3), 1027), ((3, 8, 36, 3), 1507)])
def test_resnets_of_slim_see_what_google_measured(units, size):
    seen = last_map(slim_resnet(*units), (3, 224, 224))
    assert (seen.size, seen.jump) == ((size, size), (32, 32))


@pytest.mark.parametrize(("name", "size"), [("densenet121", 2071), ("googlenet", 379), ("mobilenet_v2", 491)])
def test_other_nets_of_torchvision(name, size):
    settings = {"init_weights": False} if name == "googlenet" else {}
    seen = last_map(getattr(torchvision.models, name)(**settings), (3, 224, 224))
    assert (seen.size, seen.whole_image) == ((size, size), False)


@pytest.mark.parametrize("key", ARCHITECTURES)
def test_every_net_of_the_table_is_known_to_its_end(key):
    seen = fields(listed(key), ARCHITECTURES[key].input_shape)
    assert None not in seen.values()
    assert list(seen.values())[-1].whole_image


# --- by hand ------------------------------------------------------------------------------------------------------


def test_two_3x3_see_5x5_and_three_see_7x7():
    layers = [nn.Conv2d(1, 1, 3) for _ in range(3)]
    seen = fields(nn.Sequential(*layers), (1, 9, 9))
    assert [each.size for each in seen.values()] == [(3, 3), (5, 5), (7, 7)]
    assert seen["2"].window(0, 0) == (0, 0, 7, 7)
    assert seen["2"].window(2, 1) == (2, 1, 9, 8)


def test_stride_padding_and_dilation_by_hand():
    net = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.Conv2d(1, 1, 3, dilation=2, padding=(0, 1)))
    seen = fields(net, (1, 21, 21))
    assert seen["0"] == ReceptiveField(size=(3, 3), jump=(2, 2), start=(0.5, 0.5), whole_image=False)
    # Four cells of 2 px more: 3 + 4·2 = 11. Rows begin at −1; columns one cell earlier.
    assert seen["1"].size == (11, 11)
    assert seen["1"].window(0, 0) == (-1, -3, 10, 8)


def test_the_axes_are_told_apart():
    net = nn.Sequential(nn.Conv2d(1, 1, (1, 7), padding=(0, 3)), nn.MaxPool2d((3, 1), stride=(2, 1)))
    seen = fields(net, (1, 9, 9))["1"]
    assert (seen.size, seen.jump, seen.start) == ((3, 7), (2, 1), (1.5, 0.5))


def test_even_kernels_that_keep_the_size_are_padded_more_on_the_right():
    seen = fields(nn.Conv2d(1, 1, 4, padding="same"), (1, 9, 9))["Conv2d"]
    assert seen.window(0, 0) == (-1, -1, 3, 3)


def test_ways_that_meet_are_united():
    wide, narrow = nn.Conv2d(1, 1, 5, padding=2), nn.Conv2d(1, 1, (3, 1), padding=(1, 0))
    seen = fields(Flow(lambda parts, x: torch.cat([parts[0](x), parts[1](x), x], 1), wide, narrow), (1, 9, 9))
    assert seen["cat"].size == (5, 5)
    # Ways that are padded on one side only: from −3 to 1 and from 0 to 4 makes −3 to 4.
    net = Flow(lambda parts, x: parts[0](F.pad(x, (3, 0, 3, 0))) + parts[0](F.pad(x, (0, 3, 0, 3))), nn.Conv2d(1, 1, 4))
    assert fields(net, (1, 9, 9))["add"].window(0, 0) == (-3, -3, 4, 4)


def test_ways_that_drift_apart_are_not_known():
    net = Flow(lambda parts, x: parts[0](x) + x[:, :, 3:7, 3:7], nn.Conv2d(1, 1, 3, stride=2))
    seen = fields(net, (1, 9, 9))
    assert seen["getitem"].window(0, 0) == (3, 3, 4, 4)
    assert seen["add"] is None


def test_a_gate_of_the_whole_image_leaves_the_window_as_it_is():
    def way(parts, x):
        x = parts[0](x)
        return parts[2](x * torch.sigmoid(parts[1](F.adaptive_avg_pool2d(x, 1))))

    seen = fields(Flow(way, nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3)), (3, 9, 9))
    assert (seen["parts.0"].size, seen["parts.0"].whole_image) == ((3, 3), False)
    assert (seen["parts.1"].size, seen["parts.1"].whole_image) == ((9, 9), True)
    assert (seen["mul"].size, seen["mul"].whole_image) == ((3, 3), True)
    assert (seen["parts.2"].size, seen["parts.2"].whole_image) == ((5, 5), True)


@pytest.mark.parametrize(
    ("layer", "is_whole"),
    [
        (nn.BatchNorm2d(4), False),
        (nn.LocalResponseNorm(2), False),
        (nn.GroupNorm(2, 4), True),
        (nn.InstanceNorm2d(4), True),
        (nn.LayerNorm([4, 8, 8]), True),
        (nn.Softmax(dim=1), False),
        (nn.Softmax(dim=2), True),
        (nn.Sequential(), False),
        (torchvision.ops.Permute([0, 1, 2, 3]), False),
        (nn.ChannelShuffle(2), False),
        (nn.Unfold(1), None),
    ],
)
def test_statistics_of_all_places_see_everything(layer, is_whole):
    seen = fields(nn.Sequential(nn.Conv2d(3, 4, 3), layer), (3, 10, 10))["1"]
    if is_whole is None:
        assert seen is None
    else:
        assert (seen.size, seen.whole_image) == ((3, 3), is_whole)


def test_statistics_that_training_has_left_see_nothing():
    settled = nn.InstanceNorm2d(3, track_running_stats=True)
    for_the_batch = nn.BatchNorm2d(3, track_running_stats=False)
    fixed = Flow(lambda _, x: F.batch_norm(x, torch.zeros(3), torch.ones(3)))
    for layer, is_whole in ((settled, False), (for_the_batch, True), (fixed, False)):
        (seen,) = fields(layer, (3, 8, 8)).values()
        assert (seen.size, seen.whole_image) == ((1, 1), is_whole)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"),
        nn.CircularPad2d(1),
        Flow(lambda _, x: F.pad(x, (1, 1, 1, 1), mode="circular")),
        Flow(lambda _, x: torch.cat([x, x], axis=2)),
        Flow(lambda _, x: x.transpose(2, 3)),
        nn.ConvTranspose2d(1, 1, 2, stride=4),
        nn.GLU(dim=3),
    ],
)
def test_what_no_window_describes_is_not_known(layer):
    """The opposite edge; rows twice; rows that are columns; outputs between the taps; halves of rows."""
    assert list(fields(layer, (1, 8, 8)).values())[-1] is None


def test_rows_and_columns_that_are_turned_back_are_known_again():
    net = nn.Sequential(nn.Conv2d(1, 1, (3, 1)), Flow(lambda _, x: x.transpose(2, 3).relu().transpose(2, 3)))
    seen = fields(net, (1, 8, 8))
    assert seen["1.transpose"] is None
    assert seen["1.transpose#2"].size == (3, 1)


def test_what_numpy_calls_otherwise_is_understood():
    seen = fields(Flow(lambda _, x: x.mean(axis=1, keepdims=True)), (3, 8, 8))["mean"]
    assert (seen.size, seen.whole_image) == ((1, 1), False)


@pytest.mark.parametrize(
    "way",
    [
        lambda _, x: x.mean((2, 3)),
        lambda _, x: x.mean(dim=[-1, -2], keepdim=True),
        lambda _, x: F.adaptive_max_pool2d(x, 1).flatten(1),
        lambda _, x: F.avg_pool2d(x, 5),
        lambda _, x: F.linear(x.flatten(1), torch.ones(2, 75)),
        lambda _, x: F.linear(x.reshape(x.shape[0], -1), torch.ones(2, 75)),
        lambda _, x: x.amax(3).amax(2),
    ],
)
def test_all_cells_together_see_from_the_first_to_the_last(way):
    seen = list(fields(nn.Sequential(nn.AvgPool2d(3, 2), Flow(way)), (3, 11, 11)).values())[-1]
    assert seen.size == (3 + 4 * 2, 3 + 4 * 2)
    assert seen.window(0, 0) == (0, 0, 11, 11)


def test_flattening_alone_mixes_nothing():
    seen = fields(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), (1, 8, 8))["1"]
    assert (seen.size, seen.whole_image) == ((3, 3), False)


def test_channels_last_and_back():
    """As ConvNeXt does: normalisation and linear layers over channels."""

    def way(parts, x):
        return parts[1](parts[0](x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)

    seen = fields(
        nn.Sequential(nn.Conv2d(3, 4, 3), Flow(way, nn.LayerNorm(4), nn.Linear(4, 2)), nn.MaxPool2d(2)), (3, 8, 8)
    )
    assert (seen["2"].size, seen["2"].whole_image) == ((4, 4), False)


def test_shuffled_channels_stay_where_they_are():
    def way(_, x):
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)

    seen = fields(nn.Sequential(nn.Conv2d(3, 4, 3), Flow(way), nn.Conv2d(4, 4, 3)), (3, 8, 8))
    assert seen["2"].size == (5, 5)


def test_tokens_see_their_patch_until_they_look_at_each_other():
    seen = fields(torchvision.models.vit_b_16(image_size=32), (3, 32, 32))
    assert (seen["conv_proj"].size, seen["encoder.layers.encoder_layer_0.ln_1"].size) == ((16, 16), (16, 16))
    assert not seen["encoder.layers.encoder_layer_0.ln_1"].whole_image
    assert seen["encoder.layers.encoder_layer_0.self_attention"].whole_image
    assert (seen["heads.head"].size, seen["heads.head"].whole_image) == ((32, 32), True)


def test_windows_cut_out_of_a_picture_are_not_known():
    seen = fields(torchvision.models.swin_t(), (3, 64, 64))
    assert seen["features.0.0"].size == (4, 4)
    assert seen["head"] is None


def test_pooling_to_a_given_size():
    pool = {n: fields(nn.AdaptiveAvgPool2d(n), (1, 12, 12))["AdaptiveAvgPool2d"] for n in (12, 6, 1, 5)}
    assert (pool[12].size, pool[12].jump) == ((1, 1), (1, 1))
    assert (pool[6].size, pool[6].jump, pool[6].start) == ((2, 2), (2, 2), (1, 1))
    assert (pool[1].size, pool[1].whole_image) == ((12, 12), True)
    # 12 cells in 5: windows 0–3, 2–5, 4–8, 7–10, 9–12, the longest of 4.
    assert pool[5].size == (4, 4)
    assert [pool[5].start[0] + at * pool[5].jump[0] for at in range(5)] == pytest.approx(
        [1.3, 3.7, 6.1, 8.5, 10.9], abs=0.31
    )
    one = fields(nn.Sequential(nn.AvgPool2d(12), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(49, 2)), (1, 12, 12))
    assert one["1"].size == one["3"].size == (12, 12)


def test_enlarging():
    def after(layer, side=6):
        return fields(nn.Sequential(nn.AvgPool2d(4), layer), (1, side * 4, side * 4))["1"]

    nearest, bilinear = after(nn.Upsample(scale_factor=2)), after(nn.Upsample(scale_factor=2, mode="bilinear"))
    assert (nearest.size, nearest.jump) == ((4, 4), (2, 2))
    assert (bilinear.size, bilinear.jump) == ((8, 8), (2, 2))
    # Output o of 2·6 lies over cell o/2; its kernel of 4 with stride 2 meets two cells.
    transposed = after(nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1))
    assert (transposed.size, transposed.jump) == ((8, 8), (2, 2))


def test_shrinking_takes_the_cells_that_pytorch_takes():
    def after(**settings):
        return fields(nn.Upsample(**settings), (1, 12, 12))["Upsample"]

    # Cells 0, 4, 8: rounded down. With "nearest-exact" 2, 6, 10.
    assert after(scale_factor=0.25) == ReceptiveField(size=(1, 1), jump=(4, 4), start=(0.5, 0.5), whole_image=False)
    assert after(scale_factor=0.25, mode="nearest-exact").window(1, 1) == (6, 6, 7, 7)
    # 12 · 0.3 makes three cells, 1 / 0.3 apart and not 12 / 3.
    assert after(scale_factor=0.3).jump == pytest.approx((10 / 3, 10 / 3))


def test_constants_beside_the_rows_move_the_windows():
    net = Flow(lambda _, x: torch.cat([torch.zeros(1, 1, 2, 8), x, torch.zeros(1, 1, 1, 8)], 2))
    seen = fields(nn.Sequential(net, nn.Conv2d(1, 1, 3)), (1, 8, 8))
    assert seen["0.cat"].window(2, 0) == (0, 0, 1, 1)
    assert seen["1"].window(0, 0) == (-2, 0, 1, 3)


@pytest.mark.parametrize(
    ("way", "jump"),
    [
        (lambda _, x: x.mean((2, 3), keepdim=True).expand(1, 1, 5, 5), (0, 0)),
        (lambda _, x: x.mean(2, keepdim=True).expand(1, 1, 5, 8), (0, 1)),
        (lambda parts, x: parts[0](x), (1, 0)),
    ],
)
def test_units_along_an_axis_that_was_gathered_all_see_the_same(way, jump):
    seen = list(fields(Flow(way, nn.Linear(8, 4)), (1, 8, 8)).values())[-1]
    assert seen.jump == jump
    assert seen.window(3, 3)[2] <= 8
    assert seen.window(3, 3)[3] <= 8


# --- measured -----------------------------------------------------------------------------------------------------


def positive(net):
    """Nothing cancels out and nothing is switched off: positive weights, means instead of maxima."""
    for module in list(net.modules()):
        for key, child in list(module.named_children()):
            if isinstance(child, nn.MaxPool2d):
                setattr(module, key, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
    with torch.no_grad():
        for name, each in net.named_parameters():
            each.fill_(1 / max(1, each[0].numel()) if each.ndim > 1 else (0 if "bias" in name else 1))
    return net


def extent(field_hw):
    """Top, left, bottom and right edge of what is not zero."""
    rows, cols = np.nonzero(field_hw)
    return rows.min(), cols.min(), rows.max() + 1, cols.max() + 1


@pytest.mark.parametrize(
    ("name", "layer", "side", "size"),
    [
        ("resnet18", "layer4.1.relu#2", 480, 435),
        ("alexnet", "features.12", 224, 195),
        ("vgg11", "features.20", 224, 150),
    ],
)
def test_theory_is_what_gradients_measure(name, layer, side, size):
    net = positive(getattr(torchvision.models, name)(num_classes=2))
    calls = trace_shapes(net, (3, side, side))
    index = [call.name for call in calls].index(layer)
    seen = receptive_fields(calls)[index]
    row, col = calls[index].output_shape[2] // 2, calls[index].output_shape[3] // 2
    window = seen.window(row, col)
    assert seen.size == (size, size)
    field_hw = effective_field(net, torch.rand(1, 3, side, side), layer, row, col)
    clipped = tuple(int(min(max(edge, 0), side)) for edge in window)
    assert extent(field_hw) == clipped


@st.composite
def stacks(draw):
    """Convolutions, pooling and ways that meet again, at most five of them."""

    def conv(channels, wide):
        pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
        return nn.Conv2d(
            channels,
            wide,
            draw(pair),
            draw(st.integers(1, 3)),
            padding=draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
            dilation=draw(st.integers(1, 2)),
        )

    layers = []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["conv", "conv", "pool", "ways", "transposed", "functions"]))
        if kind == "conv":
            layers.append(conv(2, 2))
        elif kind == "pool":
            kernel = draw(st.integers(1, 4))
            stride, ceil = draw(st.integers(1, 3)), draw(st.booleans())
            layers.append(nn.MaxPool2d(kernel, stride, draw(st.integers(0, kernel // 2)), ceil_mode=ceil))
        elif kind == "ways":
            first, second = draw(st.sampled_from([1, 3, 5])), draw(st.sampled_from([1, 3, 5]))
            layers.append(
                Flow(
                    lambda parts, x: torch.cat([parts[0](x), parts[1](x) + x], dim=1)[:, 1:3],
                    nn.Conv2d(2, 2, (first, second), padding="same"),
                    nn.Conv2d(2, 2, second, padding=second // 2),
                )
            )
        elif kind == "transposed":
            layers.append(nn.ConvTranspose2d(2, 2, draw(st.integers(1, 4)), 1, padding=draw(st.integers(0, 1))))
        else:
            layers.append(Flow(lambda _, x: F.relu(F.pad(x, (1, 0, 2, 0)) * 2 + 1)))
    return nn.Sequential(*layers)


@settings(max_examples=60)
@given(stacks(), st.data())
def test_windows_of_random_nets_are_what_gradients_measure(net, data):
    shape = (2, 30, 26)
    try:
        calls = trace_shapes(net, shape)
    except InputRejected:
        assume(False)
    seen = receptive_fields(calls)[-1]
    row, col = (data.draw(st.integers(0, count - 1)) for count in calls[-1].output_shape[-2:])
    top, left, bottom, right = seen.window(row, col)
    field_hw = effective_field(positive(net), torch.rand(1, *shape), len(calls) - 1, row, col)
    if not field_hw.any():
        assert min(bottom, right) <= 0 or top >= 30 or left >= 26 or min(top, left) < 0 or bottom > 30 or right > 26
        return
    found = extent(field_hw)
    assert found[0] >= top
    assert found[1] >= left
    assert found[2] <= bottom
    assert found[3] <= right
    if top >= 0 and bottom <= 30 and left >= 0 and right <= 26:
        assert found == (top, left, bottom, right)


ONE_BY_ONE = [
    *[nn.Upsample(scale_factor=scale, mode="nearest") for scale in (0.25, 0.3, 0.75, 2)],
    *[nn.Upsample(scale_factor=scale, mode="nearest-exact") for scale in (0.25, 1.5)],
    *[nn.Upsample(scale_factor=scale, mode="bilinear") for scale in (1 / 3, 0.75, 3)],
    nn.Upsample(scale_factor=(2, 0.5), mode="bicubic"),
    nn.Upsample(size=(23, 7), mode="bilinear", align_corners=True),
    nn.AdaptiveAvgPool2d((5, 20)),
    nn.Sequential(nn.Conv2d(1, 4, 3), nn.PixelShuffle(2)),
    nn.ConvTranspose2d(1, 1, 2, 2, 1),
    nn.ConvTranspose2d(1, 1, 5, 4),
    nn.ConvTranspose2d(1, 1, 3, 3, 1, dilation=2),
    nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
    Flow(lambda _, x: x.std(False).expand(1, 1, 4, 4)),
    Flow(lambda _, x: x.logsumexp(1, True)),
    Flow(lambda _, x: x[:, :, 1::2, -5:]),
]


@pytest.mark.parametrize("net", ONE_BY_ONE, ids=lambda net: str(net).replace("\n", ""))
def test_no_unit_sees_more_than_a_cell_beside_its_window(net):
    """Of each unit, by its gradient."""
    x = torch.rand(1, 1, 12, 12, requires_grad=True)
    calls = trace_shapes(net, (1, 12, 12))
    seen = receptive_fields(calls)[-1]
    made = output_of(positive(net), x, len(calls) - 1)[0].sum(0)
    for row in range(made.shape[0]):
        for col in range(made.shape[1]):
            (gradient,) = torch.autograd.grad(made[row, col], x, retain_graph=True)
            if gradient.any():
                top, left, bottom, right = extent(gradient[0].sum(0).numpy())
                window = seen.window(row, col)
                assert window[0] < top + 1
                assert window[1] < left + 1
                assert window[2] > bottom - 1
                assert window[3] > right - 1


def test_the_effective_field_of_a_linear_net_is_its_kernel():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False))
    x = torch.rand(1, 1, 6, 6)
    weight = net[0].weight.detach()
    field_hw = effective_field(net, x, "0", 1, 2, channel=1)
    np.testing.assert_allclose(field_hw[1:4, 2:5], weight[1, 0].abs())
    assert np.count_nonzero(field_hw) == 9
    np.testing.assert_allclose(effective_field(net, x, 0, 1, 2)[1:4, 2:5], weight.sum(0)[0].abs(), rtol=1e-6)
    assert field_hw.dtype == np.float32


def test_a_unit_that_is_switched_off_sees_nothing():
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU())
    nn.init.constant_(net[0].weight, -1)
    nn.init.constant_(net[0].bias, 0)
    assert not effective_field(net, torch.rand(1, 1, 6, 6), "1", 1, 1).any()


def test_measuring_leaves_the_model_and_its_gradients_alone():
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1)).train()
    net[0].weight.requires_grad_(False)
    x = torch.rand(1, 1, 6, 6)
    with torch.inference_mode():
        effective_field(net, x, "1", 1, 1)
    assert net.training
    assert all(each.grad is None for each in net.parameters())
    assert [each.requires_grad for each in net.parameters()] == [False, True, True, True]
    assert int(net[1].num_batches_tracked) == 0
    assert x.grad is None


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        (("2", 0, 0), "no layer '2'"),
        (("0", 4, 0), "no unit"),
        (("0", 0, 0, 2), "no unit"),
        (("1", 0, 0), "not a map"),
    ],
)
def test_units_that_do_not_exist_are_rejected(chosen, says):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())
    with pytest.raises(InputRejected, match=says):
        effective_field(net, torch.rand(1, 1, 6, 6), *chosen)
