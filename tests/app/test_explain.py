"""The Grad-CAM viewer without a browser: its maps are the methods' own, its links, and its answers to nonsense."""

import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from streamlit.testing.v1 import AppTest

from cnnlab.explain import METHODS, Contrast, look
from cnnlab.explain.channels import switched_off
from cnnlab.explain.layers import automatic
from cnnlab.images import Preprocessing, load_sample, to_tensor
from cnnlab.inference import share
from cnnlab.nets import build_seeded, load_weights, weights_for
from cnnlab.runs import store
from cnnlab.train.checkpoints import NetFacts, weights_file, write_weights
from cnnlab.train.config import TrainConfig
from cnnlab.ui.components import unpack
from cnnlab.ui.explaining import tabs

Opened = Callable[..., AppTest]
CAT, DOG = 3, 5


def words(elements: Iterable[Any]) -> str:
    """What people read, with the backslashes before punctuation taken out."""
    return "\n".join(re.sub(r"\\(.)", r"\1", element.value) for element in elements)


def keyed(elements: Iterable[Any], key: str) -> Any:
    return next(element for element in elements if element.key == key)


def is_sound(app: AppTest) -> None:
    assert not app.exception
    assert "Something broke" not in words(app.error)


def wall(app: AppTest, key: str = "explain.wall") -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """What a wall tells the browser, and the maps in it by their id."""
    for element in app.get("bidi_component"):
        header, body = unpack(element.proto.bytes)
        if element.proto.id.endswith(key) and "tiles" in header:
            break
    else:
        raise AssertionError(f"there is no wall {key}")
    numbers = np.frombuffer(body[3 * header["height"] * header["width"] :], "<f4")
    maps, at = {}, 0
    for tile in header["tiles"]:
        end = at + tile["height"] * tile["width"]
        maps[tile["id"]] = numbers[at:end].reshape(tile["height"], tile["width"])
        at = end
    return header, maps


def bundled(key: str, sample: str = "cat") -> tuple[torch.nn.Module, torch.Tensor]:
    model = build_seeded(key, seed=0)
    weights = next(iter(weights_for(key).values()))
    load_weights(model, weights)
    return share(model), to_tensor(load_sample(sample), weights.preprocessing)


def test_the_first_map_is_grad_cam_of_the_predicted_class_at_the_automatic_layer(opened: Opened) -> None:
    model, x = bundled("resnet_cifar")
    predicted = int(model(x).argmax())
    choice = automatic(model, x)
    app = opened("explain")
    is_sound(app)
    header, maps = wall(app)
    assert list(maps) == [f"gradcam|{choice.layer}|{predicted}"]
    expected = METHODS["gradcam"].run(model, x, predicted, choice.layer)[0].numpy()
    np.testing.assert_allclose(next(iter(maps.values())), expected, rtol=1e-4, atol=1e-6)
    assert header["tiles"][0]["own"] == pytest.approx([expected.min(), expected.max()])
    assert choice.reason in words(app.caption)
    name = weights_for("resnet_cifar")["resnet_cifar"].classes[predicted]
    assert [metric.value for metric in app.metric] == [name]
    assert "association, not cause" in words(app.caption)


def test_a_link_from_predict_asks_for_its_class(opened: Opened) -> None:
    model, x = bundled("resnet_cifar")
    _, maps = wall(opened("explain", net="resnet_cifar", **{"class": str(DOG)}))
    expected = METHODS["gradcam"].run(model, x, DOG, automatic(model, x).layer)[0].numpy()
    np.testing.assert_allclose(maps[f"gradcam|features|{DOG}"], expected, rtol=1e-4, atol=1e-6)


