"""The current net, its weights and the models that all share, each visitor in a session of their own."""

import gc
import re
from typing import Any

import pytest
import safetensors.torch
import torch
from streamlit.testing.v1 import AppTest

from cnnlab.errors import ResourceExhausted
from cnnlab.images import Preprocessing
from cnnlab.inference import ModelKey
from cnnlab.inference.memory import machine_memory
from cnnlab.inference.weights_files import read_weights_file
from cnnlab.nets import build_seeded
from cnnlab.nets.weights import save_bundled
from cnnlab.ui import nets, own_weights

PAGE_TIMEOUT_S = 120


def page() -> None:
    import streamlit as st

    from cnnlab.errors import LabError
    from cnnlab.ui import nets, state, workbench

    state.arrive("page")
    state.restore(workbench.NET_SETTINGS)
    if chosen := st.session_state.pop("choose", None):
        nets.choose(chosen)
    problem = ""
    if file := st.session_state.pop("file", None):
        try:
            nets.choose_weights(nets.take_weights(nets.of(nets.current().key), *file))
        except LabError as error:
            problem = str(error)
    net = nets.current()
    known = nets.loaded(net, net.num_classes, net.input_shape[0])
    st.session_state["seen"] = {
        "net": net,
        "known": known,
        "steps": nets.preprocessing(known.weights, net.input_shape),
        "refused": state.refused(),
        "problem": problem,
        "offered": list(nets.weights_of(net)),
    }
    state.settle()


def passing() -> None:
    import streamlit as st

    from cnnlab.ui import nets, state, workbench

    state.arrive("page")
    state.restore(workbench.NET_SETTINGS)
    before = nets.models().facts().num_lent
    known = nets.loaded(nets.of("lenet5"), 10, 1)
    assert known.model is not None
    st.session_state["seen"] = {"before": before, "during": nets.models().facts().num_lent}


def dialog() -> None:
    from cnnlab.ui import net_choice, state, workbench

    state.arrive("page")
    state.restore(workbench.NET_SETTINGS)
    net_choice._change()


class Visitor:
    """A session of its own."""

    def __init__(self, shown: Any = page, **link: str) -> None:
        self.app = AppTest.from_function(shown, default_timeout=PAGE_TIMEOUT_S)
        for name, value in link.items():
            self.app.query_params[name] = value

    def look(self) -> dict[str, Any]:
        self.app.run()
        assert not self.app.exception
        return self.app.session_state["seen"]

    def bring(self, data: bytes, name: str = "mine.safetensors") -> dict[str, Any]:
        self.app.session_state["file"] = (name, data)
        return self.look()


def weights_file(key: str, seed: int, **sizes: int) -> bytes:
    return safetensors.torch.save(build_seeded(key, seed=seed, **sizes).state_dict())


