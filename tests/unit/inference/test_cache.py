import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cnnlab.errors import InputRejected, ResourceExhausted
from cnnlab.inference.cache import ModelCache, ModelKey
from cnnlab.inference.memory import bytes_of, default_budget, machine_memory, memory_in_words
from cnnlab.nets import build_seeded
from cnnlab.nets.flow import maps_of, run_through
from cnnlab.nets.receptive_field import effective_field

KB = 1024


def key(name: str, dtype: torch.dtype = torch.float32) -> ModelKey:
    return ModelKey(identity=name, dtype=dtype)


def of_size(num_bytes: int) -> nn.Module:
    return nn.Linear(num_bytes // 4, 1, bias=False)


class Loader:
    """Makes nets of 1 KB, or of another size, and remembers for whom."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, name: str, num_bytes: int = KB):
        def load() -> nn.Module:
            self.calls.append(name)
            return of_size(num_bytes)

        return load


@pytest.fixture
def loader() -> Loader:
    return Loader()


def use(cache: ModelCache, loader: Loader, name: str, num_bytes: int = KB) -> nn.Module:
    with cache.borrow(key(name), loader(name, num_bytes)) as loan:
        return loan.model


def test_twenty_who_ask_at_the_same_moment_get_one_model_loaded_once():
    cache, gate, calls = ModelCache(KB), threading.Barrier(20), []
    loading = threading.Event()

    def load() -> nn.Module:
        calls.append(threading.get_ident())
        loading.wait(10)  # until all others wait, or have had every chance to load another
        return of_size(KB)

    def ask(_: int) -> nn.Module:
        if gate.wait(10) == 0:
            threading.Timer(0.2, loading.set).start()
        with cache.borrow(key("a"), load) as loan:
            return loan.model

    with ThreadPoolExecutor(20) as pool:
        models = list(pool.map(ask, range(20)))
    assert len(calls) == 1
    assert all(model is models[0] for model in models)
    facts = cache.facts()
    assert (facts.num_models, facts.num_lent, facts.num_bytes, facts.num_loads) == (1, 0, KB, 1)


def test_a_load_that_fails_fails_for_all_who_wait_and_the_next_to_ask_tries_again(loader):
    cache, waiting = ModelCache(KB), threading.Event()

    def fail() -> nn.Module:
        waiting.wait(10)
        raise InputRejected("The file is damaged.")

    def ask(_: int) -> str:
        with pytest.raises(InputRejected) as told:
            cache.borrow(key("a"), fail)
        return str(told.value)

    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(ask, number) for number in range(5)]
        threading.Timer(0.1, waiting.set).start()
        assert {each.result(10) for each in asked} == {"The file is damaged."}
    assert cache.facts().num_models == 0
    use(cache, loader, "a")
    assert loader.calls == ["a"]


def test_a_load_that_is_interrupted_is_taken_over_by_one_who_waits(loader):
    cache, begun, interrupt = ModelCache(KB), threading.Event(), threading.Event()

    def interrupted() -> nn.Module:
        begun.set()
        interrupt.wait(10)
        raise KeyboardInterrupt

    def first() -> None:
        with pytest.raises(KeyboardInterrupt):
            cache.borrow(key("a"), interrupted)

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        begun.wait(10)
        two = pool.submit(use, cache, loader, "a")
        threading.Timer(0.1, interrupt.set).start()
        one.result(10)
        assert bytes_of(two.result(10)) == KB
    assert loader.calls == ["a"]


def test_a_slow_load_holds_up_nobody_who_asks_for_another_model(loader):
    cache, begun, go_on = ModelCache(9 * KB), threading.Event(), threading.Event()

    def slow() -> nn.Module:
        begun.set()
        assert go_on.wait(10)
        return of_size(KB)

    with ThreadPoolExecutor(1) as pool:
        slowly = pool.submit(cache.borrow, key("slow"), slow)
        begun.wait(10)
        use(cache, loader, "quick")
        assert cache.facts().num_models == 1
        go_on.set()
        slowly.result(10)
    assert cache.facts().num_models == 2


def test_a_load_may_borrow_another_model(loader):
    cache = ModelCache(9 * KB)

    def distilled() -> nn.Module:
        pupil = of_size(KB)
        pupil.load_state_dict(use(cache, loader, "teacher").state_dict())
        return pupil

    with cache.borrow(key("pupil"), distilled) as pupil, cache.borrow(key("teacher"), loader("teacher")) as teacher:
        assert pupil.model is not teacher.model
        assert torch.equal(pupil.model.state_dict()["weight"], teacher.model.state_dict()["weight"])
    assert loader.calls == ["teacher"]
    assert cache.facts().num_models == 2


def test_a_load_that_asks_for_itself_is_refused_and_not_waited_for(loader):
    cache = ModelCache(KB)
    with pytest.raises(RuntimeError, match="asks for the model"):
        cache.borrow(key("a"), lambda: cache.borrow(key("a"), loader("a")).model)
    use(cache, loader, "a")


def test_two_loads_that_ask_for_each_other_do_not_wait_for_ever(loader):
    cache, both = ModelCache(9 * KB), threading.Barrier(2)

    def asking_for(other: str):
        def load() -> nn.Module:
            both.wait(10)
            return use(cache, loader, other)

        return load

    def outcome(name: str, other: str) -> str:
        try:
            cache.borrow(key(name), asking_for(other))
        except RuntimeError as error:
            return str(error)
        return "lent"

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(outcome, "a", "b"), pool.submit(outcome, "b", "a")]
        told = [each.result(10) for each in asked]
    # One is refused; the other waited for it, and fails with it.
    assert all("asks for the model that is being loaded" in each for each in told)


def test_the_least_recently_used_leaves_first(loader):
    cache = ModelCache(3 * KB)
    for name in "abc":
        use(cache, loader, name)
    use(cache, loader, "a")  # now b is the one that nobody has used for longest
    use(cache, loader, "d")
    for name in "acd":
        use(cache, loader, name)
    assert loader.calls == ["a", "b", "c", "d"]
    use(cache, loader, "b")
    assert loader.calls == ["a", "b", "c", "d", "b"]
    facts = cache.facts()
    assert (facts.num_models, facts.num_bytes, facts.num_loads, facts.num_evicted) == (3, 3 * KB, 5, 2)


def test_what_is_lent_never_leaves_and_the_budget_holds_again_when_it_is_back(loader):
    cache = ModelCache(2 * KB)
    loans = [cache.borrow(key(name), loader(name)) for name in "abc"]
    facts = cache.facts()
    assert (facts.num_models, facts.num_lent, facts.num_bytes) == (3, 3, 3 * KB)
    assert cache.borrow(key("a"), loader("a")).model is loans[0].model
    with loans[1]:
        pass
    assert cache.facts().num_bytes == 2 * KB
    use(cache, loader, "b")  # has to be loaded anew, and cannot stay: a and c are still lent
    assert loader.calls == ["a", "b", "c", "b"]
    assert cache.facts().num_models == 2


def test_a_model_larger_than_the_budget_is_lent_pushes_nobody_out_and_is_not_kept(loader):
    cache = ModelCache(2 * KB)
    use(cache, loader, "small")
    with cache.borrow(key("large"), loader("large", 3 * KB)) as loan:
        assert bytes_of(loan.model) == 3 * KB
        again = cache.borrow(key("large"), loader("large", 3 * KB))
        assert again.model is loan.model  # while it is in use there is one copy for all
        assert cache.facts().num_models == 2
        del again
    assert cache.facts().num_bytes == KB
    use(cache, loader, "small")
    assert loader.calls == ["small", "large"]


def test_a_loan_ends_when_it_is_thrown_away_or_its_block_fails(loader):
    cache = ModelCache(KB)
    loan = cache.borrow(key("a"), loader("a"))
    assert cache.facts().num_lent == 1
    del loan
    gc.collect()
    assert cache.facts().num_lent == 0
    with pytest.raises(ZeroDivisionError), cache.borrow(key("a"), loader("a")):
        _ = 1 / 0
    assert cache.facts().num_lent == 0


def test_a_loan_that_the_collector_ends_in_the_middle_of_the_caches_work_waits_for_nothing(loader):
    cache = ModelCache(KB)
    loan = cache.borrow(key("a"), loader("a", 2 * KB))
    with cache._locked():  # where any new object may set the collector off
        del loan
    assert cache.facts().num_models == 0


def test_what_is_forgotten_goes_with_its_last_loan_and_is_then_loaded_anew(loader):
    cache = ModelCache(9 * KB)
    use(cache, loader, "other")
    one, two = cache.borrow(key("a"), loader("a")), cache.borrow(key("a"), loader("a"))
    cache.forget(key("a"))
    with one:
        assert cache.borrow(key("a"), loader("a")).model is one.model  # there is still one copy for all
    assert cache.facts().num_models == 2
    with two:
        pass
    assert cache.facts().num_models == 1
    use(cache, loader, "a")
    assert loader.calls == ["other", "a", "a"]
    cache.forget(key("a"))  # lent to nobody: now
    cache.forget(key("never here"))
    assert cache.facts().num_models == 1


def test_what_is_forgotten_while_it_is_loaded_serves_who_asked_and_goes(loader):
    cache = ModelCache(9 * KB)

    def load() -> nn.Module:
        cache.forget(key("a"))
        return of_size(KB)

    with cache.borrow(key("a"), load) as loan:
        assert cache.facts().num_models == 1
        assert bytes_of(loan.model) == KB
    assert cache.facts().num_models == 0


def test_forgetting_in_the_middle_of_the_caches_work_waits_for_nothing(loader):
    cache = ModelCache(9 * KB)
    use(cache, loader, "a")
    with cache._locked():  # where any new object may set the collector off
        cache.forget(key("a"))
    assert cache.facts().num_models == 0


def test_what_hangs_on_a_models_place_goes_when_the_model_is_evicted_though_it_holds_the_model(loader):
    cache, hanging = ModelCache(KB), weakref.WeakKeyDictionary()
    loan = cache.borrow(key("a"), loader("a"))
    hanging[loan.place] = [loan.model]
    del loan
    gc.collect()
    again = cache.borrow(key("a"), loader("a"))
    assert hanging[again.place] == [again.model]
    del again
    use(cache, loader, "b")
    gc.collect()
    assert not hanging


def test_ending_a_loan_twice_is_ending_it_once(loader):
    cache = ModelCache(KB)
    first, second = cache.borrow(key("a"), loader("a")), cache.borrow(key("a"), loader("a"))
    with first, first:
        pass
    del first
    assert cache.facts().num_lent == 1
    assert second.model is not None


def test_precision_is_part_of_the_key_and_halves_the_bytes(loader):
    cache = ModelCache(9 * KB)
    with (
        cache.borrow(key("a"), loader("a")) as full,
        cache.borrow(key("a", torch.float16), loader("a")) as half,
    ):
        assert (full.model.weight.dtype, half.model.weight.dtype) == (torch.float32, torch.float16)
    assert cache.facts().num_bytes == KB + KB // 2


def test_what_is_lent_is_frozen_and_in_evaluation_mode(loader):
    with ModelCache(KB).borrow(key("a"), loader("a")) as loan:
        assert not loan.model.training
        assert not any(parameter.requires_grad for parameter in loan.model.parameters())


def test_what_is_lent_can_be_run_through_and_measured_and_stays_as_it_is():
    plain, x = build_seeded("resnet_cifar", seed=2), torch.rand(1, 3, 32, 32)
    with ModelCache(2**30).borrow(key("net"), lambda: build_seeded("resnet_cifar", seed=2)) as loan:
        hooks = [list(module._forward_hooks) for module in loan.model.modules()]
        seen, expected = run_through(loan.model, x), run_through(plain, x)
        assert all(np.array_equal(one.maps, two.maps) for one, two in zip(seen.layers, expected.layers, strict=True))
        np.testing.assert_array_equal(maps_of(loan.model, x, 5), maps_of(plain, x, 5))
        field = effective_field(loan.model, x, 5, 3, 3)
        assert field.any()
        np.testing.assert_array_equal(field, effective_field(plain, x, 5, 3, 3))
        assert [list(module._forward_hooks) for module in loan.model.modules()] == hooks
        assert all(torch.equal(one, two) for one, two in zip(loan.model.parameters(), plain.parameters(), strict=True))


def test_running_out_of_memory_drops_what_nobody_uses_and_tries_again(loader):
    cache, tries = ModelCache(9 * KB), []
    kept = cache.borrow(key("lent"), loader("lent"))
    use(cache, loader, "idle")

    def tight() -> nn.Module:
        tries.append(cache.facts().num_models)
        if len(tries) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return of_size(KB)

    cache.borrow(key("new"), tight)
    assert tries == [2, 1]
    assert kept.model is cache.borrow(key("lent"), loader("lent")).model


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory")],
)
def test_memory_that_does_not_suffice_is_told_in_words(error):
    def fail() -> nn.Module:
        raise error

    with pytest.raises(ResourceExhausted, match=r"not enough memory\. Choose a smaller net"):
        ModelCache(KB).borrow(key("a"), fail)


def test_what_pytorch_says_when_memory_runs_out_is_understood():
    with pytest.raises(ResourceExhausted, match="not enough memory"), memory_in_words("No", "Try less."):
        torch.empty(2**62, dtype=torch.uint8)


def test_many_threads_with_little_room_never_meet_a_wrong_model():
    cache = ModelCache(2 * KB)

    def load(number: int):
        def make() -> nn.Module:
            model = of_size(KB)
            nn.init.constant_(model.get_parameter("weight"), number)
            return model

        return make

    def borrow(step: int) -> bool:
        number = step * 7 % 5
        with cache.borrow(key(str(number)), load(number)) as loan:
            return bool((loan.model.get_parameter("weight") == number).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(borrow, range(400)))
    facts = cache.facts()
    assert facts.num_lent == 0
    assert facts.num_bytes <= 2 * KB
    assert facts.num_loads - facts.num_evicted == facts.num_models


def test_shared_weights_are_counted_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    model.append(model[0])
    # 16 + 4 weights, then scale, shift, mean and variance of 4 channels: 4 bytes each; a count of 8 bytes.
    assert bytes_of(model) == 4 * (20 + 16) + 8


def test_the_budget_is_the_one_that_is_set(monkeypatch):
    monkeypatch.setenv("CNNLAB_MODEL_MEMORY_MB", "3")
    assert default_budget(torch.device("cpu")) == ModelCache().facts().budget_bytes == 3 * 2**20
    monkeypatch.setenv("CNNLAB_MODEL_MEMORY_MB", "much")
    with pytest.raises(ValueError, match="CNNLAB_MODEL_MEMORY_MB"):
        ModelCache().borrow(key("a"), lambda: of_size(KB))


def test_else_it_is_a_quarter_of_the_memory_of_the_machine_or_its_container(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("CNNLAB_MODEL_MEMORY_MB", raising=False)
    assert default_budget(torch.device("cpu")) == machine_memory() // 4
    machine = machine_memory(tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_memory(tmp_path) == machine
    (tmp_path / "memory.max").write_text("1000000\n")
    assert machine_memory(tmp_path) == 1_000_000
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("900000\n")
    assert machine_memory(tmp_path) == 900_000
