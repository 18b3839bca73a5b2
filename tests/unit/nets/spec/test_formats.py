"""JSON and YAML: short, exact there and back, and proof against what people and attackers put in."""

import json
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnlab.nets.spec import (
    LAYER_KINDS,
    NetSpec,
    SpecError,
    from_json,
    from_plain,
    from_yaml,
    layer,
    to_json,
    to_plain,
    to_yaml,
)
from cnnlab.nets.spec.formats import MAX_TEXT
from tests.unit.nets.spec import generated

SMALL = NetSpec(
    "Tiny",
    (1, 28, 28),
    (
        layer("conv", out_channels=6, kernel_size=(5, 3), bias=False),
        layer("relu"),
        layer(
            "residual",
            body=[layer("conv", out_channels=6, kernel_size=3, padding=1), layer("tanh", name="bent")],
            activation="relu",
        ),
        layer("max_pool", kernel_size=3, stride=2),
        layer("reuse", of="bent"),
    ),
)
SMALL_JSON = """\
{
  "name": "Tiny",
  "input_shape": [1, 28, 28],
  "layers": [
    {"kind": "conv", "out_channels": 6, "kernel_size": [5, 3], "bias": false},
    "relu",
    {
      "kind": "residual",
      "body": [{"kind": "conv", "out_channels": 6, "kernel_size": 3, "padding": 1}, {"kind": "tanh", "name": "bent"}],
      "activation": "relu"
    },
    {"kind": "max_pool", "kernel_size": 3, "stride": 2},
    {"kind": "reuse", "of": "bent"}
  ]
}
"""
SMALL_YAML = """\
name: Tiny
input_shape: [1, 28, 28]
layers:
- {kind: conv, out_channels: 6, kernel_size: [5, 3], bias: false}
- relu
- kind: residual
  body:
  - {kind: conv, out_channels: 6, kernel_size: 3, padding: 1}
  - {kind: tanh, name: bent}
  activation: relu
- {kind: max_pool, kernel_size: 3, stride: 2}
- {kind: reuse, of: bent}
"""
READERS = pytest.mark.parametrize("read", [from_json, from_yaml])


def test_a_small_net_by_hand() -> None:
    assert from_json(SMALL_JSON) == SMALL
    assert from_yaml(SMALL_YAML) == SMALL
    assert to_yaml(SMALL) == SMALL_YAML
    assert to_json(SMALL) == SMALL_JSON


def test_every_kind_goes_there_and_back() -> None:
    spec = generated.everything()
    assert from_plain(to_plain(spec)) == from_json(to_json(spec)) == from_yaml(to_yaml(spec)) == spec


@settings(max_examples=100, deadline=None)
@given(generated.specs())
def test_there_and_back_is_the_same_net(spec: NetSpec) -> None:
    assert from_plain(to_plain(spec)) == from_json(to_json(spec)) == from_yaml(to_yaml(spec)) == spec
    assert yaml.safe_load(to_yaml(spec)) == json.loads(to_json(spec)) == to_plain(spec)


def test_the_longest_net_fits_into_a_file() -> None:
    spec = generated.longest()
    assert from_json(to_json(spec)) == from_yaml(to_yaml(spec)) == spec


@READERS
def test_nothing_but_a_spec_or_words_comes_out_of_hostile_text(read: Callable[[str], NetSpec]) -> None:
    deep = '{"kind": "residual", "body": [' * 60 + '"relu"' + "]}" * 60
    for text in (
        "",
        "\x00",
        "\ud800",
        "[" * 20_000,
        '{"layers":' * 10_000,
        "- " * 50_000,
        "9" * 5000,
        f'{{"input_shape": [1, 8, 8], "layers": [{deep}]}}',
        '{"input_shape": [1, 8, 8], "layers": [' + "1," * 10_000 + "1]}",
        '{"input_shape": [1, 8, 8], "layers": [{"kind": ["relu"]}, {"kind": "relu", "name": {}}]}',
        '{"input_shape": [1, 8, 8], "layers": [{"kind": "relu", "name": "\\ud800"}]}',
        '{"input_shape": [NaN, 8, 8], "layers": ["relu"]}',
    ):
        with pytest.raises(SpecError) as refusal:
            read(text)
        assert len(str(refusal.value)) < 3000


@READERS
@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=60) | st.text("{}[]:,-\"' \nabklnruse0123!&*|>.", max_size=60))
def test_any_text_gives_a_net_or_words(read: Callable[[str], NetSpec], text: str) -> None:
    with suppress(SpecError):
        assert isinstance(read(text), NetSpec)


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5000) | st.floats() | st.sampled_from([*LAYER_KINDS, "norm", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "name", "of", "body", "kernel_size", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(plain_values, max_size=4))
def test_any_data_gives_a_net_or_words(layers: list[object]) -> None:
    with suppress(SpecError):
        spec = from_plain({"input_shape": [2, 8, 8], "layers": layers})
        assert from_plain(to_plain(spec)) == spec


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (from_json, "{\n  'name': 1}", "Line 2, column 3: this is not JSON"),
        (from_json, '{"name": "a", "name": "b"}', "a key is given twice"),
        (from_json, "[]", "A net is a mapping with name, input_shape and layers; this is []."),
        (from_json, '{"layers": []}', "The net needs input_shape, a list. Channels, height and width: [3, 32, 32]."),
        (from_json, '{"input_shape": [1, 2, 3], "layers": {}}', "The net needs layers, a list."),
        (from_json, '{"input_shape": [1, 2, 3], "layers": [], "loss": 1}', "nothing called 'loss'"),
        (from_json, '{"input_shape": [1, 2, 3], "layers": [5]}', "Layer 1 is 5: give its kind"),
        (
            from_json,
            '{"input_shape": [1, 2, 3], "layers": [{"kind": "residual", "body": [{}]}]}',
            "Layer 1, body layer 1 is {}: give its kind",
        ),
        (from_json, '{"input_shape": [1, 2, 3], "layers": ["relu", "rleu"]}', "Layer 2 ('rleu') is of a kind"),
        (from_yaml, "name: [", "Line 1, column 8: this is not the YAML of a net"),
        (from_yaml, "layers:\n- &a relu\n- *a", "Line 3, column 3: this is not the YAML of a net (aliases and tags"),
        (from_yaml, "name: !!python/object/apply:os.system ['true']", "Line 1, column 7: this is not the YAML"),
        (from_yaml, "name: a\nname: b", "a key is given twice"),
        (from_yaml, "name: 2001-99-99", "This is not a net"),
        (from_yaml, "x" * (MAX_TEXT + 1), "150,001 characters; a net has up to 150,000."),
        (from_json, '{"input_shape": [1, 8, 8], "layers": [' + '"relu",' * 400 + '"relu"]}', "The net has 401 layers"),
    ],
)
def test_refusals_say_where_and_what(read: Callable[[str], NetSpec], text: str, says: str) -> None:
    with pytest.raises(SpecError) as refusal:
        read(text)
    assert says in str(refusal.value)


def test_small_numbers_can_be_written_without_a_dot() -> None:
    text = "{input_shape: [1, 8, 8], layers: [{kind: batch_norm, eps: 1e-3}]}"
    assert from_yaml(text).layers == (layer("batch_norm", eps=0.001),)


def test_an_alias_bomb_costs_nothing() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    start = time.perf_counter()
    with pytest.raises(SpecError, match="aliases"):
        from_yaml("\n".join(lines))
    assert time.perf_counter() - start < 1
