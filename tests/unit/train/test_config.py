import dataclasses
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnlab.data import Augment, Step
from cnnlab.errors import InputRejected
from cnnlab.nets.spec import NetSpec, layer
from cnnlab.train import config as module
from cnnlab.train.config import OWN_PICTURES, TrainConfig

OWN = NetSpec("Own", (1, 28, 28), (layer("flatten"), layer("linear", out_features=10)))


def between(name):
    low, high = (module._RANGES | module._OPTIONAL_RANGES)[name]
    if name in module._WHOLE:
        return st.integers(int(low), int(high))
    return st.floats(low, high, allow_nan=False)


numbers = st.fixed_dictionaries(
    {},
    optional={name: between(name) for name in module._RANGES}
    | {name: st.none() | between(name) for name in module._OPTIONAL_RANGES}
    | {name: st.sampled_from([*table]) for name, table in module._CHOICES.items()}
    | {
        "net": st.sampled_from(["lenet5", "resnet_cifar", OWN, dataclasses.replace(OWN, name="1e-3")]),
        "augment": st.sampled_from([Augment(), Augment((Step("flip"), Step("cutout", {"side": 0.5})))]),
        "compile": st.booleans(),
        "start_from": st.sampled_from(["weights:lenet5", "run:abcdefgh12@0"]),
        "freeze_to": st.sampled_from(["features", "1e-3", "null", "0.weight: ["]),
    },
)


data = st.sampled_from(
    [
        {},
        {"data": "cifar10"},
        {"data": OWN_PICTURES},
        {"data_choices": {"side": 32}},
        {"data": "shapes", "data_choices": {"count": 90, "objects": 2}},
    ]
)


@given(numbers, data)
@settings(max_examples=60)
def test_what_was_written_down_is_read_back(chosen, data):
    config = TrainConfig(**chosen, **data)
    assert TrainConfig.from_data(config.to_data()) == config
    assert TrainConfig.from_data(json.loads(json.dumps(config.to_data()))) == config
    assert TrainConfig.from_yaml(config.to_yaml()) == config


def test_nothing_said_is_the_default():
    assert TrainConfig.from_data({}) == TrainConfig()


def test_yaml_says_what_differs_and_what_people_look_for():
    said = TrainConfig(epochs=9).to_yaml().splitlines()
    assert said == [
        "net: lenet5",
        "data: digits",
        "seed: 0",
        "epochs: 9",
        "batch_size: 64",
        "optimizer: sgd",
        "lr: 0.05",
    ]


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.001", "1.0e-3", "+1e-3"])
def test_a_learning_rate_may_be_written_as_people_write_it(text):
    assert TrainConfig.from_yaml(f"lr: {text}").lr == 0.001


@pytest.mark.parametrize(("name", "bounds"), [*module._RANGES.items(), *module._OPTIONAL_RANGES.items()])
def test_the_ends_of_a_range_are_accepted_and_what_is_beyond_is_not(name, bounds):
    low, high = bounds
    for value in (low, high):
        assert getattr(TrainConfig(**{name: value}), name) == value
    beyond = [low - 1, high + 1] if name in module._WHOLE else [low - 1e-9, high * 1.001]
    for value in beyond:
        with pytest.raises(InputRejected, match=f"{name} must be from"):
            TrainConfig(**{name: value})


@pytest.mark.parametrize("name", [*module._RANGES, *module._OPTIONAL_RANGES, *module._CHOICES])
def test_what_is_no_number_or_no_choice_is_rejected_in_words(name):
    for value in ("1", True, float("nan"), float("inf"), [1], {"sgd": 1}, {"sgd"}, 10**400, b"x"):
        with pytest.raises(InputRejected, match=rf"^{name} must be"):
            TrainConfig(**{name: value})


@pytest.mark.parametrize("name", sorted(module._WHOLE))
def test_half_a_picture_is_rejected(name):
    with pytest.raises(InputRejected, match="whole number"):
        TrainConfig(**{name: 5.5})


