"""From PyTorch's pickles to files that hold numbers only.

`torch.load` with `weights_only` makes tensors and plain values of a pickle, and runs nothing that it asks for. All the
same this is for the command line, where people convert files of their own: the lab's pages take safetensors alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from cnnlab.errors import InputRejected, ResourceExhausted
from cnnlab.inference.memory import is_out_of_memory, memory_in_words
from cnnlab.inference.weights_files import MAX_BYTES, read_weights_file, unwrapped
from cnnlab.storing import write_whole

_WITHIN = ("state_dict", "model_state_dict", "model")
_REAL = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_MAX_SHOWN = 80
_PROGRAM = re.compile(r"GLOBAL ([\w.]+)|TorchScript")  # in what PyTorch says of files that it would have to run


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What came of a file.

    Attributes:
        num_tensors: How many were written.
        num_values: How many numbers they hold.
        num_bytes: Size of the file that was written.
        taken_from: The part of a checkpoint that held the weights, or "" where they were all there was.
        left_out: What else is in the file: names, of parts of a checkpoint too; cut, and `escaped`.
    """

    num_tensors: int
    num_values: int
    num_bytes: int
    taken_from: str
    left_out: tuple[str, ...]


def convert(source: Path, target: Path) -> Converted:
    """Write the weights in a `.pt` file as `.safetensors`.

    They are those of the file itself, or of its "state_dict", "model_state_dict" or "model"; "module." before all names
    is taken off; tensors that share memory are written out each. What the lab's pages would refuse is not written,
    unless it is too large for them and nothing else.

    Args:
        source: What `torch.save` made of a state_dict, or of a checkpoint that holds one.
        target: Replaced where it exists; there wholly or not at all.

    Raises:
        InputRejected: The source is not there or no such file, can be read only by running what it asks for, or holds
            no weights that the lab takes; or the target is not to be written to.
        ResourceExhausted: Not enough memory, or the disk has something against it.
    """
    if target.suffix != ".safetensors":
        raise InputRejected(f"{target} must end in .safetensors. Give another name with --out.")
    with memory_in_words(f"{source} cannot be converted", "Convert it on a machine with more."):
        loaded = _loaded(source)
        parts: Mapping[Any, Any] = loaded if isinstance(loaded, Mapping) else {}
        taken_from = next((key for key in _WITHIN if isinstance(parts.get(key), Mapping)), "")
        found = parts[taken_from] if taken_from else parts
        state = {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, Tensor)}
        if not state:
            raise InputRejected(
                f"{source} holds no weights by name. Save them: torch.save(model.state_dict(), 'weights.pt')"
            )
        # Copies: safetensors refuses tensors that share memory.
        tensors = {name: _plain(name, tensor).contiguous().clone() for name, tensor in unwrapped(state).items()}
        content = _written(source, tensors)
    try:
        write_whole(target, content)
    except OSError as error:
        raise ResourceExhausted(
            f"{target} cannot be written: {error.strerror}. Make room there, or name another place with --out."
        ) from error
    others = [_name(key) for key in parts if taken_from and key != taken_from]
    return Converted(
        num_tensors=len(tensors),
        num_values=sum(tensor.numel() for tensor in tensors.values()),
        num_bytes=len(content),
        taken_from=taken_from,
        left_out=(*others, *(_name(key) for key in found if key not in state)),
    )


def escaped(text: str) -> str:
    """Somebody's text as one line that does nothing to a terminal: what is not printable stands there by its number."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _name(key: object) -> str:
    text = str(key)
    return escaped(text[:_MAX_SHOWN]) + "…" * (len(text) > _MAX_SHOWN)


def _written(source: Path, tensors: dict[str, Tensor]) -> bytes:
    for name in tensors:
        if not name.isprintable() or name == "__metadata__":
            raise InputRejected(
                f"{source} has a tensor called '{_name(name)}', a name that the lab does not take. Save it by another."
            )
    content = safetensors.torch.save(tensors)
    if len(content) <= MAX_BYTES:
        try:
            read_weights_file(content)
        except InputRejected as error:
            raise InputRejected(
                f"The lab would not take what {source} holds, so nothing is written. {error}"
            ) from error
    return content


def _loaded(source: Path) -> object:
    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputRejected(f"{source} cannot be read: {error.strerror}. Give a file of torch.save.") from error
    except Exception as error:
        # Of a damaged file PyTorch makes what its parsers happen to stumble over: KeyError, EOFError, RuntimeError …
        if is_out_of_memory(error):
            raise
        if needed := _PROGRAM.search(str(error)):
            raise InputRejected(
                f"{source} is a program as well as weights: to read it, Python would run {needed[1] or needed[0]}. "
                "That can do anything to your machine, so it is not read. Whoever made the file can save the weights "
                "alone: torch.save(model.state_dict(), 'weights.pt')"
            ) from error
        raise InputRejected(
            f"{source} is no file that torch.save made of weights, or it is cut off. Give one, as a .pt or .pth file; "
            ".safetensors need no converting."
        ) from error


def _plain(name: str, tensor: Tensor) -> Tensor:
    is_plain = tensor.layout == torch.strided and tensor.dtype in (*_REAL, *_WHOLE) and not tensor.is_meta
    if not is_plain:
        raise InputRejected(
            f"{_name(name)} holds numbers as {tensor.dtype} ({tensor.layout}, {tensor.device}), which the lab's nets "
            "do not have. Save plain, dense weights."
        )
    return tensor.detach()
