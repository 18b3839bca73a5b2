"""`python -m cnnlab convert`: a .pt file made fit for the browser."""

import argparse
import sys
from pathlib import Path

from cnnlab.errors import InputRejected
from cnnlab.inference.converting import convert as convert_file
from cnnlab.inference.converting import escaped
from cnnlab.inference.weights_files import MAX_BYTES

_FEW = 8


def convert(told: argparse.Namespace) -> int:
    """Convert a file and say what was written.

    Returns:
        For the shell.

    Raises:
        LabError: It cannot be done.
    """
    if not told.file.name:
        raise InputRejected(f"{told.file} is a folder. Give a file of torch.save.")
    target: Path = told.out or told.file.with_suffix(".safetensors")
    made = convert_file(told.file, target)
    tensors = f"{made.num_tensors:,} tensor{'s' * (made.num_tensors != 1)}"
    lines = [f"Wrote {escaped(str(target))} ({made.num_bytes / 1e6:.2f} MB): {tensors}, {made.num_values:,} numbers"]
    if made.taken_from:
        lines.append(f"Taken from its {made.taken_from!r}")
    if made.left_out:
        more = f" and {len(made.left_out) - _FEW:,} more" if len(made.left_out) > _FEW else ""
        lines.append(f"Left out: {', '.join(made.left_out[:_FEW])}{more}")
    if made.num_bytes > MAX_BYTES:
        lines.append(f"The lab's pages take files of up to {MAX_BYTES / 1e6:,.0f} MB, so not this one")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0
