"""What holds for every method of the table: the model stays as it is, whoever else uses it, and no map is NaN."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnnlab.errors import InputRejected, RunFailed, Unsupported
from cnnlab.explain import METHODS, Contrast, look
from cnnlab.inference import share
from tests.unit.explain.nets import branches, pictures, small, state_of, state_of_thread, without_maps

LAYER = "features.4"
CLEAN = (True, False, [], [])

every_method = pytest.mark.parametrize("key", METHODS)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many sums in one order: what is computed twice is then the same to the last bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def in_training() -> nn.Module:
    """A model that somebody trains: in training mode, with gradients and a hook of their own."""
    model = small().train()
    model(pictures()).sum().backward()
    model.get_submodule("features.0").register_forward_hook(lambda _module, _args, _output: None)
    return model


def shared() -> nn.Module:
    return share(small())


def clipping() -> nn.Module:
    """A model whose first layer overwrites the picture that it is given."""
    return share(small(is_clipped=True))


@every_method
@pytest.mark.parametrize("make", [shared, in_training, clipping])
def test_a_model_and_its_pictures_are_the_same_after_it_was_explained(key: str, make: Any):
    model, x = make(), pictures()
    before = state_of(model)
    METHODS[key].run(model, x, [0, 3], LAYER)
    assert state_of(model) == before
    assert torch.equal(x, pictures())
    assert state_of_thread() == CLEAN


class Broken(Exception):
    pass


class _BreaksBackwards(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_ctx: Any, *_gradients: Tensor) -> Tensor:
        raise Broken


class _BreaksSoon(nn.Module):
    """Fails in the second run of the net and in the first run backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        if self.runs > 1:
            raise Broken
        return _BreaksBackwards.apply(x)  # type: ignore[no-any-return]


@every_method
@pytest.mark.parametrize("is_shared", [True, False])
def test_a_model_is_the_same_after_it_failed(key: str, is_shared: bool):
    model = small()
    model.add_module("breaks", _BreaksSoon())
    if is_shared:
        share(model)
    before = state_of(model)
    if METHODS[key].is_class_specific:
        with pytest.raises(Broken):
            METHODS[key].run(model, pictures(), [0, 3], LAYER)
    else:
        METHODS[key].run(model, pictures(), [0, 3], LAYER)  # needs neither a second run nor gradients
    assert state_of(model) == before
    assert state_of_thread() == CLEAN


@pytest.mark.parametrize("key", [key for key, method in METHODS.items() if method.grid == "layer"])
def test_infinite_maps_behind_a_sigmoid_are_said_to_be_broken(key: str):
    conv = nn.Conv2d(3, 5, 1)
    with torch.no_grad():
        conv.weight[0] = 3e38
    model = nn.Sequential(conv, nn.Sigmoid(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)).eval()
    assert bool(torch.isfinite(model(2 * pictures())).all())
    with pytest.raises(RunFailed, match="Layer 0 makes NaN or ∞"):
        METHODS[key].run(model, 2 * pictures(), 1, "0")


@every_method
def test_what_cannot_be_explained_is_refused_and_leaves_no_trace(key: str):
    model = shared()
    before = state_of(model)
    method = METHODS[key]
    with pytest.raises(RunFailed, match="Choose other weights"):
        method.run(model, pictures() * torch.nan, 0, LAYER)
    if method.is_class_specific:
        for target in (4, [0, -1], [0], Contrast(0, 4)):
            with pytest.raises(InputRejected):
                method.run(model, pictures(), target, LAYER)
    if method.grid == "layer":
        for layer in ("features.9", "head.4", "head.1"):
            with pytest.raises(InputRejected):
                method.run(model, pictures(), 0, layer)
        with pytest.raises(Unsupported, match="without convolutions"):
            method.run(without_maps(), pictures(), 0, "1")
    else:
        assert method.run(without_maps(), pictures(), 0, "").shape == (2, 12, 12)
    assert state_of(model) == before
    assert state_of_thread() == CLEAN


@every_method
def test_a_method_that_is_stopped_half_way_leaves_no_trace(key: str):
    model = shared()
    before = state_of(model)
    seen = look(model, pictures(), [LAYER])
    stream = METHODS[key].stream(seen, 1, LAYER)
    first = next(stream)
    assert 0 < first.done <= 1
    assert state_of_thread() == CLEAN  # while the caller has its turn
    stream.close()  # type: ignore[attr-defined]
    assert state_of(model) == before
    assert state_of_thread() == CLEAN