def test_methods_layers_and_classes_make_a_grid_in_this_order(opened: Opened) -> None:
    model, x = bundled("resnet_cifar")
    app = opened(
        "explain",
        net="resnet_cifar",
        method="layercam,eigencam,saliency",
        layers="features.4,features",
        **{"class": f"{DOG},{CAT}"},
    )
    is_sound(app)
    header, maps = wall(app)
    expected = [f"layercam|{layer}|{index}" for layer in ("features.4", "features") for index in (DOG, CAT)]
    expected += ["eigencam|features.4|", "eigencam|features|", f"saliency||{DOG}", f"saliency||{CAT}"]
    assert list(maps) == expected
    for name, map_hw in maps.items():
        method, layer, index = name.split("|")
        reference = METHODS[method].run(model, x, int(index or DOG), layer)[0].numpy()
        np.testing.assert_allclose(map_hw, reference, rtol=1e-3, atol=1e-5)
    titles = [tile["title"] for tile in header["tiles"]]
    assert titles[:2] == ["LayerCAM · features.4 · dog", "LayerCAM · features.4 · cat"]
    assert titles[4] == "Eigen-CAM · features.4 · any class"
    # Maps of a method share a scale; those of others count in other units.
    by_method = {
        method: {tuple(tile["shared"]) for tile in header["tiles"] if tile["id"].startswith(method)}
        for method in ("layercam", "eigencam", "saliency")
    }
    assert all(len(scales) == 1 for scales in by_method.values())
    most = max(float(map_hw.max()) for name, map_hw in maps.items() if name.startswith("layercam"))
    assert next(iter(by_method["layercam"])) == pytest.approx((0, most))


def test_one_class_is_held_against_another(opened: Opened) -> None:
    model, x = bundled("resnet_cifar")
    app = opened("explain", net="resnet_cifar", against=str(DOG), **{"class": f"{CAT},{DOG}"})
    header, maps = wall(app)
    expected = METHODS["gradcam"].run(model, x, Contrast(CAT, DOG), "features")[0].numpy()
    assert list(maps) == [f"gradcam|features|{CAT}-{DOG}"]
    np.testing.assert_allclose(maps[f"gradcam|features|{CAT}-{DOG}"], expected, rtol=1e-4, atol=1e-6)
    assert header["tiles"][0]["title"] == "Grad-CAM · cat, not dog"
    logits = model(x)[0].tolist()
    assert f"| logits apart | {logits[CAT] - logits[DOG]:.3g} |" in words(app.markdown)


def until_whole(app: AppTest) -> AppTest:
    end = time.monotonic() + 20
    while any(tile["done"] < 1 for tile in wall(app)[0]["tiles"]):
        assert time.monotonic() < end
        time.sleep(0.1)
        app.run()
    is_sound(app)
    return app


@pytest.mark.parametrize("method", [key for key, method in METHODS.items() if method.is_slow])
def test_a_slow_method_ends_with_the_map_it_makes_at_once(opened: Opened, method: str) -> None:
    model, x = bundled("image_classification")
    app = until_whole(opened("explain", net="image_classification", method=method))
    (name, map_hw), *_ = wall(app)[1].items()
    layer, index = name.split("|")[1:]
    expected = METHODS[method].run(model, x, int(index), layer)[0].numpy()
    np.testing.assert_allclose(map_hw, expected, rtol=1e-3, atol=1e-5)


def test_integrated_gradients_say_what_they_add_up_to_and_what_they_should(opened: Opened) -> None:
    model, x = bundled("resnet_cifar")
    app = until_whole(opened("explain", method="integrated_gradients"))
    app.run()
    predicted = int(model(x).argmax())
    gap = float((model(x) - model(torch.zeros_like(x)))[0, predicted])
    assert f"| should add up to | {gap:.3g} |" in words(app.markdown)


