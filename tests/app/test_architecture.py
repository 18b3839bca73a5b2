"""The architecture explorer without a browser: its numbers, its links, and its answers to nonsense."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import nn

from cnnlab.images import load_sample
from cnnlab.nets import ARCHITECTURES, build_seeded, load_weights, weights_for
from cnnlab.nets.spec import from_yaml

Opened = Callable[..., AppTest]
TABS = (
    "Layer by layer",
    "Feature maps",
    "What a unit sees",
    "Build your own",
    "Compare",
    "Why convolutions",
    "Through the years",
    "As text",
)


@pytest.fixture
def opened(opened: Callable[..., AppTest]) -> Callable[..., AppTest]:
    """Open a page with a net that is small enough to be counted by hand."""
    return lambda key, **link: opened(key, **{"net": "tiny_vgg"} | link)


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def words(elements: Iterable[Any]) -> str:
    """What people read, with the backslashes before punctuation taken out."""
    return "\n".join(re.sub(r"\\(.)", r"\1", element.value) for element in elements)


def keyed(elements: Iterable[Any], key: str) -> Any:
    return next(element for element in elements if element.key == key)


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    return app.run()


def is_sound(app: AppTest) -> None:
    assert not app.exception
    assert "Something broke" not in words(app.error)


# LeNet-5: 156 + 2,416 + 48,120 + 10,164 + 850. In colour: 168 + 880 + 69,240 + 10,164 + 850. The others: torchvision.
COUNTS = {
    "tiny_vgg": 280 + 3 * 910 + 16_910,
    "lenet5": 61_706,
    "image_classification": 81_302,
    "resnet18": 11_689_512,
    "alexnet": 61_100_840,
}


@pytest.mark.parametrize("net", COUNTS)
def test_parameters_are_those_worked_out_by_hand_or_published(opened: Opened, net: str) -> None:
    assert metrics(opened("architecture", net=net))["Parameters"] == f"{COUNTS[net]:,}"


@pytest.mark.parametrize("net", ARCHITECTURES)
def test_every_net_of_the_table_is_described(opened: Opened, net: str) -> None:
    app = opened("architecture", net=net)
    is_sound(app)
    assert not app.error
    assert not app.info
    assert keyed(app.selectbox, "architecture.pick").value == net
    layers = app.dataframe[0].value
    assert f"{layers['parameters'].sum():,}" == metrics(app)["Parameters"]


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("link", [{}, {"net": "mlp"}, {"net": "alexnet", "size": "1"}, {"layer": "4", "seed": "3"}])
def test_every_tab_is_drawn_also_for_nets_without_maps_and_nets_that_fail(
    opened: Opened, tab: str, link: dict[str, str]
) -> None:
    is_sound(opened("architecture", tab=tab, **link))


def test_other_channels_and_classes_change_first_and_last_layer_alone(opened: Opened) -> None:
    # 3·3·1·10 + 10 = 100 in place of 280; 1,690·5 + 5 = 8,455 in place of 16,910.
    assert metrics(opened("architecture", channels="1"))["Parameters"] == "19,740"
    assert metrics(opened("architecture", classes="5"))["Parameters"] == "11,465"


MISFITS = [
    ("alexnet", 32, "features.12 (MaxPool2d) cannot work on 256 × 1 × 1", "It takes 63 px and more.", 63),
    ("vgg16_cifar", 64, "classifier.1 (Linear) cannot work on 2,048", "It takes 32 to 63 px.", 63),
    ("vgg16_cifar", 31, "needs at least 2 × 2 px", "It takes 32 to 63 px.", 32),
    ("mlp", 30, "expects 784 numbers a picture, 900 arrive", "It takes 28 px and no other.", 28),
]


@pytest.mark.parametrize(("net", "side", "reason", "taken", "nearest"), MISFITS)
def test_a_size_that_does_not_fit_is_explained_and_the_nearest_offered(
    opened: Opened, net: str, side: int, reason: str, taken: str, nearest: int
) -> None:
    app = opened("architecture", net=net, size=str(side))
    assert reason in words(app.error)
    assert taken in words(app.markdown)
    press(app, f"Set {nearest} px")
    assert not app.error
    assert keyed(app.slider, "architecture.slider").value == nearest
    assert "Parameters" in metrics(app)


def reference_logits(sample: str) -> np.ndarray:
    model = build_seeded("tiny_vgg", seed=0)
    weights = next(iter(weights_for("tiny_vgg").values()))
    load_weights(model, weights)
    x_chw = weights.preprocessing.apply(load_sample(sample))
    with torch.no_grad():
        return model(torch.from_numpy(x_chw)[None])[0].numpy()


def test_the_ending_is_the_softmax_of_the_trained_nets_own_logits(opened: Opened) -> None:
    weights = next(iter(weights_for("tiny_vgg").values()))
    seen = []
    for sample in ("cat", "rocket"):
        app = opened("architecture", image=sample, tab="Feature maps")
        table = app.dataframe[0].value
        expected = dict(zip(weights.classes, reference_logits(sample), strict=True))
        assert dict(zip(table["class"], table["logit"], strict=True)) == pytest.approx(expected, abs=1e-3)
        assert sum(table["probability"]) == pytest.approx(100, abs=1e-3)
        shares = [100 * one / sum(table["exp"]) for one in table["exp"]]
        assert list(table["probability"]) == pytest.approx(shares, abs=1e-3)
        assert f"Weights {weights.label}: {weights.accuracy}" in words(app.caption)
        seen.append(table["class"][0])
    assert len(set(seen)) == 2


def test_a_seed_gives_the_same_random_net_to_everybody(opened: Opened) -> None:
    def logits(seed: str) -> dict[str, float]:
        app = opened("architecture", weights="random", seed=seed, tab="Feature maps")
        assert f"random weights, seed {seed}" in words(app.sidebar.markdown)
        assert f"Random weights, seed {seed}: what the net says means nothing yet" in words(app.caption)
        table = app.dataframe[0].value
        return dict(zip(table["class"], table["logit"], strict=True))

    assert logits("5") == logits("5")
    assert logits("5") != logits("6")


# Size and step by hand: 3, then 5, pooling 6 with step 2, then 10, 14, pooling 16 with step 4.
WINDOWS = [
    ("tiny_vgg", "0", "5,7", "Rows 5–7, columns 7–9 of 64 × 64 px; in theory 3 × 3 px, with a step of 1 × 1 px"),
    ("tiny_vgg", "4", "3,0", "Rows 6–11, columns 0–5 of 64 × 64 px; in theory 6 × 6 px, with a step of 2 × 2 px"),
    ("tiny_vgg", "9", "12,1", "Rows 48–63, columns 4–19 of 64 × 64 px; in theory 16 × 16 px, with a step of 4 × 4 px"),
    ("tiny_vgg", "9", "4096,4096", "Rows 48–63, columns 48–63"),
    ("lenet5", "0", "0,27", "Rows 0–2, columns 25–27 of 28 × 28 px; in theory 5 × 5 px"),
]


@pytest.mark.parametrize(("net", "layer", "unit", "window"), WINDOWS)
def test_a_units_window_is_the_one_worked_out_by_hand(
    opened: Opened, net: str, layer: str, unit: str, window: str
) -> None:
    app = opened("architecture", net=net, layer=layer, unit=unit, tab="What a unit sees")
    assert window in words(app.caption)
    inside = re.search(r"([\d.]+)% of it lies inside", words(app.caption))
    assert inside
    assert inside[1] == "100.0"


def test_two_nets_are_compared_by_ratios(opened: Opened) -> None:
    app = opened("architecture", tab="Compare", **{"with": "lenet5"})
    # 5·5·28² ·6 + 5·5·6·10²·16 + 400·120 + 120·84 + 84·10 = 416,520 MACs.
    table = words(app.markdown)
    assert "| parameters | 19,920 | 61,706 | 0.323 × |" in table
    assert "| MACs for one picture | 5.61 M | 417 k | 13.5 × |" in table
    other = keyed(app.selectbox, "architecture.other-pick")
    assert "Tiny VGG" not in other.options
    other.select("simple_cnn").run()
    assert "| parameters | 19,920 | 421,642 | 0.0472 × |" in words(app.markdown)


def test_the_tutorials_comparison_is_told_with_its_other_half(opened: Opened) -> None:
    app = opened("architecture", tab="Why convolutions")
    told = words(app.markdown)
    # 784·128 + 128·64 + 64·10 weights; 832 + 1,568·10 + 10 parameters; 421,642 / 109,386 = 3.85.
    for sentence in ("109,184 weights", "16,522 parameters", "a factor of 6.6", "3.9 times **more**"):
        assert sentence in told
    for key, value in (("side", 64), ("in", 3), ("out", 10), ("kernel", 3)):
        keyed(app.slider, f"architecture.count.{key}").set_value(value)
    app.run()
    assert "3·3·3·10 + 10 = 280" in words(app.markdown)
    # 12,288 · 40,960 + 40,960
    assert "= 503,357,440" in words(app.markdown)


def test_the_years_hold_both_recipes_of_resnet_152(opened: Opened) -> None:
    table = opened("architecture", tab="Through the years").dataframe[0].value
    scores = table[table["net"] == "ResNet-152"]["top-1, %"].tolist()
    assert scores == pytest.approx([78.31, 82.28], abs=0.01)
    assert list(table["year"]) == sorted(table["year"])


def test_the_texts_are_the_net_in_other_words(opened: Opened) -> None:
    summary, source, yaml, _ = (block.value for block in opened("architecture", tab="As text").code)
    lines = [line.split() for line in summary.splitlines()]
    assert ["Conv2d-1", "[-1,", "10,", "62,", "62]", "280"] in lines
    assert "Total params: 19,920" in summary
    made: dict[str, Any] = {}
    exec(source, made)  # what the page tells people to run
    model = made["model"]
    assert isinstance(model, nn.Sequential)
    assert sum(parameter.numel() for parameter in model.parameters()) == 19_920
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 10)
    assert sum(step.num_params for step in from_yaml(yaml).steps) == 19_920


LINKS = {
    "net=<script>alert(1)</script>": "there is no net called '<script>alert(1)</script>'",
    "net=own:../../etc/passwd": "a link does not carry",
    "net=draft": "ends with its page",
    "size=-1": "size is '-1'; it is a whole number from 1 to 1024",
    "size=1e3": "size is '1e3'",
    "layer=999999": "layer is '999999'",
    "classes=1": "classes is '1'; it is a whole number from 2 to 1000",
    "tab=xyz": "tab is 'xyz'; it is one of Layer by layer, Feature maps",
    "unit=1e9,0": "unit is '1e9'",
    "unit=": "unit is ''",
    "seed=abc": "seed is 'abc'; it is a whole number from 0 to 9999",
    "share=<b>": "share is '<b>'",
    "with=own:x": "a link does not carry",
    "count.side=0": "count.side is '0'",
    "axis=../x": "axis is '../x'",
}


@pytest.mark.parametrize("link", LINKS)
def test_what_a_link_asks_for_in_vain_is_said_and_the_page_is_as_ever(opened: Opened, link: str) -> None:
    name, _, value = link.partition("=")
    app = opened("architecture", **{"net": "resnet_cifar"} | {name: value})
    is_sound(app)
    assert LINKS[link] in words(app.info)
    assert metrics(app)["Parameters"] == "340,546"
    assert not app.query_params


@pytest.mark.parametrize("tab", ["Feature maps", "What a unit sees"])
@pytest.mark.parametrize("link", ["layer=9998", "weights=../../x", "unit=4096,4096", "channels=2", "size=1024"])
def test_what_the_net_does_not_have_breaks_nothing(opened: Opened, link: str, tab: str) -> None:
    name, _, value = link.partition("=")
    app = opened("architecture", tab=tab, **{name: value})
    is_sound(app)
    assert metrics(app)


def draft_of_tiny_vgg(opened: Opened) -> AppTest:
    return press(opened("architecture", tab="Build your own"), "Change a copy of Tiny VGG")


def test_a_copy_is_changed_by_the_form_and_counted_again(opened: Opened) -> None:
    app = draft_of_tiny_vgg(opened)
    keyed(app.number_input, "architecture.edit.0.conv.out_channels").set_value(16).run()
    # 3·3·3·16 + 16 = 448 in place of 280, and behind it 3·3·16·10 + 10 = 1,450 in place of 910.
    assert metrics(app)["Parameters"] == "20,628"
    keyed(app.radio, "architecture.row").set_value(11).run()
    keyed(app.number_input, "architecture.edit.11.linear.out_features").set_value(2).run()
    assert metrics(app)["Parameters"] == f"{20_628 - 16_910 + 1_690 * 2 + 2:,}"


def test_pooling_too_often_names_the_layer_and_what_arrives_and_is_mended(opened: Opened) -> None:
    app = draft_of_tiny_vgg(opened)
    keyed(app.radio, "architecture.row").set_value(9).run()
    for _ in range(4):
        press(app, "Copy")
    # 13 → 6 → 3 → 1, and the fifth pooling finds nothing to pool.
    told = words(app.error)
    assert "Layer 14 (MaxPool 2 × 2)" in told
    assert re.search(r"14 .*(1 × 1|10 × 1 × 1)", told)
    assert len(keyed(app.radio, "architecture.row").options) == 16
    press(app, "Remove")
    assert not app.error
    # 10 values reach the linear layer: 10·10 + 10 in place of 16,910.
    assert metrics(app)["Parameters"] == f"{19_920 - 16_910 + 110:,}"


def test_a_net_of_ones_own_is_written_as_text(opened: Opened) -> None:
    app = draft_of_tiny_vgg(opened)
    keyed(app.text_area, "architecture.yaml-text").set_value("- flatten\n- {kind: linear, out_features: 2}").run()
    assert metrics(app)["Parameters"] == f"{3 * 64 * 64 * 2 + 2:,}"
    for broken, told in (
        ("- flatten\n- [1, 2", "Line 2, column 8"),
        ("- &a relu\n- *a", "aliases and tags are not taken here"),
        ("- !!python/object/apply:os.system ['id']", "aliases and tags are not taken here"),
        ("", "each on a line that begins with a dash"),
    ):
        keyed(app.text_area, "architecture.yaml-text").set_value(broken).run()
        is_sound(app)
        assert told in words(app.error)
        assert metrics(app)["Parameters"] == "24,578"


def paste(app: AppTest, text: str) -> AppTest:
    keyed(app.text_area, "architecture.text").set_value(text).run()
    return press(app, "Read it")


def test_pasted_code_becomes_the_net(opened: Opened) -> None:
    code = "import torch.nn as nn\nn = 4\nmodel = nn.Sequential(nn.Conv2d(3, 2 * n, 3), nn.ReLU(), nn.Flatten(), "
    app = paste(opened("architecture", tab="Build your own"), f"{code}nn.Linear(8 * 62 * 62, 10))")
    is_sound(app)
    assert not app.error
    # 3·3·3·8 + 8 = 224, and 8·62·62·10 + 10 = 307,530.
    assert metrics(app)["Parameters"] == "307,754"
    assert app.query_params["net"] == "draft"


HOSTILE = {
    '__import__("os").system("id")': "A net is a mapping",
    'nn.Sequential(__import__("os").system("id"))': "Line 1, column 15",
    "nn.Sequential(lambda x: x)": "Line 1, column 15",
    "nn.Sequential(*[nn.ReLU() for _ in range(10 ** 9)])": "Line 1",
    "nn.Sequential(nn.Conv2d(3, 9 ** 9 ** 9, 3))": "Line 1, column 28",
    "nn.Sequential(" * 200 + ")" * 200: "nested",
    "nn.Sequential(" + "(" * 5000 + ")" * 5000 + ")": "nested",
    "class Net(nn.Module):\n    def forward(self, x):\n        return x": "runs code of its own",
    "nn.Sequential(nn.Conv2d(": "is not Python",
    "nn.Sequential(nn.Softmax(1))": "nets here end in logits",
    "nn.Sequential(nn.Conv2d(5, 8, 3))": "5",
    "{": "Line 1, column 2",
    '{"layers": 3}': "input_shape",
    "name: a\nlayers:\n  - conv: : :": "Line 3, column 11",
    "a: &a [*a]": "aliases and tags are not taken here",
    "\x01": "characters that YAML does not take",
}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:30]))
def test_pasted_nonsense_is_answered_in_words(opened: Opened, text: str) -> None:
    app = paste(opened("architecture", tab="Build your own"), text)
    is_sound(app)
    assert len(app.error) == 1
    assert HOSTILE[text] in words(app.error)
    assert metrics(app)["Parameters"] == "19,920"


def test_each_chip_sets_the_page_up(opened: Opened) -> None:
    app = opened("architecture", size="70", tab="Compare")
    press(app, "Where the parameters sit")
    assert metrics(app)["Parameters"] == "61,706"
    assert "the first linear layer holds most" in words(app.caption)
    press(app, "The way around")
    assert metrics(app)["Parameters"] == "11,689,512"
    assert app.query_params == {"net": "resnet18"}


def test_the_chip_of_the_net_that_fails_shows_the_failure(opened: Opened) -> None:
    app = press(opened("architecture"), "A net that cannot take the picture")
    assert "features.12 (MaxPool2d) cannot work on 256 × 1 × 1" in words(app.error)


@pytest.mark.parametrize(
    "yaml",
    [
        "[]",
        "- {kind: linear, out_features: 1}",
        "- conv",
        "- softmax",
        "- {kind: conv, out_channels: 4, kernel_size: 3, foo: 1}",
        "- {kind: residual, body: 3}",
        "- {kind: conv, out_channels: 4, kernel_size: 3}",
    ],
)
@pytest.mark.parametrize("tab", ["Build your own", "Feature maps", "As text"])
def test_a_draft_with_faults_breaks_no_tab(opened: Opened, yaml: str, tab: str) -> None:
    app = draft_of_tiny_vgg(opened)
    keyed(app.text_area, "architecture.yaml-text").set_value(yaml).run()
    app.session_state["architecture.tab"] = tab
    is_sound(app.run())


def test_a_name_with_a_space_at_its_end_leaves_the_editor_there(opened: Opened) -> None:
    app = draft_of_tiny_vgg(opened)
    keyed(app.text_input, "architecture.name").set_value("Mine ").run()
    assert metrics(app)
    assert any(button.label == "Save" for button in app.button)


def test_a_new_squeeze_excitation_works_at_once(opened: Opened) -> None:
    app = press(opened("architecture", tab="Build your own"), "Start with a small net")
    keyed(app.selectbox, "architecture.new").set_value("se").run()
    assert not press(app, "Add below").error


def test_two_problems_stand_apart(opened: Opened) -> None:
    app = draft_of_tiny_vgg(opened)
    keyed(app.text_area, "architecture.yaml-text").set_value("- flatten\n- {kind: linear}\n- dropout: 1").run()
    keyed(app.text_area, "architecture.yaml-text").set_value("- conv").run()
    assert "4,096.Layer" not in words(app.error)


def test_a_saved_draft_is_no_draft_any_more(opened: Opened) -> None:
    app = draft_of_tiny_vgg(opened)
    press(app, "Save")
    assert [name for name in keyed(app.selectbox, "architecture.pick").options if "draft" in name] == []


def test_a_field_changes_the_layer_that_it_belongs_to(opened: Opened) -> None:
    app = draft_of_tiny_vgg(opened)
    field = keyed(app.number_input, "architecture.edit.0.conv.out_channels")
    # The value is sent with the click that picks another layer.
    app.session_state["architecture.row"] = 2
    field.set_value(16).run()
    before = [("16" in option) for option in keyed(app.radio, "architecture.row").options[:3]]
    assert before == [True, False, False]


def test_a_new_residual_block_fits_what_arrives(opened: Opened) -> None:
    app = press(opened("architecture", tab="Build your own"), "Start with a small net")
    keyed(app.selectbox, "architecture.new").set_value("residual").run()
    assert not press(app, "Add below").error


def test_one_channel_for_a_grouped_convolution_is_answered_in_words(opened: Opened) -> None:
    app = draft_of_tiny_vgg(opened)
    yaml = "- {kind: conv, out_channels: 3, kernel_size: 3, groups: 3}\n- flatten\n- {kind: linear, out_features: 2}"
    keyed(app.text_area, "architecture.yaml-text").set_value(yaml).run()
    keyed(app.segmented_control, "architecture.colours").set_value(1).run()
    is_sound(app)
    assert "groups" in words(app.error)
    assert any(button.label == "Save" for button in app.button)


@pytest.mark.parametrize("tab", ["Feature maps", "What a unit sees"])
def test_a_net_for_oblong_pictures_works_throughout(opened: Opened, tab: str) -> None:
    app = draft_of_tiny_vgg(opened)
    keyed(app.number_input, "architecture.in.width").set_value(96).run()
    app.session_state["architecture.tab"] = tab
    is_sound(app.run())
    assert not app.error


@pytest.mark.parametrize("tab", ["Feature maps", "What a unit sees"])
def test_a_run_that_would_starve_the_others_is_refused_in_words(opened: Opened, tab: str) -> None:
    app = opened("architecture", net="vgg16", size="1024", tab=tab)
    is_sound(app)
    assert "Choose a smaller input size" in words(app.error)
