"""Pasted PyTorch code: what people write is taken, the rest is refused with its place, and nothing is ever run."""

import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnlab.nets.spec import LayerSpec, NetSpec, SpecError, from_pytorch, layer, to_pytorch
from cnnlab.nets.spec.kinds import TORCH_CLASSES
from tests.unit.nets.spec import generated


def conv(channels: int = 8, kernel: int = 3, **params: object) -> LayerSpec:
    return layer("conv", out_channels=channels, kernel_size=kernel, **params)


# --- what people write ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())",
        "model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())",
        "    model = nn.Sequential(\n        nn.Conv2d(3, 8, 3),\n        nn.ReLU(True),\n    )",
        "import torch\nnet: nn.Module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, (3, 3)), torch.nn.ReLU())",
        "from torch.nn import *\nSequential(Conv2d(in_channels=3, out_channels=8, kernel_size=3), ReLU(inplace=True))",
        "nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3)), nn.Identity(), nn.Sequential(nn.ReLU()))",
        'nn.Sequential(OrderedDict([("conv", nn.Conv2d(3, 8, 3)), ("act", nn.ReLU())]))',
        'nn.Sequential(collections.OrderedDict({"conv": nn.Conv2d(3, 8, 3), "act": nn.ReLU()}))',
        "width = 2 * 4\nmodel = nn.Sequential(nn.Conv2d(3, width, 9 // 3), nn.ReLU())\nepochs = 5",
        "features = nn.Sequential(nn.Conv2d(3, 8, 3))\nmodel = nn.Sequential(features, nn.ReLU())",
        "nn.Sequential(nn.Conv2d(3, 8, 3, 1, 0, 1, 1, True, 'zeros'), nn.ReLU())",
        "nn.Sequential(nn.Conv2d(3, 8, 3, padding='valid', device='cpu'), nn.ReLU())",
    ],
)
def test_the_same_net_in_other_words(code: str) -> None:
    assert from_pytorch(code, (3, 9, 9)) == NetSpec("", (3, 9, 9), (conv(), layer("relu")))


def test_a_tutorials_net() -> None:
    code = """
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding='same'), nn.BatchNorm2d(32), nn.LeakyReLU(0.2), nn.MaxPool2d(2, 2),
        nn.Dropout2d(p=0.25),
        nn.Flatten(),
        nn.Linear(32 * 14 * 14, 128), nn.BatchNorm1d(128), nn.ReLU(),
        nn.Linear(128, 10),
    )
    """
    assert from_pytorch(code, (1, 28, 28)).layers == (
        conv(32, padding=1),
        layer("batch_norm"),
        layer("leaky_relu", negative_slope=0.2),
        layer("max_pool", kernel_size=2),
        layer("dropout2d", p=0.25),
        layer("flatten"),
        layer("linear", out_features=128),
        layer("batch_norm"),
        layer("relu"),
        layer("linear", out_features=10),
    )


def test_a_variable_used_twice_is_one_layer_with_one_set_of_weights() -> None:
    code = "norm = nn.BatchNorm2d(3)\nmodel = nn.Sequential(norm, nn.ReLU(), norm)"
    assert from_pytorch(code, (3, 4, 4)).layers == (
        layer("batch_norm", name="norm"),
        layer("relu"),
        layer("reuse", of="norm"),
    )


def test_a_part_used_twice_shares_each_of_its_layers() -> None:
    code = "part = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())\nmodel = nn.Sequential(part, part)"
    assert from_pytorch(code, (3, 4, 4)).layers == (
        *(conv(3, 1, name="conv_1"), layer("relu"), layer("reuse", of="conv_1"), layer("relu")),
    )


def test_names_that_no_layer_can_have_are_left_out() -> None:
    code = "Conv = nn.Conv2d(3, 3, 1)\nmodel = nn.ReLU()\nmodel = nn.Sequential(Conv, model, Conv)"
    assert [one.name for one in from_pytorch(code, (3, 4, 4)).layers] == ["conv_1", "", ""]


def test_a_variable_bound_anew_names_the_first_layer_alone() -> None:
    code = "x = nn.ReLU()\na = nn.Sequential(x)\nx = nn.Tanh()\nx = nn.GELU()\nmodel = nn.Sequential(a, x)"
    assert from_pytorch(code, (3, 4, 4)).layers == (layer("relu", name="x"), layer("gelu"))