def test_a_coarse_map_is_warned_of_and_a_dead_one_says_that_it_is(opened: Opened) -> None:
    header, _ = wall(opened("explain", net="resnet9"))
    assert "Below 7 × 7 cells: one cell stands for 8 × 8 px" in header["tiles"][0]["warning"]
    # A class of which nothing in the last layer speaks.
    model, x = bundled("resnet_cifar")
    layer = automatic(model, x).layer
    seen = look(model, x, [layer])
    dead = [index for index in range(10) if not METHODS["gradcam"].of(seen, index, layer).any()]
    for index in dead[:1]:
        header, _ = wall(opened("explain", **{"class": str(index)}))
        assert "No positive evidence" in header["tiles"][0]["warning"]


@pytest.mark.parametrize("net", ["mlp", "lenet5", "alexnet"])
def test_other_nets_are_explained_or_the_way_is_said(opened: Opened, net: str) -> None:
    app = opened("explain", net=net)
    is_sound(app)
    assert not app.error
    _, maps = wall(app)
    if net == "mlp":
        assert next(iter(maps)).startswith("saliency||")
        assert "No layer of this net makes maps" in words(app.caption)


TABS = tuple(tabs._DRAWS)


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("link", [{"net": "mlp"}, {"net": "lenet5", "method": "saliency,gradcam", "against": "3"}])
def test_every_tab_is_drawn_also_for_nets_without_maps(opened: Opened, tab: str, link: dict[str, str]) -> None:
    app = opened("explain", tab=tab, **link)
    is_sound(app)
    assert not app.error


LINKS = {
    "method=<script>": "method is '<script>'",
    "method=gradcam,nonsense": "method is 'nonsense'",
    "class=1,2,3,4,5,6,7,8,9": "it is 1 to 8 of them",
    "class=-1": "class is '-1'; it is a whole number from 0 to 9999",
    "layers=../../etc": "layers holds '../../etc'",
    "against=x": "against is 'x'",
    "opacity=101": "opacity is '101'",
    "colours=rainbow": "colours is 'rainbow'",
    "tab=xyz": "tab is 'xyz'",
    "off=1e9": "off is '1e9'",
    "order=best": "order is 'best'",
}


@pytest.mark.parametrize("every", [0, 1])
def test_what_a_link_asks_for_in_vain_is_said_and_the_page_is_as_ever(opened: Opened, every: int) -> None:
    asked = [*LINKS][every::2]
    app = opened("explain", **dict(link.split("=", 1) for link in asked))
    is_sound(app)
    for link in asked:
        assert LINKS[link] in words(app.info)
    assert len(wall(app)[1]) == 1
    assert not app.query_params


@pytest.mark.parametrize(
    "link", [{"layers": "layer4"}, {"class": "999"}, {"map": "nonsense|<b>|9"}, {"off": "9999"}, {"unit": "9999"}]
)
def test_what_this_net_has_not_is_left_out(opened: Opened, link: dict[str, str]) -> None:
    app = opened("explain", tab="Channels", **link)
    is_sound(app)
    assert not app.error
    assert len(wall(app)[1]) == 1
    if "layers" in link:
        assert "This net has no layer layer4" in words(app.caption)


def test_the_look_is_in_the_link_and_in_what_the_browser_gets(opened: Opened) -> None:
    app = opened("explain", opacity="35", colours="jet", shared="1", cells="1")
    assert wall(app)[0]["look"] == {"opacity": 0.35, "colours": "jet", "shared": True, "smooth": False}
    assert app.query_params["colours"] in ("jet", ["jet"])


def test_without_channels_the_net_says_what_the_core_says(opened: Opened) -> None:
    model, x = bundled("resnet_cifar")
    app = opened("explain", net="resnet_cifar", tab="Channels", off="68,18")
    is_sound(app)
    table = app.dataframe[0].value
    probs = torch.softmax(switched_off(look(model, x, ["features"]), "features", [68, 18])[0].double(), 0)
    classes = weights_for("resnet_cifar")["resnet_cifar"].classes
    expected = {name: 100 * float(probs[classes.index(name)]) for name in table["class"]}
    assert dict(zip(table["class"], table["now"], strict=True)) == pytest.approx(expected, abs=1e-2)
    whole = torch.softmax(model(x)[0].double(), 0)
    assert table["all on"][0] == pytest.approx(100 * float(whole[CAT]), abs=1e-2)


