"""Weights that visitors bring in files: held in memory for their session alone, and gone with it."""

import hashlib
import threading
import weakref
from dataclasses import dataclass

import streamlit as st

from cnnlab.errors import InputRejected, ResourceExhausted
from cnnlab.images import Preprocessing
from cnnlab.inference.memory import machine_memory
from cnnlab.inference.weights_files import StateFile, read_weights_file, told_bytes
from cnnlab.nets.weights import Weights
from cnnlab.ui.text import short

UPLOAD = "upload:"
"""What the key of such weights begins with; the first digits of the file's digest follow."""

_MOST_FILES = 3
_MOST_BYTES = 500_000_000  # of one visitor: a file of 250 MB in 16 bits takes as much
_SHARE_OF_MACHINE = 0.125  # of all visitors
_KEPT = "workbench.own_weights"
_reading = threading.Lock()
_held: "weakref.WeakSet[StateFile]" = weakref.WeakSet()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    structure: str
    weights: Weights
    state: StateFile


def of(structure: str) -> dict[str, Weights]:
    """Key → the weights that this visitor has brought for a net, the latest last.

    Args:
        structure: What tells the net's structure from others, as in `keep`.
    """
    return {key: own.weights for key, own in _kept().items() if own.structure == structure}


def are_own(weights: Weights) -> bool:
    """Whether they are in a visitor's session and not in a file of the lab's."""
    return weights.file.startswith(UPLOAD)


def state_of(weights: Weights) -> StateFile:
    """The tensors of weights of `of`.

    Raises:
        InputRejected: They have left since.
    """
    for own in _kept().values():
        if own.weights.file == weights.file:
            return own.state
    raise InputRejected("The weights that you brought are no longer held. Bring the file again.")


def read(data: bytes) -> StateFile:
    """The weights in a visitor's file, where there is room for them; those that are held already, once.

    One file at a time is read, and only when there is room for what its header tells. What leaves to make room, at
    `keep`, is not counted: until then the visitor's old weights may be in memory beside the new ones.

    Args:
        data: The whole file.

    Raises:
        InputRejected: As `read_weights_file`.
        ResourceExhausted: The weights of all visitors together fill the memory that there is for them.
    """
    digest = hashlib.sha256(data).hexdigest()
    for own in _kept().values():
        if own.state.sha256 == digest:
            return own.state
    num_bytes = told_bytes(data)
    with _reading:
        staying = _staying(digest, num_bytes).values()
        leaving = {own.state for own in _kept().values()} - {own.state for own in staying}
        taken = sum(each.num_bytes for each in set(_held) - leaving)
        if taken + num_bytes > _SHARE_OF_MACHINE * machine_memory():
            raise ResourceExhausted(
                f"The weights that visitors have brought take {taken / 1e6:,.0f} MB, and the lab has no room for "
                f"{num_bytes / 1e6:,.0f} MB more. Try again when others have left."
            )
        state = read_weights_file(data)
        _held.add(state)
    return state


def keep(
    state: StateFile,
    *,
    structure: str,
    architecture: str,
    num_classes: int,
    input_shape: tuple[int, int, int],
    name: str,
) -> str:
    """Hold weights for the rest of the session; where there is no room the first that were brought leave.

    Args:
        state: Of `read`, checked to fit the net.
        structure: What tells the net's structure from others.
        architecture: Key of `ARCHITECTURES`, or "" for a net of the visitor's own.
        num_classes: Of the net with these weights.
        input_shape: Likewise.
        name: Of the file.

    Returns:
        The key of the weights.

    Raises:
        InputRejected: The net takes pictures of a number of channels that no picture has.
    """
    weights = Weights(
        label=f"{short(name)} (your file)",
        architecture=architecture,
        classes=state.classes
        if len(state.classes) == num_classes
        else tuple(f"class {number}" for number in range(num_classes)),
        preprocessing=_preprocessing(state, input_shape),
        file=f"{UPLOAD}{state.sha256}",
        sha256=state.sha256,
        num_bytes=state.num_bytes,
        accuracy=_told(state, input_shape[0]),
        source="a file that you uploaded",
    )
    key = _key(state.sha256)
    own = _Own(structure=structure, weights=weights, state=state)
    staying = _staying(state.sha256, state.num_bytes)
    # In place: of a value that another takes the place of, Streamlit keeps the old one until the next run.
    kept = st.session_state.setdefault(_KEPT, {})
    kept.clear()
    kept.update(staying | {key: own})
    return key


def _kept() -> dict[str, _Own]:
    return st.session_state.get(_KEPT, {})


def _key(digest: str) -> str:
    return f"{UPLOAD}{digest[:8]}"


def _staying(digest: str, num_bytes: int) -> dict[str, _Own]:
    """What this visitor keeps beside a new file: the first that were brought leave."""
    staying = {key: own for key, own in _kept().items() if key != _key(digest)}
    while staying and (
        len(staying) >= _MOST_FILES or sum(own.state.num_bytes for own in staying.values()) + num_bytes > _MOST_BYTES
    ):
        del staying[next(iter(staying))]
    return staying


def _preprocessing(state: StateFile, input_shape: tuple[int, int, int]) -> Preprocessing:
    channels, height, width = input_shape
    if channels not in (1, 3):
        raise InputRejected(f"The weights are for {channels:,} channels; a picture has 1 or 3. Take weights for these.")
    if state.preprocessing and len(state.preprocessing.mean) == channels:
        return state.preprocessing
    return Preprocessing(
        resize=(height, width),
        channels="grey" if channels == 1 else "rgb",
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
    )


def _told(state: StateFile, channels: int) -> str:
    quality = f"the file says “{state.accuracy}”" if state.accuracy else "the file does not say how good they are"
    if state.preprocessing and len(state.preprocessing.mean) == channels:
        return quality
    return f"{quality}, nor what the net was fed, so it gets levels from 0 to 1"
