"""Nets made up at random, all of them sound."""

from typing import Any

from hypothesis import strategies as st

from cnnlab.nets.spec import ACTIVATIONS, LAYER_KINDS, LayerSpec, NetSpec, Shape, check, layer

# What nets are mostly made of, and what gives mistakes the most room.
_OFTEN = ("conv", "residual", "max_pool", "avg_pool", "batch_norm", "reuse", "linear", "conv", "residual")
_WIDEST = {"kernel_size": 4, "stride": 3, "padding": 2, "dilation": 2, "groups": 3, "output_size": 5}


def _values(kind: str, name: str) -> st.SearchStrategy[Any]:
    param = LAYER_KINDS[kind].param(name)
    assert param is not None
    least, most = int(param.minimum), _WIDEST.get(name, 12)
    match param.type:
        case "int":
            return st.integers(least, most)
        case "pair":
            return st.integers(least, most) | st.tuples(st.integers(least, most), st.integers(least, most))
        case "float":
            return st.just(param.default) | st.floats(max(param.minimum, 1e-6), min(param.maximum, 0.9))
        case "bool":
            return st.booleans()
        case _:
            return st.sampled_from(param.choices)


@st.composite
def _layers(draw: st.DrawFn, input_shape: Shape, depth: int, names: list[str]) -> list[LayerSpec]:
    """Layers that fit one after the other; what does not fit where it would stand is left out."""
    made: list[LayerSpec] = []
    shape = input_shape
    for _ in range(draw(st.integers(2, 7) if depth == 0 else st.integers(1, 3))):
        kind = draw(st.sampled_from(_OFTEN) | st.sampled_from(list(LAYER_KINDS)))
        if kind == "reuse":
            params: dict[str, Any] = {"of": draw(st.sampled_from(names))} if names else {}
        elif kind == "residual":
            params = draw(_residual(shape, depth)) if len(shape) == 3 and depth < 2 else {}
        else:
            params = {param.name: draw(_values(kind, param.name)) for param in LAYER_KINDS[kind].params}
        name = f"layer_{len(names)}" if kind != "reuse" and depth == 0 and draw(st.booleans()) else ""
        new = [layer(kind, name=name, **params)]
        if kind == "linear" and len(shape) == 3:
            new.insert(0, layer("flatten"))
        found = check([*made, *new], input_shape)
        if not found.problems:
            made += new
            names += [name] if name else []
            shape = found.steps[-1].out_shape
    return made or [layer("relu")]


@st.composite
def _residual(draw: st.DrawFn, shape: Shape, depth: int) -> dict[str, Any]:
    """A body of any kind, and the shortcut that it asks for."""
    body = draw(_layers(shape, depth + 1, []))
    out_shape = check(body, shape).steps[-1].out_shape
    shortcut: list[LayerSpec] = []
    if len(out_shape) == 1:
        shortcut = [layer("flatten"), layer("linear", out_features=out_shape[0])]
    elif out_shape != shape:
        shortcut = [
            layer("adaptive_avg_pool", output_size=out_shape[1:]),
            layer("conv", out_channels=out_shape[0], kernel_size=1),
        ]
    return {"body": body, "shortcut": shortcut, "activation": draw(st.sampled_from(["none", *ACTIVATIONS]))}


@st.composite
def specs(draw: st.DrawFn) -> NetSpec:
    """A net of a few layers on a small picture."""
    input_shape = (draw(st.integers(1, 4)), draw(st.integers(4, 12)), draw(st.integers(4, 12)))
    name = draw(st.text("abé 网\"'\\_-×#", max_size=12)).strip()
    layers = draw(_layers(input_shape, 0, []))
    return NetSpec(name, input_shape, tuple(layers))


def everything() -> NetSpec:
    """A net with a layer of each kind."""
    body = [layer("conv", out_channels=8, kernel_size=3, padding=1), layer("stochastic_depth")]
    return NetSpec(
        "One of each",
        (3, 16, 16),
        (
            layer("conv", out_channels=8, kernel_size=(3, 5), stride=(1, 2), padding=(1, 2), bias=False),
            layer("batch_norm", name="norm", eps=0.001),
            *(layer(key) for key in ACTIVATIONS),
            layer("conv", out_channels=8, kernel_size=3, padding=2, dilation=2, groups=4),
            layer("reuse", of="norm"),
            layer("residual", body=body),
            layer("residual", body=body, shortcut=[layer("conv", out_channels=8, kernel_size=1)], activation="relu"),
            layer("se", squeezed=2, activation="silu", gate="hardsigmoid"),
            layer("cbam", reduction=4),
            layer("group_norm", num_groups=4),
            layer("local_response_norm", size=3),
            layer("max_pool", kernel_size=3, stride=2, padding=1, ceil_mode=True),
            layer("avg_pool", kernel_size=2, stride=1, count_include_pad=False),
            layer("dropout2d", p=0.2),
            layer("adaptive_max_pool", output_size=(4, 3)),
            layer("adaptive_avg_pool", output_size=2),
            layer("flatten"),
            layer("batch_norm", affine=False),
            layer("dropout"),
            layer("linear", out_features=10),
        ),
    )


def longest() -> NetSpec:
    """400 layers as deep, and with as much to say about each, as is allowed."""
    wordy = {
        "out_channels": 1000,
        "groups": 1000,
        "kernel_size": (1, 2),
        "stride": (4000, 4001),
        "padding": (1000, 1001),
        "dilation": (1000, 1001),
        "bias": False,
    }
    layers = [layer("conv", name=f"{'n' * 26}{number:04}", **wordy) for number in range(396)]
    for _ in range(4):
        layers = [layer("residual", body=layers)]
    return NetSpec("Long", (1000, 1, 1), tuple(layers))
