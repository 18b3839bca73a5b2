"""The page that asks a net, without a browser: its numbers, its links, and its answers to nonsense."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from cnnlab.figures.prediction import percent
from cnnlab.images import RgbImage, load_sample
from cnnlab.inference.references import reference_of
from cnnlab.nets import ARCHITECTURES, build_seeded, load_weights, weights_for

Opened = Callable[..., AppTest]
BUNDLED = {
    "image_classification": "image_classification",
    "lenet5": "lenet5",
    "resnet9": "resnet9",
    "resnet_cifar": "resnet_cifar",
    "simple_conv_net": "simple_conv_net",
    "tiny_vgg": "tiny_vgg",
}


def words(elements: Iterable[Any]) -> str:
    """What people read, with the backslashes before punctuation taken out."""
    return "\n".join(re.sub(r"\\(.)", r"\1", element.value) for element in elements)


def keyed(elements: Iterable[Any], key: str) -> Any:
    return next(element for element in elements if element.key == key)


def metric(app: AppTest, label: str) -> str:
    return next(one.value for one in app.metric if one.label == label)


def lists(app: AppTest) -> list[list[list[str]]]:
    """The bars: of each list the rows, of each row the texts."""
    found = []
    for element in app.get("html"):
        body = element.proto.body
        if 'data-testid="answer-bars"' in body:
            rows = re.split(r'<div role="row"', body)[2:]
            found.append([[text for text in re.sub(r"<[^>]*>", "\n", row).split("\n")[1:] if text] for row in rows])
    return found


def bars(app: AppTest) -> list[list[str]]:
    return lists(app)[0]


def is_sound(app: AppTest) -> None:
    assert not app.exception
    assert "Something broke" not in words(app.error)


def reference_logits(net: str, sample: str, key: str | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """The logits as PyTorch gives them without the page."""
    weights = weights_for(net)[key or BUNDLED[net]]
    model = build_seeded(net, seed=0, num_classes=weights.num_classes, in_channels=weights.in_channels)
    load_weights(model, weights)
    with torch.no_grad():
        logits = model(torch.from_numpy(weights.preprocessing.apply(load_sample(sample)))[None])[0]
    return logits.numpy(), weights.classes


@pytest.mark.parametrize(("net", "sample"), [("tiny_vgg", "cat"), ("resnet_cifar", "coins"), ("lenet5", "digit_4")])
def test_the_bars_are_the_nets_own_logits_and_their_softmax(opened: Opened, net: str, sample: str) -> None:
    app = opened("predict", net=net, image=sample)
    is_sound(app)
    logits, classes = reference_logits(net, sample)
    probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    order = np.argsort(-logits)[:5]
    shown = bars(app)
    assert [row[0] for row in shown[:5]] == [classes[index] for index in order]
    assert [float(row[2].replace("−", "-")) for row in shown[:5]] == pytest.approx(list(logits[order]), abs=0.006)
    assert [float(row[1].removesuffix(" %")) for row in shown[:5]] == pytest.approx(
        list(100 * probabilities[order]), abs=0.06
    )
    assert shown[5][0] == "5 others"
    assert metric(app, "The net says") == classes[order[0]]


def test_the_temperature_moves_the_probabilities_and_neither_logits_nor_order(opened: Opened) -> None:
    logits, _ = reference_logits("resnet_cifar", "cat")
    before = bars(opened("predict"))
    app = opened("predict", temperature="2")
    assert keyed(app.select_slider, "predict.temperature").value == pytest.approx(2.0, abs=0.1)
    after = bars(app)
    temperature = keyed(app.select_slider, "predict.temperature").value
    assert [(row[0], row[2]) for row in after[:5]] == [(row[0], row[2]) for row in before[:5]]
    evened = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    assert float(after[0][1].removesuffix(" %")) == pytest.approx(100 * evened.max(), abs=0.06)
    assert float(after[0][1].removesuffix(" %")) < float(before[0][1].removesuffix(" %"))


def test_the_slider_does_the_same_and_stands_in_the_link(opened: Opened) -> None:
    app = opened("predict")
    keyed(app.select_slider, "predict.temperature").set_value(0.501).run()
    assert app.query_params["temperature"] == "0.501"
    logits, _ = reference_logits("resnet_cifar", "cat")
    sharp = np.exp((logits - logits.max()) / 0.501)
    assert float(bars(app)[0][1].removesuffix(" %")) == pytest.approx(100 / sharp.sum(), abs=0.06)


def test_the_mirror_image_is_asked_too_and_the_logits_are_averaged(opened: Opened) -> None:
    weights = weights_for("resnet_cifar")["resnet_cifar"]
    load_weights(model := build_seeded("resnet_cifar", seed=0), weights)
    x = torch.from_numpy(weights.preprocessing.apply(load_sample("cat")))[None]
    with torch.no_grad():
        mean = (model(x) + model(x.flip(3)))[0] / 2
    best = bars(opened("predict", flips="1"))[0]
    assert best[0] == weights.classes[int(mean.argmax())]
    assert float(best[2]) == pytest.approx(float(mean.max()), abs=0.006)


def test_weights_with_other_classes_than_the_net_was_made_for_are_asked_with_theirs(opened: Opened) -> None:
    app = opened("predict", net="resnet_cifar", weights="resnet_cifar_shapes", image="circle")
    is_sound(app)
    logits, classes = reference_logits("resnet_cifar", "circle", "resnet_cifar_shapes")
    assert [row[0] for row in bars(app)] == [*(classes[index] for index in np.argsort(-logits)[:5]), "1 other"]


@pytest.mark.parametrize("net", [key for key, entry in ARCHITECTURES.items() if entry.input_shape[1] <= 64])
def test_every_small_net_of_the_table_can_be_asked(opened: Opened, net: str) -> None:
    app = opened("predict", net=net)
    is_sound(app)
    assert not app.error
    assert len(bars(app)) in (2, 6)


TABS = ("What the net gets", "What is its word worth?", "Robustness", "Two nets", "Many pictures", "As JSON and code")


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize(
    "link", [{}, {"net": "lenet5", "image": "digit_7"}, {"net": "tiny_vgg", "weights": "random", "seed": "3"}]
)
def test_every_tab_is_drawn(opened: Opened, tab: str, link: dict[str, str]) -> None:
    app = opened("predict", tab=tab, **link)
    is_sound(app)
    assert not app.error


def test_the_json_is_the_form_of_the_tutorials_and_the_code_gives_the_same(opened: Opened) -> None:
    app = opened("predict", tab="As JSON and code", temperature="5")
    shown, code = (block.value for block in app.code[:2])
    said = json.loads(shown)
    assert list(said) == ["class", "confidence", "probabilities"]
    assert said["confidence"] == max(said["probabilities"].values())
    assert sum(said["probabilities"].values()) == pytest.approx(1)
    made: dict[str, Any] = {}
    *lines, last = code.splitlines()
    exec("\n".join(lines), made)  # what the page tells people to run
    again = eval(last, made)
    assert again["class"] == said["class"]
    assert again["probabilities"] == pytest.approx(said["probabilities"], rel=1e-5)


@pytest.mark.parametrize(
    "link",
    [
        {"net": "resnet_cifar", "weights": "resnet_cifar_shapes"},
        {"net": "lenet5", "weights": "random", "seed": "7"},
        {"flips": "1"},
    ],
)
def test_the_code_is_that_of_the_net_that_was_asked(opened: Opened, link: dict[str, str]) -> None:
    app = opened("predict", tab="As JSON and code", **link)
    shown, code = (block.value for block in app.code[:2])
    made: dict[str, Any] = {}
    *lines, last = code.splitlines()
    exec("\n".join(lines), made)
    assert eval(last, made)["probabilities"] == pytest.approx(json.loads(shown)["probabilities"], rel=1e-5)


def test_two_nets_are_asked_about_the_same_picture(opened: Opened) -> None:
    app = opened("predict", net="tiny_vgg", tab="Two nets", **{"with": "resnet_cifar"})
    (_, mine, theirs) = lists(app)
    logits, classes = reference_logits("resnet_cifar", "cat")
    assert mine == bars(app)
    assert theirs[0][0] == classes[int(logits.argmax())]
    said = words(app.markdown)
    assert f"They disagree: Tiny VGG says {mine[0][0]}" in said.replace("**", "")
    one, two = (np.exp(each) / np.exp(each).sum() for each in (reference_logits("tiny_vgg", "cat")[0], logits))
    assert f"{100 * np.minimum(one, two).sum():.1f} % of their probability" in said


def test_nets_for_other_classes_are_not_said_to_disagree(opened: Opened) -> None:
    app = opened("predict", tab="Two nets", **{"with": "lenet5"})
    is_sound(app)
    assert "cannot be compared" in words(app.markdown)


def test_a_net_for_digits_offers_the_pad_and_names_a_digit_before_anything_is_drawn(opened: Opened) -> None:
    app = opened("predict", net="simple_conv_net", ask="drawing")
    is_sound(app)
    assert "Nothing is drawn yet" in words(app.caption)
    weights = weights_for("simple_conv_net")["simple_conv_net"]
    load_weights(model := build_seeded("simple_conv_net", seed=0), weights)
    x = (torch.zeros(1, 1, 28, 28) - weights.preprocessing.mean[0]) / weights.preprocessing.std[0]
    with torch.no_grad():
        black = model(x)[0]
    assert bars(app)[0][0] == weights.classes[int(black.argmax())]
    assert not [one for one in opened("predict").segmented_control if one.key == "predict.way"]


def test_a_link_to_a_drawing_for_a_net_that_takes_none_asks_about_the_picture(opened: Opened) -> None:
    app = opened("predict", ask="drawing")
    is_sound(app)
    assert bars(app) == bars(opened("predict"))


LINKS = {
    "temperature=-1": "temperature is '-1'; it is a number from 0.1 to 10",
    "temperature=nan": "temperature is 'nan'",
    "top=7": "top is '7'; it is one of 3, 5, 10",
    "ask=sound": "ask is 'sound'",
    "flips=yes": "flips is 'yes'; it is 0 or 1",
    "tab=xyz": "tab is 'xyz'",
    "with=own:x": "a link does not carry",
    "withw=../../x": "the second net has no weights called '../../x'",
    "rotate=400": "rotate is '400'; it is a number from -180 to 180",
    "over=<b>": "over is '<b>'",
}


@pytest.mark.parametrize("link", LINKS)
def test_what_a_link_asks_for_in_vain_is_said_and_the_page_is_as_ever(opened: Opened, link: str) -> None:
    name, _, value = link.partition("=")
    app = opened("predict", **{name: value})
    is_sound(app)
    assert LINKS[link] in words(app.info)
    assert bars(app)[0][0] == "cat"
    assert not app.query_params


@pytest.mark.parametrize("chip", range(3))
def test_a_chip_says_what_to_look_for_and_that_is_there(opened: Opened, chip: int) -> None:
    app = opened("predict", temperature="3", top="3")
    keyed(app.button, f"predict.tries.{chip}").click().run()
    is_sound(app)
    assert keyed(app.select_slider, "predict.temperature").value == 1.0
    answer = metric(app, "The net says")
    assert answer == ("frog", "8", answer)[chip]
    assert len(bars(app)) == 6


def test_what_the_answer_is_worth_is_told_from_the_weights_own_reference(opened: Opened) -> None:
    reference = reference_of("lenet5")
    assert reference is not None
    app = opened("predict", net="lenet5", image="digit_4", tab="What is its word worth?")
    logits, _ = reference_logits("lenet5", "digit_4")
    confidence = float(np.exp(logits.max()) / np.exp(logits).sum())
    among = next(one for one in reference.by_mass.bins if one.count and confidence <= one.high)
    assert among.accuracy is not None
    assert metric(app, "Right when so sure") == percent(among.accuracy)
    assert f"{among.count:,} {reference.pictures}" in words(app.caption)
    assert f"| {percent(reference.scaled.before.ece)} | {percent(reference.scaled.after.ece)} |" in words(app.markdown)
    keyed(app.button, "predict.fitted").click().run()
    assert keyed(app.select_slider, "predict.temperature").value == pytest.approx(
        reference.scaled.temperature, rel=0.035
    )


def test_an_untrained_net_is_not_said_to_be_worth_anything(opened: Opened) -> None:
    app = opened("predict", weights="random", tab="What is its word worth?")
    assert "worth nothing, however sure it sounds" in words(app.info)
    assert not [one for one in app.metric if one.label == "Right when so sure"]


def test_the_blank_pictures_get_the_nets_own_answers(opened: Opened) -> None:
    weights = weights_for("resnet_cifar")["resnet_cifar"]
    load_weights(model := build_seeded("resnet_cifar", seed=0), weights)
    white = weights.preprocessing.apply(RgbImage(np.full((64, 64, 3), 255, np.uint8)))
    with torch.no_grad():
        probabilities = model(torch.from_numpy(white)[None]).softmax(1)[0]
    best = int(probabilities.argmax())
    said = words(opened("predict", tab="What is its word worth?").markdown)
    assert f"White: **{weights.classes[best]}**, {100 * float(probabilities[best]):.1f} %" in said


def test_a_disturbed_picture_is_asked_about_and_the_first_answer_stays(opened: Opened) -> None:
    app = opened("predict", tab="Robustness", brightness="200")
    (first, disturbed) = lists(app)
    assert first == lists(opened("predict"))[0]
    assert disturbed != first
    keyed(app.button, "predict.undisturbed").click().run()
    assert lists(app)[1] == lists(app)[0]
    assert "brightness" not in app.query_params
