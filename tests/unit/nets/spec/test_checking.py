"""Shapes and weights by formula are PyTorch's; what cannot be is refused with the row and the way out."""

import pickle
import time
from dataclasses import FrozenInstanceError

import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnnlab.errors import InputRejected
from cnnlab.nets.spec import (
    LAYER_KINDS,
    LayerSpec,
    NetSpec,
    SpecError,
    build,
    check,
    label,
    layer,
    num_params,
    shapes,
    walk,
)
from tests.unit.nets.spec import generated


def conv(channels: int = 8, kernel: int = 3, **params: object) -> LayerSpec:
    return layer("conv", out_channels=channels, kernel_size=kernel, **params)


def residual(*body: LayerSpec, shortcut: tuple[LayerSpec, ...] = ()) -> LayerSpec:
    return layer("residual", body=body, shortcut=shortcut)


LENET = NetSpec(
    "LeNet-5",
    (1, 28, 28),
    (
        conv(6, 5, padding=2),
        layer("tanh"),
        layer("avg_pool", kernel_size=2),
        conv(16, 5),
        layer("tanh"),
        layer("avg_pool", kernel_size=2),
        layer("flatten"),
        layer("linear", out_features=120),
        layer("linear", out_features=84),
        layer("linear", out_features=10),
    ),
)


# --- by hand ------------------------------------------------------------------------------------------------------


def test_lenet_by_hand() -> None:
    assert shapes(LENET) == (
        *((6, 28, 28), (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 10, 10), (16, 5, 5)),
        *((400,), (120,), (84,), (10,)),
    )
    # 6·(25 + 1), 16·(6·25 + 1), 120·401, 84·121, 10·85
    assert [step.num_params for step in LENET.steps if step.num_params] == [156, 2416, 48120, 10164, 850]
    assert num_params(LENET) == 61706


def test_shared_weights_are_counted_once() -> None:
    layers = (conv(name="twin", padding=1), layer("relu"), layer("reuse", of="twin"))
    assert num_params(NetSpec("", (8, 5, 5), layers)) == 8 * 8 * 9 + 8


def test_a_net_is_data() -> None:
    assert pickle.loads(pickle.dumps(LENET)) == LENET
    assert hash(LENET) == hash(NetSpec(LENET.name, LENET.input_shape, LENET.layers))
    with pytest.raises(FrozenInstanceError):
        LENET.name = "other"  # type: ignore[misc]


# --- as PyTorch ---------------------------------------------------------------------------------------------------


def assert_as_torch(spec: NetSpec) -> None:
    net = build(spec).eval()
    assert sum(weights.numel() for weights in net.parameters()) == num_params(spec)
    x = torch.rand(2, *spec.input_shape)
    with torch.no_grad():
        for module, expected in zip(net, shapes(spec), strict=True):
            x = module(x)
            assert x.shape[1:] == expected


def test_each_kind_does_what_pytorch_does() -> None:
    assert_as_torch(generated.everything())


@settings(max_examples=60)
@given(generated.specs())
def test_shapes_and_weights_are_pytorchs(spec: NetSpec) -> None:
    assert_as_torch(spec)


@pytest.mark.parametrize("kind", ["conv", "max_pool", "avg_pool"])
def test_windows_fit_where_pytorchs_do(kind: str) -> None:
    fits = 0
    for size in (1, 2, 3, 5):
        for kernel in (1, 2, 3):
            for stride in (1, 2, 4):
                for padding in (0, 1):
                    for ceil_mode in (False,) if kind == "conv" else (False, True):
                        params = {"out_channels": 1} if kind == "conv" else {"ceil_mode": ceil_mode}
                        one = layer(kind, kernel_size=kernel, stride=stride, padding=padding, **params)
                        found = check([one], (1, size, size))
                        options = {} if kind == "conv" else {"ceil_mode": ceil_mode}
                        cls = {"conv": nn.Conv2d, "max_pool": nn.MaxPool2d, "avg_pool": nn.AvgPool2d}[kind]
                        try:
                            module = cls(*((1, 1) if kind == "conv" else ()), kernel, stride, padding, **options)
                            expected = module(torch.zeros(1, 1, size, size)).shape[1:]
                        except RuntimeError:
                            assert found.problems
                        else:
                            fits += 1
                            assert found.steps[0].out_shape == expected
    assert fits > 20


# --- refusals -----------------------------------------------------------------------------------------------------

