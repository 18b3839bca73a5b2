"""A summary as text, as CSV and as JSON."""

import csv
import io
import json
import math
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from cnnlab.nets.summary import FLOAT32_BYTES, LayerFacts, totals
from cnnlab.nets.tracing import Block

_MEGABYTE = 1024**2
_LINE = 64


def torchsummary_text(facts: Sequence[LayerFacts], input_shape: tuple[int, int, int], batch_size: int = -1) -> str:
    """Set a summary as the package torchsummary 1.5.1 prints it, so that it can be laid beside other people's.

    Layers and blocks are listed, functions are not, as there. "Forward/backward pass size" is 2 × all outputs listed;
    what training really takes tells `cnnlab.nets.memory`. Departure: parameters that layers share, and those of
    functions and of layers that did not run, are in the totals, once; torchsummary counts shared ones as often as they
    are used, and the others not at all.

    Args:
        facts: From `cnnlab.nets.summary.summarize`.
        input_shape: (C, H, W) they were made for.
        batch_size: Shown before each shape; −1 stands for any, and counts as one picture.
    """
    rows = _rows(facts)
    total = totals(facts)
    pictures = abs(batch_size)
    input_mb = math.prod(input_shape) * pictures * FLOAT32_BYTES / _MEGABYTE
    outputs_mb = 2 * sum(math.prod(shape) for _, shape, _ in rows) * pictures * FLOAT32_BYTES / _MEGABYTE
    params_mb = total.num_params * FLOAT32_BYTES / _MEGABYTE
    return "\n".join(
        [
            "-" * _LINE,
            f"{'Layer (type)':>20}  {'Output Shape':>25} {'Param #':>15}",
            "=" * _LINE,
            *[
                f"{f'{kind}-{number}':>20}  {[batch_size, *shape]!s:>25} {num_params:>15,}"
                for number, (kind, shape, num_params) in enumerate(rows, 1)
            ],
            "=" * _LINE,
            f"Total params: {total.num_params:,}",
            f"Trainable params: {total.num_trainable:,}",
            f"Non-trainable params: {total.num_params - total.num_trainable:,}",
            "-" * _LINE,
            f"Input size (MB): {input_mb:.2f}",
            f"Forward/backward pass size (MB): {outputs_mb:.2f}",
            f"Params size (MB): {params_mb:.2f}",
            f"Estimated Total Size (MB): {input_mb + outputs_mb + params_mb:.2f}",
            "-" * _LINE,
        ]
    )


def to_csv(facts: Sequence[LayerFacts]) -> str:
    """One line per row, with the names of `to_json`; shapes as "6x30x30"."""
    file = io.StringIO()
    records = [_record(fact) for fact in facts]
    writer = csv.DictWriter(file, fieldnames=list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({key: _cell(key, value) for key, value in record.items()})
    return file.getvalue()


def to_json(facts: Sequence[LayerFacts]) -> str:
    """Rows and totals; units are in the names. Everything is for one picture, in float32."""
    total = totals(facts)
    document = {
        "layers": [_record(fact) for fact in facts],
        "totals": {
            "num_params": total.num_params,
            "num_trainable": total.num_trainable,
            "num_unused": total.num_unused,
            "param_bytes": total.param_bytes,
            "macs": total.macs,
            "activation_bytes": total.activation_bytes,
            "num_layers": total.num_layers,
            "depth": total.depth,
        },
    }
    return json.dumps(document, ensure_ascii=False, indent=2)


def _rows(facts: Sequence[LayerFacts]) -> list[tuple[str, tuple[int, ...], int]]:
    """Kind, output and parameters of the layers in order, and of each block after its last layer or function.

    torchsummary leaves out the net itself, `nn.Sequential` and what inherits from it.
    """
    rows: list[tuple[str, tuple[int, ...], int]] = []
    inside: tuple[Block, ...] = ()
    shape: tuple[int, ...] = ()

    def leave(blocks: Sequence[Block]) -> None:
        rows.extend((block.kind, shape, 0) for block in reversed(blocks) if not block.is_sequential)

    for fact in facts:
        if not fact.is_used:
            continue
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(inside, fact.blocks, strict=False)))
        leave(inside[shared:])
        inside, shape = fact.blocks, fact.output_shape
        if fact.is_module and fact.kind != "Sequential":  # one with nothing inside
            rows.append((fact.kind, shape, fact.num_params))
    leave(inside)
    return rows


def _record(fact: LayerFacts) -> dict[str, Any]:
    seen = fact.receptive_field
    return {
        "index": fact.index,
        "name": fact.name,
        "kind": fact.kind,
        "scope": list(fact.scope),
        "is_module": fact.is_module,
        "is_used": fact.is_used,
        "hyperparameters": {key: _plain(value) for key, value in fact.hyperparameters.items()},
        "inputs": list(fact.inputs),
        "input_shape": list(fact.input_shape),
        "output_shape": list(fact.output_shape),
        "num_params": fact.num_params,
        "num_trainable": fact.num_trainable,
        "shares_with": fact.shares_with,
        "macs": fact.macs,
        "activation_bytes": fact.activation_bytes,
        "receptive_field_px": list(seen.size) if seen else None,
        "receptive_field_jump_px": list(seen.jump) if seen else None,
        "receptive_field_start_px": list(seen.start) if seen else None,
        "sees_whole_image": seen.whole_image if seen else None,
    }


def _plain(value: Any) -> Any:
    """A value that JSON has; anything else as text."""
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _cell(key: str, value: Any) -> Any:
    if isinstance(value, list):
        between = "x" if key.endswith(("_shape", "_px")) else " "
        return between.join(f"{each:g}" if isinstance(each, float) else str(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={each}" for name, each in value.items())
    return "" if value is None else value