def are_equal(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_visitors_who_look_at_one_net_share_one_model_that_is_fit_for_it():
    one, two = Visitor(net="lenet5", weights="random"), Visitor(net="lenet5", weights="random")
    first, second = one.look()["known"], two.look()["known"]
    assert first.model is second.model
    assert first.identity == second.identity
    assert not first.model.training
    assert not any(parameter.requires_grad for parameter in first.model.parameters())


def test_another_seed_is_another_model():
    one = Visitor(net="lenet5", weights="random").look()["known"]
    two = Visitor(net="lenet5", weights="random", seed="3").look()["known"]
    assert one.identity != two.identity
    assert are_equal(two.model, build_seeded("lenet5", seed=3))


def test_a_model_is_lent_for_as_long_as_the_page_runs():
    seen = Visitor(passing, weights="random", seed="11").look()
    assert seen["during"] == seen["before"] + 1
    assert nets.models().facts().num_lent == seen["before"]


def test_uploaded_weights_are_those_of_the_net_with_their_classes_and_channels():
    seen = Visitor(net="tiny_vgg").bring(weights_file("tiny_vgg", 7, num_classes=4, in_channels=1))
    net, known = seen["net"], seen["known"]
    assert (net.num_classes, net.input_shape[0]) == (4, 1)
    assert are_equal(known.model, build_seeded("tiny_vgg", seed=7, num_classes=4, in_channels=1))
    assert known.classes == ("class 0", "class 1", "class 2", "class 3")
    assert known.weights.label == "mine.safetensors (your file)"
    assert "does not say" in known.weights.accuracy
    assert (seen["steps"].channels, seen["steps"].mean, seen["steps"].std) == ("grey", (0.0,), (1.0,))


def test_what_the_file_says_of_itself_is_used(tmp_path):
    steps = Preprocessing(resize=28, crop=(28, 28), channels="grey", mean=(0.2,), std=(0.3,))
    save_bundled(
        build_seeded("lenet5", seed=1, num_classes=3),
        tmp_path / "net.safetensors",
        label="",
        architecture="lenet5",
        classes=("cup", "jug", "pot"),
        preprocessing=steps,
        accuracy="99 %",
        source="",
    )
    seen = Visitor(net="lenet5").bring((tmp_path / "net.safetensors").read_bytes())
    assert seen["known"].classes == ("cup", "jug", "pot")
    assert (seen["steps"].mean, seen["steps"].std) == ((0.2,), (0.3,))
    assert seen["known"].weights.accuracy == "the file says “99 %”"


def test_what_one_visitor_uploads_no_other_can_reach():
    seen = Visitor(net="lenet5").bring(weights_file("lenet5", 5))
    key = next(key for key in seen["offered"] if key.startswith(nets.UPLOAD))
    assert re.fullmatch("upload:[0-9a-f]{8}", key)
    other = Visitor(net="lenet5", weights=key).look()
    assert key not in other["offered"]
    assert other["known"].weights is None or not own_weights.are_own(other["known"].weights)
    assert other["refused"] == (
        "it was made with somebody's own weights, which a link does not carry; others are used",
    )


def test_two_who_upload_the_same_file_share_its_model_and_others_differ():
    data = weights_file("lenet5", 6)
    one, two = (Visitor(net="lenet5").bring(data)["known"] for _ in range(2))
    other = Visitor(net="lenet5").bring(weights_file("lenet5", 8))["known"]
    assert one.model is two.model
    assert one.weights.sha256 in one.identity
    assert other.identity != one.identity
    assert are_equal(other.model, build_seeded("lenet5", seed=8))


def test_uploaded_weights_are_offered_for_their_own_net_alone_and_stay_for_the_session():
    visitor = Visitor(net="lenet5")
    [*_, key] = visitor.bring(weights_file("lenet5", 9))["offered"]
    visitor.app.session_state["choose"] = "tiny_vgg"
    assert key not in visitor.look()["offered"]
    visitor.app.session_state["choose"] = "lenet5"
    assert key in visitor.look()["offered"]


def test_of_many_files_the_last_three_are_kept():
    visitor = Visitor(net="lenet5")
    brought = [visitor.bring(weights_file("lenet5", seed))["offered"][-1] for seed in range(20, 24)]
    offered = visitor.look()["offered"]
    assert [key for key in offered if key.startswith(nets.UPLOAD)] == brought[1:]


def test_weights_of_another_net_are_refused_with_the_net_that_the_file_is_for(tmp_path):
    save_bundled(
        build_seeded("lenet5", seed=1),
        tmp_path / "net.safetensors",
        label="",
        architecture="lenet5",
        classes=tuple("0123456789"),
        preprocessing=Preprocessing(channels="grey", mean=(0.0,), std=(1.0,)),
        accuracy="",
        source="",
    )
    told = Visitor(net="tiny_vgg").bring((tmp_path / "net.safetensors").read_bytes())["problem"]
    assert told.startswith("The file says that it is for LeNet-5: choose that net first.\nThe file holds weights of")
    assert "missing in the file" in told


def test_weights_for_too_many_classes_are_refused():
    told = Visitor(net="lenet5").bring(weights_file("lenet5", 0, num_classes=1001))["problem"]
    assert told.startswith("The weights are for 1,001 classes; the lab takes 2 to 1,000.")


def test_weights_are_refused_where_those_of_all_visitors_fill_their_memory(monkeypatch):
    monkeypatch.setattr(own_weights, "_SHARE_OF_MACHINE", 1000 / machine_memory())
    assert "no room for" in Visitor(net="lenet5").bring(weights_file("lenet5", 0))["problem"]


def test_there_must_be_room_before_a_file_is_read(monkeypatch):
    read = []
    monkeypatch.setattr(own_weights, "read_weights_file", read.append)
    monkeypatch.setattr(own_weights, "_SHARE_OF_MACHINE", 0)
    assert "no room for" in Visitor(net="lenet5").bring(weights_file("lenet5", 0))["problem"]
    assert not read


def taken() -> int:
    gc.collect()
    return sum(each.num_bytes for each in own_weights._held)


def test_a_file_that_is_brought_again_or_replaces_another_is_not_counted_beside_it(monkeypatch):
    before, files = taken(), [weights_file("lenet5", seed) for seed in range(40, 42)]
    room = before + read_weights_file(files[0]).num_bytes
    monkeypatch.setattr(own_weights, "_SHARE_OF_MACHINE", (room + 0.5) / machine_memory())
    monkeypatch.setattr(own_weights, "_MOST_FILES", 1)
    visitor = Visitor(net="lenet5")
    for data in (files[0], files[0], files[1]):
        assert visitor.bring(data)["problem"] == ""
    assert taken() == room
    assert "no room for" in Visitor(net="lenet5").bring(files[0])["problem"]


def test_the_model_of_uploaded_weights_goes_with_the_visitor_who_brought_them():
    visitor = Visitor(net="lenet5")
    identity = visitor.bring(weights_file("lenet5", 50))["known"].identity
    assert holds(identity)
    del visitor
    gc.collect()
    assert not holds(identity)


def test_another_who_brought_the_same_file_keeps_working_when_the_first_leaves():
    one, two = Visitor(net="lenet5"), Visitor(net="lenet5")
    for visitor in (one, two):
        identity = visitor.bring(weights_file("lenet5", 51))["known"].identity
    del one, visitor
    gc.collect()
    assert are_equal(two.look()["known"].model, build_seeded("lenet5", seed=51))
    two.app.session_state["seen"] = None
    gc.collect()
    two.look()
    assert holds(identity)
    del two
    gc.collect()
    assert not holds(identity)


def holds(identity: str) -> bool:
    return ModelKey(identity=identity) in nets.models()._slots


def test_running_out_of_memory_is_told_in_words(monkeypatch):
    with (
        pytest.raises(ResourceExhausted, match=r"The net cannot run: .*Choose a smaller input"),
        nets.run_of(nets.Described(facts=())),
    ):
        raise MemoryError

    def fail(_: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr(own_weights, "read_weights_file", fail)
    told = Visitor(net="lenet5").bring(weights_file("lenet5", 0))["problem"]
    assert told.startswith("The weights cannot be taken: there is not enough memory")


def test_the_dialog_takes_a_file_and_selects_its_weights():
    app = AppTest.from_function(dialog, default_timeout=PAGE_TIMEOUT_S)
    app.query_params["net"] = "lenet5"
    app.run()
    app.file_uploader[0].set_value(("mine.safetensors", weights_file("lenet5", 30, num_classes=5), "")).run()
    [choice] = app.radio
    assert str(choice.value).startswith(nets.UPLOAD)
    next(button for button in app.button if button.label == "Use this net").click().run()
    assert app.session_state["workbench.weights"] == choice.value
    assert not app.exception


def test_the_dialog_says_how_to_convert_a_pickle_and_which_net_a_file_is_for():
    app = AppTest.from_function(dialog, default_timeout=PAGE_TIMEOUT_S)
    app.query_params["net"] = "lenet5"
    app.run()
    app.file_uploader[0].set_value(("net.pt", b"PK\x03\x04" + b"\0" * 50, "")).run()
    [error] = app.error
    assert "python \\-m cnnlab convert" in error.value
    app.file_uploader[0].set_value(("net.safetensors", weights_file("tiny_vgg", 1), "")).run()
    [error] = app.error
    assert "What does not fit" in error.value
    next(choice for choice in app.selectbox if choice.label == "Net").set_value("tiny_vgg").run()
    assert not app.error  # the file that is there is tried with the net that is chosen now
    assert str(app.radio[0].value).startswith(nets.UPLOAD)
