"""Weights in a file that somebody brings: read with suspicion, and matched to a net name by name.

A `.safetensors` file is eight bytes with the length of a header, the header in JSON, and the numbers, one tensor right
behind the other. The header is checked here before safetensors sees it. Nothing is ever unpickled: what a `.pt` file
holds is code, and `cnnlab.inference.converting` makes a file of numbers of it where its owner has it.

state = read_weights_file(data)
num_classes, in_channels = sizes_in(state, ARCHITECTURES["lenet5"].build)
fit(model, state)
"""

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from cnnlab.errors import InputRejected
from cnnlab.images import Preprocessing

Value = TypeVar("Value")

MAX_BYTES = 250_000_000
"""Of a file: AlexNet's 61 million weights in 32 bits are 244 MB."""

_MAX_HEADER = 1_000_000  # a thousand tensors and a thousand names of classes take a fifth of it
_MAX_TENSORS = 10_000
_MAX_AXES = 8
_MOST = 2**48  # sides and places; more is nonsense, and unreadable in a message
_MAX_CLASSES = 1000
_MAX_TEXT = 200  # characters, of names and whatever else is said
_LISTED = 8
_WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel, and of torch.compile
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1}  # bytes
_SCALES = (1e-6, 1e6)  # in which means and deviations of pictures lie
_ZIP = b"PK\x03\x04"
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class StateFile:
    """What a file of weights holds. All its text is somebody's: short and printable, to be shown as text.

    Attributes:
        tensors: By name, on the CPU, finite: float32 or whole numbers. Not to be changed.
        label: What the file calls itself, or "".
        architecture: Key of the net that it says it is for, or "".
        classes: Names of the classes that it tells, in the order of the logits; empty where it does not.
        preprocessing: What the net was fed; None where the file does not tell.
        accuracy: How good it says the net is, or "".
        sha256: Of the whole file, in hex: what tells these weights from all others.
    """

    tensors: Mapping[str, Tensor]
    label: str
    architecture: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing | None
    accuracy: str
    sha256: str

    @property
    def num_bytes(self) -> int:
        """What the tensors take in memory."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def read_weights_file(data: bytes) -> StateFile:
    """The tensors of a `.safetensors` file, and what it says of itself.

    Numbers of 16 or 64 bits become float32; "module." before all names, which DataParallel leaves, is taken off.

    Args:
        data: The whole file.

    Raises:
        InputRejected: It is too large, of another kind, cut off, damaged or made to do harm, or holds numbers that no
            net has.
    """
    _, said = _checked(data)
    try:
        read = safetensors.torch.load(data)
    except (safetensors.SafetensorError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise _damaged(_shown(str(error))) from error
    tensors = unwrapped({name: _sound(name, read.pop(name)) for name in [*read]})
    said = {key: value for key, value in said.items() if isinstance(value, str)} if isinstance(said, dict) else {}
    classes, preprocessing = _facts(said)
    return StateFile(
        tensors=tensors,
        label=_text(said.get("label", "")),
        architecture=_text(said.get("architecture", "")),
        classes=classes,
        preprocessing=preprocessing,
        accuracy=_text(said.get("accuracy", "")),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def told_bytes(data: bytes) -> int:
    """What the tensors of a file will take in memory, by its header alone: `StateFile.num_bytes` before there is one.

    Raises:
        InputRejected: As `read_weights_file`, where the header shows what is wrong.
    """
    header, _ = _checked(data)
    return sum(math.prod(entry["shape"]) * _held_size(entry["dtype"]) for entry in header.values())


def _checked(data: bytes) -> tuple[dict[str, Any], object]:
    """The tensors that the header tells of, which fill the file, and whatever else it says."""
    if len(data) > MAX_BYTES:
        raise InputRejected(
            f"The file has {len(data) / 1e6:,.0f} MB; the lab takes weights of up to {MAX_BYTES / 1e6:,.0f} MB. Save "
            "them in 16 bits, which makes half of 32, or take a smaller net."
        )
    header, start = _header(data)
    said = header.pop("__metadata__", {})
    _check_layout(header, len(data) - start)
    return header, said


def _held_size(kind: str) -> int:
    return _SIZES["F32"] if "F" in kind else _SIZES[kind]  # as in `_sound`


def unwrapped(state: Mapping[str, Value]) -> dict[str, Value]:
    """The same by shorter names, where all begin with what DataParallel or `torch.compile` puts before them."""
    for prefix in _WRAPPERS:
        if state and all(name.startswith(prefix) for name in state):
            return unwrapped({name.removeprefix(prefix): value for name, value in state.items()})
    return dict(state)


def sizes_in(state: StateFile, build: Callable[..., nn.Module]) -> tuple[int | None, int | None]:
    """For how many classes and channels the weights are, told by the layers that change with these numbers.

    Args:
        state: Weights for a net of `build`, or not.
        build: As in `Architecture`.

    Returns:
        Classes, channels; None for one that cannot be told.
    """

    def shapes(num_classes: int, in_channels: int) -> dict[str, torch.Size]:
        with torch.device("meta"):
            return _shapes(build(num_classes=num_classes, in_channels=in_channels).state_dict())

    given, few, more, grey = _shapes(state.tensors), shapes(2, 3), shapes(3, 3), shapes(2, 1)
    outputs = (
        given[name][axis]
        for name, shape in few.items()
        for axis, sides in enumerate(zip(shape, more[name], strict=True))
        if sides == (2, 3) and len(given.get(name, ())) == len(shape)
    )
    # Channels need not stand in a shape as they are: a net without convolutions takes all pixels of all channels.
    first = [name for name, shape in few.items() if shape != grey[name]]
    channels = (
        number
        for number, expected in ((1, grey), (3, few))
        if first and all(given.get(name) == expected[name] for name in first)
    )
    return next(outputs, None), next(channels, None)


def fit(model: nn.Module, state: StateFile) -> None:
    """Give a net the weights of a file. One that they do not fit stays as it is.

    Args:
        model: On any device; not shared yet.
        state: Of `read_weights_file`.

    Raises:
        InputRejected: As `check_fit`.
    """
    check_fit(model, state)
    # Files from before PyTorch 0.4.1 have no count of batches, and nothing is computed with it.
    model.load_state_dict({name: state.tensors.get(name, tensor) for name, tensor in model.state_dict().items()})


def check_fit(model: nn.Module, state: StateFile) -> None:
    """Whether the weights of a file are for a net, which may be on the meta device.

    Raises:
        InputRejected: They are for another net; says which tensors do not fit, with both shapes.
    """
    expected = model.state_dict()
    wrong = [
        *(_misfit(name, state.tensors.get(name), tensor) for name, tensor in expected.items()),
        *(
            f"{_shown(name)} ({_size(tensor)}) is in the file and not in the net"
            for name, tensor in state.tensors.items()
            if name not in expected
        ),
    ]
    wrong = [each for each in wrong if each]
    if wrong:
        more = [f"and {len(wrong) - _LISTED:,} more"] if len(wrong) > _LISTED else []
        raise InputRejected(
            "\n".join(
                [
                    "The file holds weights of another net. Choose the net that they were trained in. What does not "
                    "fit:",
                    *(f"– {each}" for each in (*wrong[:_LISTED], *more)),
                ]
            )
        )


def _misfit(name: str, given: Tensor | None, expected: Tensor) -> str:
    if given is None:
        return "" if name.endswith("num_batches_tracked") else f"{name} ({_size(expected)}) is missing in the file"
    if given.shape != expected.shape:
        return f"{name} is {_size(given)} in the file and {_size(expected)} in the net"
    if given.is_floating_point() != expected.is_floating_point():
        kinds = ["whole", "real"]
        return (
            f"{name} holds {kinds[given.is_floating_point()]} numbers in the file and "
            f"{kinds[expected.is_floating_point()]} ones in the net"
        )
    return ""


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _size(tensor: Tensor) -> str:
    return " × ".join(f"{side:,}" for side in tensor.shape) or "one number"


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """What the header says, and where the numbers begin."""
    length = int.from_bytes(data[:8], "little")
    if data[8:9] != b"{" or length > _MAX_HEADER:
        if data.startswith((_ZIP, *_PICKLES)):
            raise InputRejected(
                "The file is a pickle of PyTorch (.pt, .pth). It may hold a program, which the lab does not run. "
                "Convert it where you have it, then upload what comes out: python -m cnnlab convert FILE.pt"
            )
        raise InputRejected(
            "The file is no .safetensors file, or its header is damaged. Save the weights with safetensors, or convert "
            "a .pt file: python -m cnnlab convert FILE.pt"
        )
    if 8 + length > len(data):
        raise InputRejected(
            f"The file is cut off: its header alone takes {8 + length:,} bytes, and there are {len(data):,}. Copy or "
            "upload it again."
        )
    try:
        header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise _damaged("its header is not JSON") from error
    if not isinstance(header, dict):
        raise _damaged("its header is not a list of tensors by name")
    return header, 8 + length


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _damaged("a name stands in its header twice")
    return found


def _check_layout(header: Mapping[str, Any], num_bytes: int) -> None:
    """Each tensor has a name, a kind of number and a shape, and fills its place; the places fill the file."""
    if not 1 <= len(header) <= _MAX_TENSORS:
        raise InputRejected(f"The file holds {len(header):,} tensors; the lab takes 1 to {_MAX_TENSORS:,}.")
    places = sorted(_place(name, entry) for name, entry in header.items())
    ends = [0, *(end for _, end, _ in places)]
    for end, (begin, _, name) in zip(ends, places, strict=False):
        if begin != end:
            raise _damaged(f"{_shown(name)} does not begin where the tensor before it ends")
    if ends[-1] > num_bytes:
        raise InputRejected(
            f"The file is cut off: its tensors take {ends[-1]:,} bytes, and {num_bytes:,} are there. Copy or upload it "
            "again."
        )
    if ends[-1] < num_bytes:
        raise _damaged(f"{num_bytes - ends[-1]:,} bytes at its end belong to no tensor")


def _place(name: str, entry: object) -> tuple[int, int, str]:
    if not name.isprintable() or len(name) > _MAX_TEXT:
        raise _damaged(f"the name {_shown(name)} of a tensor is too long, or not printable")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _damaged(f"its header does not say what {_shown(name)} is")
    kind, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _SIZES:
        what = f"numbers of the kind {_shown(kind)}" if isinstance(kind, str) else "numbers of no kind"
        raise InputRejected(
            f"{_shown(name)} holds {what}; the lab takes {', '.join(_SIZES)}. Save the weights as one of these."
        )
    if not _are_whole(shape) or len(shape) > _MAX_AXES or 0 in shape:
        raise _damaged(f"the shape of {_shown(name)} makes no sense")
    if not _are_whole(place) or len(place) != 2 or place[1] - place[0] != math.prod(shape) * _SIZES[kind]:
        raise _damaged(f"the place of {_shown(name)} does not have the size of its shape")
    return place[0], place[1], name


def _are_whole(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < _MOST for value in values)


def _sound(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    tensor = tensor.float()
    if not all(math.isfinite(bound) for bound in torch.stack(torch.aminmax(tensor)).tolist()):
        raise InputRejected(
            f"{_shown(name)} holds NaN or ∞, so the net would answer with nothing else. Take weights from before the "
            "training went wrong."
        )
    return tensor


def _facts(said: Mapping[str, str]) -> tuple[tuple[str, ...], Preprocessing | None]:
    """Classes and preprocessing, as the lab's weights and its runs write them; nothing where they make no sense."""
    run = _json(said.get("facts", ""))
    if isinstance(run, dict):
        side, is_grey = run.get("side"), run.get("in_channels") == 1
        steps: object = {
            "resize": [side, side],
            "channels": "grey" if is_grey else "rgb",
            "mean": run.get("mean"),
            "std": run.get("std"),
        }
        return _classes(run.get("classes")), _preprocessing(steps)
    return _classes(_json(said.get("classes", ""))), _preprocessing(_json(said.get("preprocessing", "")))


def _classes(told: object) -> tuple[str, ...]:
    if not isinstance(told, list) or len(told) > _MAX_CLASSES or not all(isinstance(name, str) for name in told):
        return ()
    return tuple(_text(name) or f"class {number}" for number, name in enumerate(told))


def _preprocessing(told: object) -> Preprocessing | None:
    if not isinstance(told, dict):
        return None
    try:
        steps: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
        made = Preprocessing(**steps)
        # What is beyond any use would make ∞ of every picture.
        is_usable = max(map(abs, (*made.mean, *made.std))) <= _SCALES[1] and min(made.std) >= _SCALES[0]
    except (InputRejected, TypeError, ValueError, OverflowError):
        return None
    return made if is_usable else None


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(text: str) -> str:
    return "".join(itertools.islice(filter(str.isprintable, text), _MAX_TEXT)).strip()


def _shown(text: str) -> str:
    made = _text(text)
    return made if len(made) <= 60 else f"{made[:57]}…"


def _damaged(what: str) -> InputRejected:
    return InputRejected(f"The file is damaged: {what}. Save it again with safetensors.")