def test_the_code_makes_the_map_that_is_shown(opened: Opened) -> None:
    app = opened("explain", net="resnet_cifar", method="hirescam", tab="Take it with you", against=str(DOG))
    made: dict[str, Any] = {}
    exec(app.code[0].value, made)  # what the page tells people to run
    (map_hw,) = wall(app)[1].values()
    np.testing.assert_allclose(map_hw, made["map_hw"].numpy(), rtol=1e-3, atol=1e-5)


def pressed(app: AppTest, key: str, result: str) -> AppTest:
    """Press the button of a check, and wait until its result is there."""
    keyed(app.button, f"{key}.begin").click()
    end = time.monotonic() + 25
    while result not in words(app.caption) or any(button.key == f"{key}.stop" for button in app.button):
        assert time.monotonic() < end
        app.run()
        time.sleep(0.1)
    is_sound(app)
    return app


def test_the_filters_that_meet_the_picture_are_shown(opened: Opened) -> None:
    app = opened("explain", tab="What a unit looks for")
    is_sound(app)
    assert "Kernels of features.0**, 24 of 3 × 3 × 3" in words(app.markdown)


def test_the_checks_of_faithfulness_come_on_request(opened: Opened) -> None:
    app = opened("explain", net="image_classification", method="gradcam,eigencam")
    assert not app.dataframe
    pressed(app, "explain.checks", "Areas under the curves")
    table = app.dataframe[0].value
    assert list(table["map"]) == ["Grad-CAM", "Eigen-CAM"]
    assert table["deletion"].between(0, 1).all()
    assert table["ROAD"].between(-0.5, 0.5).all()
    assert "than random by" in words(app.markdown)


def test_the_sanity_check_says_which_method_does_not_react(opened: Opened) -> None:
    app = opened("explain", net="image_classification", method="gradcam,guided_backprop", tab="Sanity check")
    pressed(app, "explain.sanity", "Spearman's rank correlation")
    assert len(re.findall("mean rank correlation", words(app.markdown))) == 2
    _, maps = wall(app, "explain.sanity-wall.gradcam")
    assert next(iter(maps)) == "trained"
    assert len(maps) >= 4


def test_a_run_shows_the_map_of_each_epoch(opened: Opened) -> None:
    run = store.create("f" * 32, TrainConfig(net="lenet5"))
    classes = tuple("0123456789")
    facts = NetFacts(classes=classes, in_channels=1, side=28, mean=(0.13,), std=(0.31,))
    models = {}
    for epoch in (0, 1, 2):
        models[epoch] = build_seeded("lenet5", seed=epoch)
        write_weights(weights_file(store.folder(run.id), epoch), models[epoch], facts)
    store.set_state(run.id, "stopped")
    store.publish(run.id, is_published=True)
    app = opened("explain", net=f"run:{run.id}", tab="Every epoch", **{"class": "7"})
    is_sound(app)
    pressed(app, "explain.epochs", "One picture, the same question")
    _, maps = wall(app, "explain.epochs-wall")
    assert list(maps) == ["0", "1", "2"]
    _, current = wall(app)
    ((name, _),) = current.items()
    x = torch.from_numpy(_prepared(facts))[None]
    for epoch, model in models.items():
        expected = METHODS["gradcam"].run(model, x, 7, name.split("|")[1])[0].numpy()
        np.testing.assert_allclose(maps[str(epoch)], expected, rtol=1e-3, atol=1e-6)


def _prepared(facts: NetFacts) -> NDArray[np.float32]:
    steps = Preprocessing(resize=(28, 28), channels="grey", mean=facts.mean, std=facts.std)
    return steps.apply(load_sample("cat"))