def test_blocks_are_read_with_and_without_their_classes() -> None:
    block = layer("residual", body=[conv(4, 1)], shortcut=[conv(4, 1)], activation="relu")
    spec = NetSpec("", (3, 4, 4), (block, layer("se", squeezed=2, activation="silu"), layer("cbam", reduction=2)))
    source = to_pytorch(spec)
    assert from_pytorch(source, spec.input_shape) == spec
    assert from_pytorch(source[source.index("model =") :], spec.input_shape) == spec
    code = "Residual(nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.ReLU())"
    assert from_pytorch(code, (3, 4, 4)).layers == (block,)


def test_a_line_of_text_at_the_top_is_the_name() -> None:
    assert from_pytorch('"""Döner \\"net\\" \\\\"""\nnn.ReLU()', (1, 4, 4)).name == 'Döner "net" \\'
    assert from_pytorch('"""Two\nlines"""\nnn.ReLU()', (1, 4, 4)).name == ""


# --- numbers that do not fit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "nn.Sequential(\n  nn.Conv2d(1, 8, 3),\n)",
            "Line 2: Layer 1 (Conv 3 × 3) has in_channels 1, but a map of 3 × 9 × 9 arrives. Write 3.",
        ),
        (
            "nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(16))",
            "Layer 2 (BatchNorm) has num_features 16, but a map of 8 × 7 × 7 arrives. Write 8.",
        ),
        (
            "nn.Sequential(nn.Flatten(), nn.Linear(27 * 10, 5))",
            "Layer 2 (Linear) has in_features 270, but 243 values arrive. Write 243.",
        ),
        ("nn.Sequential(nn.BatchNorm1d(3))", "is a BatchNorm1d, but 3 × 9 × 9 arrive. Write BatchNorm2d."),
        ("nn.Sequential(nn.Flatten(), nn.BatchNorm2d(243))", "243 values arrive. Write BatchNorm1d."),
        (
            "Residual(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(3, 3, 1)))",
            "Layer 1 (Residual), body layer 2 (Conv 1 × 1) has in_channels 3, but a map of 4 × 9 × 9 arrives.",
        ),
        ("nn.Sequential(nn.ReLU(), nn.MaxPool2d(20))", "Line 1: Layer 2 (MaxPool 20 × 20) gets 3 × 9 × 9"),
        ("nn.Sequential(nn.Conv2d(3, 8))", "needs kernel_size"),
        ("r = Residual(nn.ReLU())\nnn.Sequential(r, r)", "only single layers can be used again"),
    ],
)
def test_numbers_that_do_not_fit_are_named_with_those_that_do(code: str, says: str) -> None:
    with pytest.raises(SpecError) as refusal:
        from_pytorch(code, (3, 9, 9))
    assert says in str(refusal.value)


def test_each_wrong_number_is_found() -> None:
    code = "nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(9, 8, 3), nn.Flatten(), nn.Linear(1, 2))"
    with pytest.raises(SpecError) as refusal:
        from_pytorch(code, (3, 9, 9))
    assert [problem.position for problem in refusal.value.problems] == [(1,), (2,), (4,)]