@pytest.mark.parametrize(
    "chosen",
    [
        {"net": "no such net"},
        {"net": 5},
        {"net": None},
        {"data": "no such data"},
        {"data": ["digits"]},
        {"channels_last": 1},
        {"compile": None},
        {"start_from": "weights:../../etc/passwd"},
        {"start_from": "run:abcdefgh/../x@1"},
        {"start_from": "run:abcdefgh@"},
        {"start_from": "weights:lenet5\n"},
        {"start_from": None},
        {"teacher": "somebody"},
        {"freeze_to": 3},
        {"nesterov": True, "optimizer": "adam"},
        {"nesterov": True, "momentum": 0},
        {"teacher": "weights:lenet5", "augment": Augment((Step("mixup"),))},
    ],
    ids=str,
)
def test_nonsense_and_contradictions_are_rejected(chosen):
    with pytest.raises(InputRejected):
        TrainConfig(**chosen)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"data_choices": {"side": 30}}, "side of 'digits' must be a whole number of [28, 32], got 30"),
        ({"data_choices": {"side": 28.0}}, "got 28.0"),
        ({"data_choices": {"side": [28]}}, "got [28]"),
        ({"data": "shapes", "data_choices": {"count": True}}, "got True"),
        ({"data": "shapes", "data_choices": {"count": 10**9}}, "count of 'shapes' must be a whole number from"),
        ({"data_choices": {"size": 28}}, "'digits' takes side, got 'size'"),
        ({"data_choices": {1: 28}}, "'digits' takes side, got 1"),
        ({"data": "cifar10", "data_choices": {"side": 32}}, "'cifar10' takes no choices, got 'side'"),
        ({"data": OWN_PICTURES, "data_choices": {"side": 32}}, "'pictures' takes no choices, got 'side'"),
        ({"data_choices": 5}, "must be names with whole numbers, got 5"),
    ],
    ids=str,
)
def test_what_a_data_set_does_not_let_one_choose_is_rejected_in_words(chosen, words):
    with pytest.raises(InputRejected, match=re.escape(words)):
        TrainConfig(**chosen)


def test_the_largest_seed_is_the_largest_whole_number_that_a_browser_tells_from_the_next():
    assert float(TrainConfig(seed=2**53 - 1).seed) != float(2**53)
    with pytest.raises(InputRejected, match="seed must be from 0 to 9007199254740991, got 9007199254740992"):
        TrainConfig(seed=2**53)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "lenet5",
        {"epoch": 3},
        {1: 2},
        {"net": None},
        {"net": []},
        {"net": {"layers": []}},
        {"data": None},
        {"data_choices": [1]},
        {"data_choices": {"side": "64"}},
        {"augment": {"no such": {}}},
        {"augment": [{"flip": {"probability": float("nan")}}]},
        {"augment": [[]]},
    ],
    ids=str,
)
def test_data_that_is_no_configuration_is_rejected(data):
    with pytest.raises(InputRejected):
        TrainConfig.from_data(data)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("lr: [", "no YAML"),
        ("? [a]\n: b", "no YAML"),
        ("\x00", "no YAML"),
        ("lr: 2020-99-99", "no YAML"),
        ("lr: !!python/object/apply:os.system [id]", "no YAML"),
        ("optimizer: !!set {sgd}", "optimizer must be"),
        ("seed: &a 1\nepochs: *a", "refers to itself"),
        ("a: " + "[" * 100_000, "nested"),
        ("{" * 100_000, "nested"),
        ("epochs: " + ":".join("1" * 90_000), "longer"),
        ("epochs: 0x" + "f" * 190_000, "longer"),
        ("epochs: " + "9" * 5_000, "longer"),
        ("x" * 200_001, "characters"),
        ("", "list of names"),
        ("lr: ''", "lr must be"),
    ],
    ids=lambda text: text[:20],
)
def test_hostile_and_broken_yaml_is_refused_in_words_and_soon(text, reason):
    with pytest.raises(InputRejected, match=reason) as caught:
        TrainConfig.from_yaml(text)
    assert len(str(caught.value)) < 1500


def test_a_billion_laughs_are_refused():
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    with pytest.raises(InputRejected, match="refers to itself"):
        TrainConfig.from_yaml("\n".join(lines))


def test_nets_have_the_names_that_people_know():
    assert TrainConfig(net="lenet5").net_name == "LeNet-5"
    assert TrainConfig(net=OWN).net_name == "Own"
    assert TrainConfig(net=dataclasses.replace(OWN, name="")).net_name == "Net of your own"