@every_method
def test_the_last_part_of_a_stream_is_the_whole_map(key: str):
    seen = look(shared(), pictures(), [LAYER])
    *parts, last = METHODS[key].stream(seen, [1, 2], LAYER)
    assert last.done == 1
    assert all(part.done < 1 and part.maps.shape == last.maps.shape for part in parts)
    assert torch.equal(last.maps, METHODS[key].run(seen.model, seen.x, [1, 2], LAYER))


@every_method
def test_maps_have_the_cells_that_the_method_says(key: str):
    maps = METHODS[key].run(shared(), pictures(), 2, LAYER)
    assert maps.shape == ((2, 6, 6) if METHODS[key].grid == "layer" else (2, 12, 12))
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    if not METHODS[key].is_signed and key != "eigencam":
        assert float(maps.min()) >= 0


@every_method
def test_each_picture_of_a_batch_is_explained_as_if_alone(key: str):
    model, x = shared(), pictures(3)
    together = METHODS[key].run(model, x, [0, 3, 1], LAYER)
    alone = torch.cat([METHODS[key].run(model, x[n : n + 1], target, LAYER) for n, target in enumerate([0, 3, 1])])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@every_method
def test_in_place_activations_change_nothing(key: str):
    plain = METHODS[key].run(small(in_place=False), pictures(), 1, "features.3")
    in_place = METHODS[key].run(small(in_place=True), pictures(), 1, "features.3")
    torch.testing.assert_close(in_place, plain)


@every_method
def test_a_first_layer_that_works_in_place_changes_nothing(key: str):
    plain = METHODS[key].run(small(in_place=False, is_clipped=True), pictures(), 1, LAYER)
    torch.testing.assert_close(METHODS[key].run(clipping(), pictures(), 1, LAYER), plain)


@every_method
def test_the_layout_of_memory_changes_nothing(key: str):
    expected = METHODS[key].run(small(), pictures(), 1, LAYER)
    channels_last = {"memory_format": torch.channels_last}
    found = METHODS[key].run(small().to(**channels_last), pictures().to(**channels_last), 1, LAYER)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@every_method
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_nearly_the_same_map(key: str, dtype: torch.dtype):
    expected = METHODS[key].run(small(), pictures(), 1, LAYER)
    found = METHODS[key].run(small().to(dtype), pictures(), 1, LAYER)
    assert found.dtype == torch.float32
    both = torch.stack([found.flatten(), expected.flatten()])
    # Where a ReLU or a maximum falls the other way, single cells move.
    assert float(torch.corrcoef(both)[0, 1]) > 0.8


@every_method
def test_branches_that_meet_by_concatenation(key: str):
    model, x = branches(), pictures()
    for layer in ("left", "relu#2"):
        maps = METHODS[key].run(model, x, 1, layer)
        assert bool(torch.isfinite(maps).all())
        assert bool((maps != 0).any())


@every_method
def test_a_net_that_sees_nothing_gives_zeros_and_not_nan(key: str):
    model = small(linear_head=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert not METHODS[key].run(model, torch.zeros(2, 3, 12, 12), 1, LAYER).any()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@every_method
def test_the_caller_s_gradient_mode_changes_nothing(key: str, mode: Any):
    model, x = shared(), pictures()
    expected = METHODS[key].run(model, x, 1, LAYER)
    with mode():
        found = METHODS[key].run(model, x.clone(), 1, LAYER)
    torch.testing.assert_close(found.clone(), expected, rtol=0, atol=0)


def test_eight_threads_on_one_model_get_what_each_would_get_alone(one_thread: None):
    model = shared()
    before = state_of(model)
    x = pictures(8)

    def answer(thread: int, key: str) -> Tensor:
        picture, target = x[thread : thread + 1], thread % 4
        return METHODS[key].run(model, picture, target, LAYER) if key else model(picture)

    jobs = ["", "", "", *METHODS]
    expected = {(thread, key): answer(thread, key) for thread in range(8) for key in jobs}

    def work(thread: int) -> list[tuple[int, str]]:
        random = Random(thread)
        asked = [key for _ in range(2) for key in random.sample(jobs, len(jobs))]
        return [(thread, key) for key in asked if not torch.equal(answer(thread, key), expected[thread, key])]

    with ThreadPoolExecutor(8) as threads:
        wrong = [each for found in threads.map(work, range(8)) for each in found]
    assert wrong == []
    assert state_of(model) == before


@every_method
def test_what_is_said_about_a_method_is_said_in_full(key: str):
    method = METHODS[key]
    assert method.about.endswith(".")
    assert method.caution.endswith(".")
    assert method.url.startswith("https://")
    assert method.paper
    assert method.equation
