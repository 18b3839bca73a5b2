"""Models that all visitors share: loaded once, lent to whoever asks, the least recently used gone when memory is short.

with cache.borrow(ModelKey(identity="lenet5|bundled"), load) as loan:
    predict(loan.model, …)
"""

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

import torch
from torch import nn

from cnnlab.inference.capturing import share
from cnnlab.inference.memory import bytes_of, default_budget, is_out_of_memory, memory_in_words

Load = Callable[[], nn.Module]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelKey:
    """What tells one shared model from every other.

    Attributes:
        identity: Architecture, weights, what random ones were drawn from, classes and channels, in any form. Of weights
            that belong to one visitor it holds a digest that nobody guesses.
        device: "cpu", "cuda", "cuda:1" …
        dtype: Of its numbers.
    """

    identity: str
    device: str = "cpu"
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFacts:
    """What the models of one device take, for pages. No keys: those may tell of a visitor's own nets.

    Attributes:
        num_models: How many are held.
        num_lent: How many of these are in use.
        num_bytes: What all of them take, parameters and buffers.
        budget_bytes: What they may take. More is taken only while it is in use.
        num_loads: How many models have been loaded so far, on all devices.
        num_evicted: How many have left so far, likewise.
    """

    num_models: int
    num_lent: int
    num_bytes: int
    budget_bytes: int
    num_loads: int
    num_evicted: int


@dataclass(slots=True, eq=False, weakref_slot=True)
class _Slot:
    """A place in the cache: for a model that is there or being loaded."""

    key: ModelKey
    loader: int  # the thread that loads it
    coming: Future[nn.Module] = field(default_factory=Future)
    num_bytes: int = 0
    num_loans: int = 0  # those who wait for it are counted too
    is_forgotten: bool = False


class Loan:
    """A model that is lent: it stays in the cache until the `with` block ends, or until this object is gone.

    Attributes:
        model: Shared by all who borrow it: of `cnnlab.inference.share`. Whoever borrows it leaves it as it is.
        place: Lives for as long as the model is in the cache or any loan of it is there, whoever else holds the model:
            a weak key for what should go with it.
    """

    def __init__(self, model: nn.Module, place: object, give_back: Callable[[], None]) -> None:
        self.model = model
        self.place = place
        # Called once, however the loan ends; also where a page is stopped in the middle and never reaches its end.
        self._end = weakref.finalize(self, give_back)
        self._end.atexit = False

    def __enter__(self) -> "Loan":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()