REFUSED = [
    (
        (conv(16, 3, stride=16), layer("max_pool", kernel_size=3)),
        (2,),
        "Layer 2 (MaxPool 3 × 3) gets 16 × 2 × 2: the window needs at least 3 × 3. Use a smaller window, padding, or "
        "leave out a pooling or a stride before it.",
    ),
    (
        (residual(conv(64, 3, stride=2, padding=1)),),
        (1,),
        "Layer 1 (Residual): the body makes 64 × 16 × 16, the shortcut 3 × 32 × 32; add a 1 × 1 conv with stride 2 and "
        "64 channels to the shortcut.",
    ),
    (
        (residual(conv(3, 3)),),
        (1,),
        "the body makes 3 × 30 × 30, the shortcut 3 × 32 × 32, and no stride leads from one to the other. Change the "
        "padding in the body.",
    ),
    ((residual(conv(4, 1), shortcut=(conv(5, 1),)),), (1,), "only equal shapes can be added. Change one of the two."),
    (
        (layer("linear", out_features=10),),
        (1,),
        "Layer 1 (Linear) gets a map of 3 × 32 × 32, and works on a row of values. Put a flatten before it.",
    ),
    (
        (layer("flatten"), conv()),
        (2,),
        "Layer 2 (Conv 3 × 3) gets 3,072 values in a row, and works on maps. Put it before the flatten.",
    ),
    (
        (conv(12, 1), conv(8, 3, groups=3)),
        (2,),
        "splits 12 channels into 3 groups and makes 8: both must be divisible by the number of groups. "
        "These fit: 1, 2, 4.",
    ),
    ((layer("group_norm", num_groups=2),), (1,), "These fit: 1, 3."),
    ((layer("max_pool", kernel_size=2, padding=2),), (1,), "Use padding of at most 1 there."),
    ((layer("batch_nrom"),), (1,), "Layer 1 ('batch_nrom') is of a kind that does not exist. Is it batch_norm?"),
    ((conv(pading=1),), (1,), "has no parameter 'pading'. It takes out_channels, kernel_size, stride, padding,"),
    ((layer("relu", inplace=True),), (1,), "It takes none."),
    ((layer("conv", kernel_size=3),), (1,), "needs out_channels: a whole number from 1 to 4,096."),
    ((conv(8, 3, stride=0),), (1,), "has stride 0; it takes a whole number from 1 to 4,096, or two of them"),
    ((conv(8, 3, stride=(1, 2, 3)),), (1,), "has stride (1, 2, 3); it takes"),
    ((conv(8, 3, padding=(1, -1)),), (1,), "has padding 1 × -1; it takes"),
    ((conv(8, 3, padding=0.5),), (1,), "has padding 0.5; it takes"),
    ((conv(True),), (1,), "has out_channels True; it takes a whole number"),
    ((conv(bias=1),), (1,), "has bias 1; it takes true or false."),
    ((layer("dropout", p=float("nan")),), (1,), "has p nan; it takes a number from 0 to 1."),
    ((layer("dropout", p=float("inf")),), (1,), "has p inf;"),
    ((layer("dropout", p="much"),), (1,), "has p 'much';"),
    ((layer("gelu", approximate="erf"),), (1,), "it takes one of none, tanh."),
    ((residual(),), (1,), "it takes a list of layers, at least 1."),
    ((layer("residual", body="relu"),), (1,), "it takes a list of layers, at least 1."),
    ((layer("relu", name="Big"),), (1,), "is named 'Big': a name is up to 30 small letters"),
    ((layer("relu", name="class"),), (1,), "is no word of Python"),
    ((layer("relu", name="model"),), (1,), "is named 'model'"),
    ((layer("relu", name="a"), layer("relu", name="a")), (2,), "is named a, as a layer before it is."),
    ((layer("reuse", of="later"), layer("relu", name="later")), (1,), "No layer before it has a name."),
    ((layer("relu", name="a"), layer("reuse", of="b")), (2,), "Names before it: a."),
    ((layer("relu", name="a"), layer("reuse", of="a", name="b")), (2,), "has a name of its own, b. Leave it out."),
    (
        (layer("residual", body=[layer("relu")], name="a"), layer("reuse", of="a")),
        (2,),
        "only single layers can be used again",
    ),
    (
        (layer("batch_norm", name="norm"), conv(8, 1), layer("reuse", of="norm")),
        (3,),
        "gets 8 × 32 × 32; its weights were made for 3 × 32 × 32. Bring it to 3 channels before.",
    ),
    (
        (residual(residual(residual(residual(residual(layer("relu")))))),),
        (1, "body", 1, "body", 1, "body", 1, "body", 1),
        "is nested more than 4 deep",
    ),
    (
        (layer("adaptive_avg_pool", output_size=1), conv(4096, 1), conv(4096, 3, padding=1), conv(4096, 3, padding=1)),
        (4,),
        "has 150,999,040 parameters and brings the net to 302,014,464; the lab takes up to 200 million.",
    ),
    ((layer("adaptive_avg_pool", output_size=4096),), (1,), "the lab takes up to 33,554,432."),
]


