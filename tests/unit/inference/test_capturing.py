import copy
import gc
import pickle
import threading
import weakref

import pytest
import torch
from torch import Tensor, nn

from cnnlab.errors import InputRejected
from cnnlab.inference.capturing import as_taken, capturing, ready, share, snapshot, watch_layers
from tests.unit.explain.nets import PICTURE, small, state_of, state_of_thread, two_channels


def test_a_layer_s_output_is_kept_as_the_layer_made_it_where_the_next_works_in_place():
    model = share(two_channels())
    with capturing(model, ["conv", "relu"]) as outputs:
        logits = model(PICTURE)
    torch.testing.assert_close(outputs["conv"][0], torch.tensor([[[1.0, -2], [3, -4]], [[-1.0, 2], [-3, 4]]]))
    torch.testing.assert_close(outputs["relu"][0], torch.tensor([[[1.0, 0], [3, 0]], [[0.0, 2], [0, 4]]]))
    torch.testing.assert_close(logits, torch.tensor([[0.5, 6.0]]))


def test_the_graph_begins_at_the_layer():
    model = share(two_channels())
    with capturing(model, ["relu"]) as outputs:
        logits = model(PICTURE)
    assert outputs["relu"].is_leaf
    assert logits.requires_grad
    with torch.no_grad(), capturing(model, ["relu"]):
        assert not model(PICTURE).requires_grad


def test_the_second_call_of_a_layer_has_a_name_of_its_own():
    relu = nn.ReLU()
    model = share(nn.Sequential(nn.Conv2d(1, 1, 1), relu, nn.Conv2d(1, 1, 1), relu))
    with capturing(model, ["1", "1#2"]) as outputs:
        last = model(PICTURE)
    torch.testing.assert_close(outputs["1#2"], last)
    assert outputs["1"].shape == last.shape


def test_what_an_edit_answers_takes_the_place_of_the_output():
    model = share(two_channels())
    with capturing(model, ["relu"], edits={"conv": lambda output: -output}) as outputs:
        logits = model(PICTURE)
    torch.testing.assert_close(outputs["relu"][0, 0], torch.tensor([[0.0, 2], [0, 4]]))
    torch.testing.assert_close(logits, torch.tensor([[2.0, 4.0]]))  # 2 · 1.5 − 1 and 4 · 1


def test_an_edit_may_answer_one_picture_with_a_batch():
    model = share(two_channels())
    with capturing(model, edits={"relu": lambda output: torch.cat([output, 0 * output, 2 * output])}):
        logits = model(PICTURE)
    torch.testing.assert_close(logits, torch.tensor([[0.5, 6.0], [0, 0], [1, 12]]))


@pytest.mark.parametrize("asked", [{"layers": ["conv7"]}, {"edits": {"conv7": torch.neg}}, {"layers": ["relu#2"]}])
def test_a_layer_that_did_not_run_is_named(asked: dict[str, object]):
    model = share(two_channels())
    with pytest.raises(InputRejected, match=r"conv7|relu#2"), capturing(model, **asked):  # type: ignore[arg-type]
        model(PICTURE)
    assert state_of_thread() == (True, False, [], [])


def test_a_run_that_fails_leaves_nothing_behind():
    model = share(two_channels())
    before = state_of(model)

    def fail(output: Tensor) -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), capturing(model, ["conv"], edits={"relu": fail}):
        model(PICTURE)
    assert state_of_thread() == (True, False, [], [])
    assert state_of(model) == before
    torch.testing.assert_close(model(PICTURE), torch.tensor([[0.5, 6.0]]))


def test_a_block_inside_a_block_gives_back_to_the_outer_one():
    model = share(two_channels())
    with capturing(model, ["conv"]) as outer:
        with capturing(model, ["relu"]) as inner:
            model(PICTURE)
        assert not outer
        model(-PICTURE)
    assert inner.keys() == {"relu"}
    torch.testing.assert_close(outer["conv"][0, 0], -PICTURE[0, 0])


def test_other_threads_capture_nothing_of_a_call_and_are_not_edited():
    model = share(two_channels())
    inside, answered = threading.Event(), threading.Event()
    others: list[Tensor] = []

    def wait(output: Tensor) -> Tensor:
        inside.set()
        assert answered.wait(10)
        return torch.zeros_like(output)

    def predict() -> None:
        assert inside.wait(10)
        others.append(model(2 * PICTURE))
        answered.set()

    thread = threading.Thread(target=predict)
    thread.start()
    with capturing(model, ["conv"], edits={"relu": wait}) as outputs:
        mine = model(PICTURE)
    thread.join()
    torch.testing.assert_close(mine, torch.zeros(1, 2))
    torch.testing.assert_close(others[0], torch.tensor([[1.0, 12.0]]))
    torch.testing.assert_close(outputs["conv"][:, :1], PICTURE)


