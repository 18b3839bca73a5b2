"""JSON and YAML: short, exact there and back, and proof against what people and attackers put in."""

import datetime
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
    LayerSpec,
    NetSpec,
    SpecError,
    check,
    from_json,
    from_plain,
    from_yaml,
    layer,
    layer_to_plain,
    layers_from_yaml,
    layers_to_yaml,
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


@settings(max_examples=100)
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
@settings(max_examples=150)
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


@settings(max_examples=200)
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


@READERS
@pytest.mark.parametrize(
    "number", ["1" * 14, "9" * 5000, "0x" + "F" * 5000, "-0b" + "1" * 5000, "0" + "7" * 5000, "1" + ":59" * 5000]
)
@pytest.mark.parametrize(
    "text",
    [
        '{{"input_shape": [1, 8, 8], "layers": [{{"kind": "conv", "out_channels": {}, "kernel_size": 3}}]}}',
        '{{"input_shape": [1, 8, {}], "layers": ["relu"]}}',
        '{{"name": {}, "input_shape": [1, 8, 8], "layers": ["relu"]}}',
        "{}",
    ],
)
def test_numbers_of_any_length_are_refused_with_words(read: Callable[[str], NetSpec], number: str, text: str) -> None:
    with pytest.raises(SpecError) as refusal:
        read(text.format(number))
    assert len(str(refusal.value)) < 300


def test_a_number_larger_than_anything_in_a_net_is_said_to_be_that() -> None:
    text = '{"input_shape": [1, 8, 9999999999999], "layers": ["relu"]}'
    with pytest.raises(SpecError, match="This is not a net: a number is larger than anything in a net"):
        from_json(text)
    with pytest.raises(SpecError, match=r"Line 1, column 24: .*\(a number is larger than anything in a net\)"):
        from_yaml(text)


def test_a_name_that_looks_like_a_number_stays_a_name() -> None:
    spec = NetSpec("1e5", (1, 4, 4), (layer("relu"),))
    assert from_yaml(to_yaml(spec)) == spec


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


# --- drafts ---------------------------------------------------------------------------------------------------------

DRAFT = """\
- foo
- {kind: bar, name: 5, x: [1, null]}
- {kind: conv, foo: 1}
- {kind: conv, out_channels: many, kernel_size: [1, 2, 3], bias: 1}
- {kind: residual, body: 5}
- kind: residual
  body:
  - foo
  - {kind: max_pool, stride: 2}
  shortcut: conv
"""


def test_what_no_layer_takes_is_kept_in_a_draft_as_it_was_written() -> None:
    assert layers_to_yaml(layers_from_yaml(DRAFT)) == DRAFT
    assert [layer_to_plain(one) for one in layers_from_yaml(DRAFT)] == yaml.safe_load(DRAFT)


def test_a_body_that_is_no_list_of_layers_can_be_edited() -> None:
    (block,) = layers_from_yaml("- {kind: residual, body: 5}")
    with pytest.raises(SpecError, match="Layers are a list"):
        layers_from_yaml(layers_to_yaml(block["body"]))


def test_a_fault_that_equals_the_usual_value_is_not_lost() -> None:
    conv = layer("conv", out_channels=1, kernel_size=1, stride=True, padding=[None, None])
    assert layer_to_plain(conv) == {
        "kind": "conv",
        "out_channels": 1,
        "kernel_size": 1,
        "stride": True,
        "padding": [None, None],
    }


def test_a_value_that_stands_in_two_layers_is_written_twice() -> None:
    (one,) = layers_from_yaml("- {kind: foo, x: [1, 2]}")
    assert layers_to_yaml([one, one]) == "- {kind: foo, x: [1, 2]}\n" * 2


nonsense = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([1e15, "1e5", "<<", "=", "null", "0x1F", "a: b", "- a", "#", *LAYER_KINDS])
    | st.text(max_size=4)
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(datetime.timezone(datetime.timedelta(hours=-5)))),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), inner, max_size=2)
    ),
    max_leaves=5,
)


@st.composite
def nonsense_layers(draw: st.DrawFn, depth: int = 0) -> object:
    """A layer of any kind, with nonsense in parameters that it has and does not have, and layers in its parts."""
    kind = draw(st.sampled_from([*LAYER_KINDS, "residual", "conv", "max_pool"]) | st.text(max_size=4))
    known = [param.name for param in LAYER_KINDS[kind].params] if kind in LAYER_KINDS else []
    inside = st.lists(nonsense_layers(depth + 1), max_size=3) if depth < 6 else nonsense
    fields = draw(st.dictionaries(st.sampled_from([*known, "name", "x", "kind"]), nonsense | inside, max_size=4))
    return draw(st.sampled_from([{**fields, "kind": kind}, {"kind": kind, **fields}, kind]))


@settings(max_examples=120)
@given(st.lists(nonsense_layers() | nonsense, max_size=4))
def test_any_draft_goes_there_and_back_or_is_refused_with_words(plain: list[object]) -> None:
    with suppress(SpecError):
        layers = layers_from_yaml(yaml.safe_dump(plain))
        # As written, because NaN is not equal to itself.
        assert repr(layers_from_yaml(layers_to_yaml(layers))) == repr(layers)
        assert check(layers, (3, 8, 8)).problems or NetSpec("", (3, 8, 8), layers)


@settings(max_examples=200)
@given(st.text("{}[]:,-\"' \nabkln0123xe!&*|>.<=?_", max_size=60).map("- {}".format))
def test_any_text_gives_a_draft_or_words(text: str) -> None:
    with suppress(SpecError):
        layers = layers_from_yaml(text)
        assert repr(layers_from_yaml(layers_to_yaml(layers))) == repr(layers)


def test_a_draft_has_as_many_layers_as_a_net_nested_ones_counted() -> None:
    body = f"- {{kind: residual, body: [{', '.join(['relu'] * 199)}]}}\n"
    layers = layers_from_yaml(body * 2)
    assert layers == (layer("residual", body=[layer("relu")] * 199),) * 2
    assert all(isinstance(one, LayerSpec) for one in layers)
    for text in (body * 2 + "- relu", "- relu\n" * 401):
        with pytest.raises(SpecError, match="The net has 401 layers, nested ones counted; the lab takes up to 400"):
            layers_from_yaml(text)


def test_a_draft_nested_without_end_is_refused() -> None:
    with pytest.raises(SpecError, match="nested more than 50 deep"):
        layers_from_yaml("- {kind: foo, x: " + "[" * 60 + "]" * 60 + "}")