@pytest.mark.parametrize(("layers", "position", "says"), REFUSED)
def test_what_cannot_be_is_refused_with_the_layer_and_the_way_out(
    layers: tuple[LayerSpec, ...], position: tuple[int | str, ...], says: str
) -> None:
    with pytest.raises(SpecError) as refusal:
        NetSpec("", (3, 32, 32), layers)
    assert isinstance(refusal.value, InputRejected)
    assert says in str(refusal.value)
    assert [problem.position for problem in refusal.value.problems] == [position]


def test_a_nested_layer_is_named_with_the_block_around_it() -> None:
    with pytest.raises(SpecError, match=r"^Layer 3 \(Residual\), body layer 2 \(Conv 5 × 5\) gets 8 × 2 × 2"):
        NetSpec("", (3, 4, 4), (layer("relu"), layer("relu"), residual(conv(), conv(8, 5))))


def test_numbers_too_long_for_python_to_write_are_named_in_words() -> None:
    (problem,) = check([conv(10**5000)], (3, 8, 8)).problems
    assert "has out_channels a number of more than 400 digits; it takes" in problem.message
    (problem,) = check([conv(padding=(-(10**5000), 1))], (3, 8, 8)).problems
    assert "has padding a number of more than 400 digits × 1; it takes" in problem.message


def test_all_faulty_parameters_are_found_and_shapes_only_up_to_the_first() -> None:
    layers = (
        conv(8, 40),
        conv(0, 0),
        layer("nothing"),
        residual(layer("dropout", p=2), shortcut=(layer("linear"),)),
        layer("linear", out_features=10),
    )
    problems = check(layers, (3, 32, 32)).problems
    assert [(problem.position, problem.param) for problem in problems] == [
        ((1,), ""),
        ((2,), "out_channels"),
        ((2,), "kernel_size"),
        ((3,), "kind"),
        ((4, "body", 1), "p"),
        ((4, "shortcut", 1), "out_features"),
    ]
    assert len(str(SpecError(problems)).splitlines()) == 6


def test_shapes_are_known_up_to_the_fault() -> None:
    found = check((conv(), layer("linear", out_features=10), layer("relu")), (3, 8, 8))
    assert [step.out_shape for step in found.steps] == [(8, 6, 6)]


def test_a_long_list_of_problems_is_cut() -> None:
    text = str(SpecError(check([layer("nothing")] * 30, (3, 8, 8)).problems))
    assert text.endswith("… and 18 more.")


@pytest.mark.parametrize(
    "shape",
    [(3, 32), (3, 32, 0), (3, 32, 5000), (3, 32.5, 32), (True, 32, 32), (4096, 4096, 4096), "abc", None, ("a", 1, 1)],
)
def test_an_input_that_is_no_picture_is_refused(shape: object) -> None:
    problems = check([layer("relu")], shape).problems  # type: ignore[arg-type]
    assert [problem.position for problem in problems] == [()]
    assert "give channels, height and width" in problems[0].message


@pytest.mark.parametrize("name", ["a\nb", " a", "x" * 61, "\x00", "\u202eabc", 5, None])
def test_a_name_is_one_short_line(name: object) -> None:
    with pytest.raises(SpecError, match="use one line"):
        NetSpec(name, (1, 4, 4), (layer("relu"),))  # type: ignore[arg-type]


def test_a_net_needs_a_layer() -> None:
    with pytest.raises(SpecError, match="at least one layer"):
        NetSpec("", (1, 4, 4), ())


# --- limits -------------------------------------------------------------------------------------------------------


def test_four_hundred_layers_are_taken_nested_ones_counted() -> None:
    body = [layer("relu")] * 199
    NetSpec("", (1, 4, 4), (layer("residual", body=body), layer("residual", body=body)))
    with pytest.raises(SpecError, match="more than 400 layers"):
        NetSpec("", (1, 4, 4), (layer("residual", body=body), layer("residual", body=[*body, layer("relu")])))