# --- what is not taken ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "nn.Sequential(\n  nn.Conv3d(3, 8, 3))",
            "Line 2, column 3: 'Conv3d' is not among the layers here. These are:",
        ),
        ("nn.Sequential(nn.Softmax(dim=1))", "nets here end in logits"),
        ("nn.Sequential(nn.ReLU(), 5)", "Line 1, column 1: layers stand here, such as nn.ReLU()."),
        ("nn.Sequential(*layers)", "Line 1, column 15: layers, numbers and names bound before are read here."),
        ("nn.Sequential(relu)", "Line 1, column 15: 'relu' was not bound to anything before."),
        ("nn.Sequential(F.relu)", "was not bound to anything before."),
        ("nn.Sequential(nn.ReLU)", "layers stand here"),
        ("nn.Sequential(a=nn.ReLU())", "without names"),
        (
            "model = nn.Sequential(nn.ReLU())\nmodel.to('cpu')",
            "Line 2, column 1: layers of torch.nn can be called here",
        ),
        ("model = nn.Sequential(nn.ReLU())\nprint(model)", "'print' is not among the layers"),
        ("for _ in range(3):\n  pass", "Line 1, column 1: lines import, bind a layer or a number to a name"),
        ("class Net(nn.Module):\n  pass", "the class 'Net' runs code of its own, which is not read here."),
        ("class Residual(nn.Module):\n  pass", "this Residual is not the one that the lab writes."),
        ("x = 5", "The code builds no net. End it with model = nn.Sequential(…)."),
        ("", "The code builds no net."),
        ("nn.Sequential(", "Line 1, column 14: this is not Python ('(' was never closed)."),
        ("a\0b", "is not Python"),
        ("nn.Conv2d(3, 8, 3, dilate=2)", "Line 1, column 27: Conv2d has no argument 'dilate'; it takes in_channels,"),
        ("nn.Conv2d(3, 8, 3, kernel_size=3)", "Conv2d is given kernel_size twice."),
        ("nn.Conv2d(3, 8, 3, **{})", "Conv2d has no argument None"),
        ("nn.ReLU(True, False)", "ReLU has 2 arguments; it takes inplace."),
        ("nn.Conv2d(out_channels=8, kernel_size=3)", "Conv2d needs in_channels."),
        ("nn.Conv2d(3, 8, 3, padding_mode='circular')", "the lab takes padding_mode='zeros' only."),
        ("nn.Conv2d(3, 8, 3, bias=None)", "Conv2d has bias=None; give it a value."),
        ("nn.Conv2d(3, 8, 3, stride=2, padding='same')", "which PyTorch refuses"),
        ("nn.Conv2d(3, 8, 4, padding='same')", "with an even kernel"),
        ("nn.Conv2d(3, nn.ReLU(), 3)", "Conv2d takes a number for out_channels, not a layer."),
        ("nn.Conv2d(3, 8 / 0, 3)", "this divides by zero."),
        ("nn.Conv2d(3, 2 ** 9, 3)", "layers, numbers and names bound before are read here."),
        ("nn.Conv2d(3, 9999999 * 9999999 * 9999999, 3)", "larger than anything in a net"),
        ("nn.Conv2d(3, 9999999999999, 3)", "Line 1, column 14: this number is larger than anything in a net."),
        ("x = 0xE8D4A51001\nnn.Conv2d(3, 8, x)", "Line 1, column 5: this number is larger than anything in a net."),
        (
            "a = (1, 1)\nnn.Conv2d(3, 8, (a, a))",
            "Line 2, column 17: brackets hold up to 4 numbers here, such as (3, 3).",
        ),
        ("nn.Conv2d(3, 8, (3, 3, 3, 3, 3))", "brackets hold up to 4 numbers"),
        ("nn.Conv2d(3, 8, ('3', 3))", "brackets hold up to 4 numbers"),
        ("nn.Sequential([nn.ReLU()])", "Layers stand one after the other in nn.Sequential(…)."),
        ("nn.Conv2d(3, 'a' * 9, 3)", "numbers alone can be calculated with."),
        ("nn.Conv2d(3, [1] * 9, 3)", "numbers alone can be calculated with."),
        ("nn.Conv2d(3, True + 1, 3)", "numbers alone can be calculated with."),
        (
            "SqueezeExcitation(3, 2, activation=nn.SiLU())",
            "takes the class of an activation, such as activation=nn.SiLU.",
        ),
        ("SqueezeExcitation(3, 2, gate=nn.Conv2d)", "takes the class of an activation"),
        ("Residual(nn.ReLU(), None, nn.ReLU)", "the activation of a Residual is a layer such as nn.ReLU()."),
        ("Residual(nn.ReLU(), None, nn.ELU(2.0))", "the activation of a block takes no settings."),
        ("nn.Sequential(OrderedDict(a=nn.ReLU()))", "OrderedDict takes a list of pairs"),
        ("é = 1; nn.Sequential(5)", "Line 1, column 8: layers stand here"),
        ("x" * 200_001, "The code has 200,001 characters; up to 200,000 are read."),
    ],
)
def test_what_is_not_taken_is_refused_with_its_place(code: str, says: str) -> None:
    with pytest.raises(SpecError) as refusal:
        from_pytorch(code, (3, 9, 9))
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    "code",
    [
        "__import__('pathlib').Path({path!r}).touch()",
        "x = [c for c in ().__class__.__base__.__subclasses__()]",
        "nn.Sequential((lambda: open({path!r}, 'w'))())",
        "nn.Conv2d(3, open({path!r}, 'w'), 3)",
        "nn.Sequential.__init__.__globals__['os'].system('true')",
        "f'{{open({path!r}, \"w\")}}'\nnn.ReLU()",
        "@open({path!r}, 'w')\nclass Residual: pass",
        "import os; os.mkdir({path!r})",
    ],
)
def test_nothing_is_run(code: str, tmp_path: Path) -> None:
    path = tmp_path / "made"
    with pytest.raises(SpecError):
        from_pytorch(code.format(path=str(path)), (3, 9, 9))
    assert not path.exists()