class ModelCache:
    """Models on their devices, one copy of each for all threads.

    A model is loaded once, however many ask for it at the same moment: the others wait for it, and for no other model.
    When the models on a device take more than its budget, the least recently used leave, but never one that is lent.
    One that is larger than the budget on its own is lent, pushes nobody out, and leaves when nobody uses it. A new
    model is weighed when it is there: while it is loaded, models may take the budget and that model.
    """

    def __init__(self, budget_bytes: int | None = None) -> None:
        """Nothing is held yet.

        Args:
            budget_bytes: For the models on each device; None for `cnnlab.inference.memory.default_budget`.
        """
        self._budget_bytes = budget_bytes
        self._budgets: dict[str, int] = {}
        self._slots: dict[ModelKey, _Slot] = {}  # the least recently used first
        self._lock = threading.Lock()  # never held while a model is loaded
        self._waiting: dict[int, _Slot] = {}  # thread → what it waits for
        self._returned: deque[_Slot] = deque()
        self._forgotten: deque[ModelKey] = deque()
        self._num_loads = 0
        self._num_evicted = 0

    def borrow(self, key: ModelKey, load: Load) -> Loan:
        """Lend a model; load it where it is not here.

        Args:
            key: Everything that `load` depends on.
            load: Makes the model, on any device, for the cache alone; it may borrow others. Called without a lock held.

        Raises:
            ResourceExhausted: There is not enough memory to load it, even without the models that nobody uses.
            RuntimeError: `load` asks for the model that it is to load, itself or by way of others.
            Exception: Whatever `load` raises, in all who waited for it. The next to ask tries again.
        """
        self._budget(key.device)  # first of all: it may find that the lab is set up wrongly
        while True:
            slot, is_new = self._claimed(key)
            if is_new:
                return self._lent(slot, self._loaded(slot, load))
            try:
                return self._lent(slot, self._arrived(slot))
            except _Abandoned:
                continue  # whoever loaded it was interrupted, which is no fault of the model: it is our turn

    def forget(self, key: ModelKey) -> None:
        """Let a model go now, or when its last loan ends; whoever asks for it after that has it loaded anew.

        Never waits, so a finalizer may call it. What is not here is forgotten already.
        """
        self._forgotten.append(key)
        self._settle()

    def facts(self, device: str = "cpu") -> CacheFacts:
        """What the models on a device take now."""
        budget = self._budget(device)
        with self._locked():
            here = [slot for slot in self._slots.values() if slot.key.device == device and slot.coming.done()]
            return CacheFacts(
                num_models=len(here),
                num_lent=sum(slot.num_loans > 0 for slot in here),
                num_bytes=sum(slot.num_bytes for slot in here),
                budget_bytes=budget,
                num_loads=self._num_loads,
                num_evicted=self._num_evicted,
            )

    def _claimed(self, key: ModelKey) -> tuple[_Slot, bool]:
        """The key's slot, counted as lent from now on so that it stays; and whether it is ours to load."""
        with self._locked():
            slot = self._slots.pop(key, None)
            is_new = slot is None
            slot = self._slots[key] = slot or _Slot(key, threading.get_ident())  # to the end: the last one used
            if not is_new and not slot.coming.done():
                self._check_end(slot)
                self._waiting[threading.get_ident()] = slot
            slot.num_loans += 1
            return slot, is_new

    def _check_end(self, slot: _Slot) -> None:
        """Waiting must have an end: refuse to wait for a load that waits for one of this thread's own."""
        seen: _Slot | None = slot
        while seen is not None and not seen.coming.done():
            if seen.loader == threading.get_ident():
                raise RuntimeError("loading a model asks for the model that is being loaded")
            seen = self._waiting.get(seen.loader)

    def _loaded(self, slot: _Slot, load: Load) -> nn.Module:
        try:
            model = self._made(slot.key, load)
        except BaseException as error:
            with self._locked():
                del self._slots[slot.key]
            slot.coming.set_exception(error if isinstance(error, Exception) else _Abandoned())
            raise
        with self._locked():
            slot.num_bytes = bytes_of(model)
            self._num_loads += 1
            slot.coming.set_result(model)
            self._make_room(slot.key.device, self._budget(slot.key.device))
        return model

    def _made(self, key: ModelKey, load: Load) -> nn.Module:
        try:
            return _placed(key, load)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        with self._locked():
            self._make_room(key.device, 0)
        with memory_in_words(
            "The net cannot be loaded", "Choose a smaller net, or try again when others have finished."
        ):
            return _placed(key, load)

    def _arrived(self, slot: _Slot) -> nn.Module:
        try:
            return slot.coming.result()
        except BaseException:
            self._give_back(slot)
            raise
        finally:
            self._waiting.pop(threading.get_ident(), None)

    def _lent(self, slot: _Slot, model: nn.Module) -> Loan:
        return Loan(model, slot, lambda: self._give_back(slot))

    def _give_back(self, slot: _Slot) -> None:
        """The garbage collector calls this, too, in the middle of anything, also of what holds the lock: never wait."""
        self._returned.append(slot)
        self._settle()

    def _settle(self) -> None:
        while (self._returned or self._forgotten) and self._lock.acquire(blocking=False):
            try:
                self._take_back()
            finally:
                self._lock.release()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            self._take_back()
            yield
        self._settle()  # what came back in the meantime

    def _take_back(self) -> None:
        devices = set()
        while self._returned:
            slot = self._returned.popleft()
            slot.num_loans -= 1
            devices.add(slot.key.device)
        while self._forgotten:
            key = self._forgotten.popleft()
            if key in self._slots:
                self._slots[key].is_forgotten = True
                devices.add(key.device)
        for device in devices:
            self._make_room(device, self._budget(device))

    def _make_room(self, device: str, budget: int) -> None:
        """Let models go, the least recently used first, until the others fit into the budget or are all lent."""
        here = [slot for slot in self._slots.values() if slot.key.device == device and slot.coming.done()]
        for slot in here:
            if not slot.num_loans and (slot.is_forgotten or slot.num_bytes > budget):
                self._drop(slot)
        taken = sum(slot.num_bytes for slot in here if slot.num_bytes <= budget and slot.key in self._slots)
        for slot in here:
            if taken > budget and not slot.num_loans and slot.key in self._slots:
                self._drop(slot)
                taken -= slot.num_bytes

    def _drop(self, slot: _Slot) -> None:
        del self._slots[slot.key]
        self._num_evicted += 1

    def _budget(self, device: str) -> int:
        if device not in self._budgets:
            chosen = self._budget_bytes
            self._budgets[device] = default_budget(torch.device(device)) if chosen is None else chosen
        return self._budgets[device]


def _placed(key: ModelKey, load: Load) -> nn.Module:
    return share(load().to(device=key.device, dtype=key.dtype))


class _Abandoned(Exception):
    """A load that was interrupted: its script was stopped."""