def test_the_work_of_one_pass_by_hand() -> None:
    # 20 · (8 · 4 · 3 · 3 + 8 · 3 · 3) · 512 · 512, which is 1.9 billion.
    some = [conv(8, 3, padding=1, groups=2), layer("max_pool", kernel_size=3, stride=1, padding=1)] * 20
    assert not check(some, (8, 512, 512)).problems
    # 127 · 127 · 8 · 8 · 512 · 512, which is 270.6 billion.
    (problem,) = check([*some, conv(8, 127, padding=63), layer("relu")], (8, 512, 512)).problems
    assert problem.position == (41,)
    assert problem.message == (
        "Layer 41 (Conv 127 × 127) takes 270.6 billion multiply-adds for one picture and brings the net to "
        "272.5 billion; the lab takes up to 200 billion. Use a smaller window, fewer channels, or stride or pooling "
        "before it."
    )


@pytest.mark.parametrize(
    ("layers", "number"),
    [
        ([conv(1, 1001, padding=500)] * 100, 1),
        # 181 · 181 · 1024 · 1024 are 34.4 billion: the sixth is too many.
        ([conv(1, 181, padding=90)] * 100, 6),
        ([conv(1, 181, padding=90, name="one"), *[layer("reuse", of="one")] * 99], 6),
        ([layer("max_pool", kernel_size=181, stride=1, padding=90)] * 100, 6),
        ([layer("avg_pool", kernel_size=181, stride=1, padding=90)] * 100, 6),
        # 4000 · 1024 · 1024 are 4.2 billion.
        ([layer("local_response_norm", size=4000)] * 100, 48),
    ],
)
def test_a_pass_that_would_not_end_is_refused(layers: list[LayerSpec], number: int) -> None:
    (problem,) = check(layers, (1, 1024, 1024)).problems
    assert problem.position == (number,)
    assert "the lab takes up to 200 billion" in problem.message


def test_the_work_inside_blocks_counts() -> None:
    block = residual(conv(1, 181, padding=90), conv(1, 181, padding=90), shortcut=(conv(1, 181, padding=90),))
    (problem,) = check([block] * 10, (1, 1024, 1024)).problems
    assert problem.position == (2, "shortcut", 1)


def test_multiply_adds_are_half_of_the_flops_that_pytorch_counts() -> None:
    layers = (
        conv(8, 3, stride=(2, 1), padding=1, groups=2),
        layer("conv", out_channels=6, kernel_size=(3, 5), dilation=2, padding=2),
        layer("flatten"),
        layer("linear", out_features=7),
    )
    spec = NetSpec("", (4, 17, 13), layers)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        build(spec)(torch.zeros(1, *spec.input_shape))
    num_macs = [LAYER_KINDS[one.layer.kind].num_macs(one.layer, one.in_shape, one.out_shape) for one in spec.steps]
    assert 2 * sum(num_macs) == counter.get_total_flops()


def test_checking_the_longest_net_takes_no_time_to_speak_of() -> None:
    layers = [conv(8, 3, padding=1), layer("batch_norm")] * 200
    start = time.perf_counter()
    assert not check(layers, (8, 32, 32)).problems
    assert time.perf_counter() - start < 0.5  # 6 ms on one core


def test_nesting_without_end_is_refused_and_not_followed() -> None:
    one = layer("relu")
    for _ in range(5000):
        one = residual(one)
    with pytest.raises(SpecError, match="nested more than 4 deep"):
        NetSpec("", (1, 4, 4), (one,))


# --- the parts of a net --------------------------------------------------------------------------------------------


def test_steps_name_their_places() -> None:
    spec = NetSpec("", (3, 8, 8), (residual(conv(3, 1), layer("relu"), shortcut=(conv(3, 1),)), layer("flatten")))
    assert [step.position for step in walk(spec.steps)] == [
        *((1,), (1, "body", 1), (1, "body", 2), (1, "shortcut", 1), (2,))
    ]


def test_labels_are_for_people() -> None:
    assert label(conv(8, 3)) == "Conv 3 × 3"
    assert label(layer("max_pool", kernel_size=(2, 1))) == "MaxPool 2 × 1"
    assert label(layer("reuse", of="norm")) == "Reuse of norm"
    assert label(layer("max_pool", kernel_size="big")) == "MaxPool"