HOSTILE = {
    "signs": "-" * 99_000 + "1",
    "brackets": "(" * 50_000,
    "sum": "1" + "+1" * 49_000,
    "dots": "a" + ".b" * 49_000,
    "nots": "not " * 24_000 + "1",
    "lambdas": "lambda:" * 14_000 + "1",
    "calls": "a" + "()" * 49_000,
    "choices": "1 if 1 else " * 8000 + "1",
    "powers": "1" + "**1" * 33_000,
    "comparisons": "a" + "<a" * 49_000,
    "branches": "if a:\n pass\n" + "elif b:\n pass\n" * 6000,
    "digits": "9" * 5000,
    "hexadecimal": f"nn.Conv2d(3, 0x{'F' * 5000}, 3)",
    "binary": f"nn.Conv2d(3, 8, (-0b{'1' * 50_000}, 1))",
    "tuples of tuples": "a=(1,1)\n" + "a=(a,a)\n" * 100 + "nn.Conv2d(3,8,a)",
    "long tuple": f"nn.Conv2d(3, 8, ({'1,' * 90_000}))",
    "surrogates": "'\ud800'",
    "nested": "nn.Sequential(" * 60 + "nn.ReLU()" + ")" * 60,
    "class": "class Residual:\n x=" + "-" * 900 + "1",
    "class of dots": "class Residual:\n x = a" + ".b" * 2500,
    "doubling": "a0=nn.ReLU()\n" + "".join(f"a{n}=nn.Sequential(a{n - 1},a{n - 1})\n" for n in range(1, 400)),
    "doubling blocks": "a0=nn.ReLU()\n"
    + "".join(f"a{n}=Residual(nn.Sequential(a{n - 1},a{n - 1}))\n" for n in range(1, 400)),
}


@pytest.mark.parametrize("code", HOSTILE.values(), ids=HOSTILE)
def test_hostile_code_costs_little_and_gives_words(code: str) -> None:
    start = time.perf_counter()
    with pytest.raises(SpecError) as refusal:
        from_pytorch(code, (3, 9, 9))
    assert time.perf_counter() - start < 5  # 0.3 s at most on one quiet core
    assert len(str(refusal.value)) < 1000


WORDS = [*(f"nn.{name}" for name in TORCH_CLASSES), "nn.Sequential", "Residual", "x", "model", "=", "(", ")", ",", "\n"]
WORDS += ["[", "]", "1", "3", "8", "'same'", "padding", "body", "-", "*", "**", "//", "None", "True", "class", ":", "."]


@settings(max_examples=300)
@given(st.text(max_size=80) | st.lists(st.sampled_from(WORDS), max_size=25).map("".join))
def test_any_text_gives_a_net_or_words(code: str) -> None:
    with suppress(SpecError):
        assert isinstance(from_pytorch(code, (3, 9, 9)), NetSpec)


@settings(max_examples=100)
@given(generated.specs(), st.data())
def test_damaged_code_gives_a_net_or_words(spec: NetSpec, data: st.DataObject) -> None:
    source = to_pytorch(spec)
    source = source[source.index("model =") :]
    at = data.draw(st.integers(0, len(source)))
    length = data.draw(st.integers(0, 5))
    put = data.draw(st.text("()[],.0123=\n nabx'", max_size=4))
    with suppress(SpecError):
        assert isinstance(from_pytorch(source[:at] + put + source[at + length :], spec.input_shape), NetSpec)
