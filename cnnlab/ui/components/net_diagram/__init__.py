"""A net as blocks along the flow: what each layer makes of the tensor, and which way it goes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import numpy as np
import streamlit as st

from cnnlab.figures.palette import OKABE_ITO
from cnnlab.ui.components import held, ignore, pack, view

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Node(TypedDict):
    """One call in the net.

    `index` names it, `inputs` holds the indices of what it reads (−1 for the net's input). `shape` is that of its
    output without the batch. `label` is written under the block ("Conv 3×3"), `kind` is the class or function,
    `family` one of `FAMILIES` (see `family_of`). `scope` are the containers around it, outermost first, by name or by
    path (("layer1", "0") or ("layer1", "layer1.0")), `scope_kinds` their classes. `lines` is what the panel says of
    it, as (label, value). `shares` are parts of the net's total, 0 to 1, by measure. `error` is why the net stops
    here.
    """

    index: int
    name: str
    label: str
    kind: str
    family: str
    shape: Sequence[int]
    inputs: Sequence[int]
    scope: Sequence[str]
    scope_kinds: Sequence[str]
    lines: Sequence[tuple[str, str]]
    shares: Mapping[str, float]
    error: NotRequired[str]


FAMILIES: dict[str, tuple[str, str]] = {
    "convolution": ("Convolution", OKABE_ITO[0]),
    "pooling": ("Pooling", OKABE_ITO[5]),
    "activation": ("Activation", OKABE_ITO[1]),
    "normalisation": ("Normalisation", OKABE_ITO[6]),
    "linear": ("Linear", OKABE_ITO[2]),
    "merge": ("Add, concatenate", OKABE_ITO[3]),
    "attention": ("Gate, attention", OKABE_ITO[4]),
    "reshape": ("Reshape", OKABE_ITO[7]),
    "dropout": ("Dropout", "#B9B2A6"),
    "other": ("Other", "#9A8FB0"),
}
"""Name shown to people and colour of each family of operations, in the order of the legend."""

# Written as `_bare` leaves them: lower case, no underscores, no dimension, no "lazy" or "adaptive".
_KINDS: dict[str, frozenset[str]] = {
    family: frozenset(names.split())
    for family, names in {
        "convolution": "conv convtranspose",
        "pooling": "maxpool avgpool lppool fractionalmaxpool maxunpool mean amax amin max sum upsample "
        "upsamplingnearest upsamplingbilinear interpolate",
        "activation": "relu relu6 leakyrelu prelu rrelu elu selu celu gelu glu silu swish mish sigmoid hardsigmoid "
        "logsigmoid tanh hardtanh tanhshrink hardswish hardshrink softshrink softplus softsign softmin softmax "
        "logsoftmax threshold clamp exp abs",
        "normalisation": "batchnorm syncbatchnorm instancenorm groupnorm layernorm rmsnorm localresponsenorm "
        "crossmaplrn frozenbatchnorm normalize weightnorm",
        "linear": "linear bilinear embedding embeddingbag addmm",
        "merge": "add iadd radd sub isub rsub cat concat concatenate stack maximum minimum",
        "attention": "mul imul rmul div truediv multiheadattention scaleddotproductattention matmul bmm einsum",
        "reshape": "flatten unflatten view reshape permute transpose squeeze unsqueeze contiguous chunk split getitem "
        "pad zeropad reflectionpad replicationpad constantpad circularpad pixelshuffle pixelunshuffle fold unfold "
        "channelshuffle roll expand identity t size narrow slice",
        "dropout": "dropout alphadropout featurealphadropout stochasticdepth droppath",
    }.items()
}

_SIGNS = {"add": "+", "iadd": "+", "radd": "+", "sub": "−", "isub": "−", "rsub": "−", "mul": "×", "imul": "×"}
_SIGNS |= {"rmul": "×", "div": "÷", "truediv": "÷"}

_MEASURES = {"params": "parameters", "macs": "MACs"}

_mount = view(
    Path(__file__).parent, "cnnlab_net_diagram", '<div class="cl-root cl-net" data-testid="net-diagram">\n</div>'
)


def family_of(kind: str) -> str:
    """The family of a module class ("BatchNorm2d") or function ("max_pool2d"); "other" for what is unknown."""
    bare = _bare(kind)
    return next((family for family, kinds in _KINDS.items() if bare in kinds), "other")


def net_diagram(
    nodes: Sequence[Node],
    *,
    key: str,
    input_shape: Sequence[int],
    alt: str,
    net_id: str,
    measure: str | None = None,
    selected: int | None = None,
    thumbnail: NDArray[np.uint8] | None = None,
    max_height: int = 420,
    on_pick: Callable[[], None] | None = None,
) -> int | None:
    """Draw a net from left to right, as blocks as large as their tensors, and let a node be picked.

    Args:
        nodes: In the order of the calls. One with an `error` is the last.
        key: Streamlit key; the pick is kept under it as `{"pick": {"index": …, "net": …, "count": …}}`.
        input_shape: Of the net's input, without the batch.
        alt: What is drawn, for those who cannot see it.
        net_id: The drawing of another net starts afresh; of the same one it keeps zoom and open groups.
        measure: Which of the nodes' shares to draw as bars: a key of `shares` ("params", "macs", "memory", or any
            other); none if not given.
        selected: Index of the node to mark. A pick newer than the last run goes before it.
        thumbnail: Colours, shape (H, W, 3), shown on the input; a hundred pixels wide is plenty.
        max_height: In CSS pixels, without the legend.
        on_pick: Called when a node is picked, before the page runs.

    Returns:
        Index of the marked node: the one just picked, else `selected`, else the last one picked in this net.
    """
    known = {node["index"] for node in nodes}
    pick = held(st.session_state.get(key), "pick")
    index = _index(pick) if held(pick, "net") == net_id else None
    count = held(pick, "count")
    count = count if isinstance(count, int) else 0
    memory = f"{key}.heard"
    fresh = index is not None and st.session_state.get(memory) != count
    st.session_state[memory] = count
    chosen = index if fresh or selected is None else selected
    chosen = chosen if chosen in known else None

    height, width = (0, 0) if thumbnail is None else thumbnail.shape[:2]
    header = {
        "nodes": [_plain(node) for node in nodes],
        "families": [{"id": family, "label": label, "colour": hue} for family, (label, hue) in FAMILIES.items()],
        "inputShape": [int(size) for size in input_shape],
        "alt": alt,
        "net": net_id,
        "measure": measure,
        "measured": _MEASURES.get(measure, measure) if measure else "",
        "pick": chosen,
        "heard": count,
        "thumbnail": [height, width],
        "maxHeight": max_height,
    }
    body = b"" if thumbnail is None else np.ascontiguousarray(thumbnail, dtype=np.uint8).tobytes()
    _mount(key=key, data=pack(header, body), on_pick_change=on_pick or ignore)
    return chosen


def picked_node(key: str) -> int | None:
    """Index of the latest pick in a diagram, for a callback; None if the browser sent something else."""
    return _index(held(st.session_state.get(key), "pick"))


def _bare(kind: str) -> str:
    plain = kind.lower().replace("_", "").removeprefix("lazy").removeprefix("adaptive")
    return re.sub(r"[123]d$", "", plain)


def _index(pick: Any) -> int | None:
    index = held(pick, "index")
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def _names(scope: Sequence[str]) -> list[str]:
    """Each container by its own name, without the names of those around it."""
    around = ["", *(f"{path}." for path in scope)]
    return [path.removeprefix(outer) for outer, path in zip(around, scope, strict=False)]


def _plain(node: Node) -> dict[str, Any]:
    return {
        "index": node["index"],
        "name": node["name"],
        "label": node["label"],
        "kind": node["kind"],
        "family": node["family"] if node["family"] in FAMILIES else "other",
        "symbol": _SIGNS.get(_bare(node["kind"]), ""),
        "shape": [int(size) for size in node["shape"]],
        "inputs": [int(index) for index in node["inputs"]],
        "scope": _names(node["scope"]),
        "kinds": list(node["scope_kinds"]),
        "lines": [[label, value] for label, value in node["lines"]],
        "shares": {
            name: min(max(float(share), 0.0), 1.0) for name, share in node["shares"].items() if math.isfinite(share)
        },
        "error": node.get("error", ""),
    }