def test_sharing_twice_is_sharing_once():
    model = two_channels().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    once = state_of(share(model))
    assert state_of(share(model)) == once
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    torch.testing.assert_close(dict(model.state_dict()), before)


def test_a_model_in_training_is_looked_at_through_a_copy_and_stays_as_it_is():
    model = small().train()
    model(torch.randn(2, 3, 12, 12)).sum().backward()
    before = state_of(model)
    copy = ready(model)
    with capturing(copy, ["features.4"]) as outputs:
        copy(torch.randn(2, 3, 12, 12))
    assert outputs["features.4"].shape == (2, 6, 6, 6)
    assert copy is not model
    assert state_of(model) == before


def test_a_shared_model_is_ready_itself():
    model = share(two_channels())
    assert ready(model) is model


def test_another_model_in_the_same_context_is_neither_kept_nor_edited():
    one, other = share(two_channels()), share(two_channels())
    with capturing(one, ["conv"], edits={"relu": torch.zeros_like}) as outputs:
        logits = other(PICTURE)
        assert not outputs
        torch.testing.assert_close(one(2 * PICTURE), torch.zeros(1, 2))
        other(PICTURE)
    torch.testing.assert_close(logits, torch.tensor([[0.5, 6.0]]))
    torch.testing.assert_close(outputs["conv"][:, :1], 2 * PICTURE)
    with pytest.raises(InputRejected, match="conv"), capturing(one, ["conv"]):
        other(PICTURE)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), snapshot])
def test_a_copy_of_a_shared_model_is_one_of_its_own(copied):
    model = share(two_channels())
    twin = copied(model)
    assert ready(twin) is twin
    with capturing(twin, ["conv"], edits={"relu": torch.zeros_like}) as outputs:
        torch.testing.assert_close(model(PICTURE), torch.tensor([[0.5, 6.0]]))
        assert not outputs
        torch.testing.assert_close(twin(PICTURE), torch.zeros(1, 2))
    assert outputs.keys() == {"conv"}


def test_a_layer_of_a_shared_model_is_looked_at_through_a_copy():
    model = share(small())
    for features in (model.get_submodule("features"), copy.deepcopy(model).get_submodule("features")):
        part = ready(features)
        assert part is not features
        with capturing(part, ["4"]) as outputs:
            part(torch.zeros(1, 3, 12, 12))
        assert outputs.keys() == {"4"}


def test_a_shared_model_cannot_become_part_of_another():
    inner = share(two_channels())
    outer = nn.Sequential(inner, nn.Linear(2, 2)).train()
    before = state_of(outer)
    for model in (outer, inner.get_submodule("conv")):
        with pytest.raises(TypeError, match="part of another; copy it"):
            share(model)
    assert state_of(outer) == before
    part = ready(outer)
    with capturing(part, ["0.conv"]) as outputs:
        part(PICTURE)
    assert outputs.keys() == {"0.conv"}


def test_a_snapshot_has_numbers_of_its_own():
    model = small().train()
    with torch.inference_mode():
        taken = ready(model)
    before = {name: tensor.clone() for name, tensor in taken.state_dict().items()}
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    torch.testing.assert_close(dict(taken.state_dict()), before, rtol=0, atol=0)
    assert not any(parameter.is_inference() for parameter in taken.parameters())


def test_a_shared_model_is_freed_as_soon_as_nobody_holds_it():
    model = share(two_channels())
    is_there = weakref.ref(model)
    gc.disable()  # so that a cycle would show
    try:
        del model
        assert is_there() is None
    finally:
        gc.enable()


def test_layers_are_watched_in_the_order_in_which_they_end():
    model = share(small())
    seen: list[str] = []
    watch_layers(model, torch.zeros(1, 3, 12, 12), lambda name, _module, _output: seen.append(name))
    assert seen == [
        *[f"features.{index}" for index in range(5)],
        "features",
        *[f"head.{index}" for index in range(5)],
        "head",
    ]


def test_a_batch_takes_the_model_s_precision_and_nothing_goes_back_through_it():
    model = share(small().double())
    with torch.inference_mode():
        x = torch.zeros(1, 3, 12, 12)
    taken = as_taken(model, x)
    assert taken.dtype == torch.float64
    assert not taken.is_inference()
    assert not as_taken(model, torch.zeros(1, requires_grad=True)).requires_grad
