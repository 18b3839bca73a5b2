"""The layers of a net that a map can be made for, and the one to begin with.

The rule is that of torch-cam: the last layer whose maps are larger than 1 × 1. It is nearest to the answer and still
knows places. Departure: where a pooling made these, the maps before it are taken; they are finer and hold all that the
pooling sees.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules import pooling
from torch.nn.modules.dropout import _DropoutNd

from cnnlab.errors import Unsupported
from cnnlab.inference.capturing import as_taken, ready, watch_layers

_POOLING = tuple(getattr(pooling, name) for name in pooling.__all__)
_HANDING_ON = (nn.Identity, _DropoutNd)  # in evaluation mode


@dataclass(frozen=True, slots=True)
class LayerMaps:
    """What a layer makes of one picture: `channels` maps of `height` × `width` cells.

    Attributes:
        name: As `METHODS` take it: "layer4", "relu#2" for the second call of one layer.
        kind: Class of the module: "Conv2d", "Sequential".
        channels: How many maps.
        height: Cells.
        width: Cells.
    """

    name: str
    kind: str
    channels: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A layer that was chosen for somebody.

    Attributes:
        layer: Its name.
        reason: In a sentence for people.
    """

    layer: str
    reason: str


def layers_of(model: nn.Module, x: Tensor) -> tuple[LayerMaps, ...]:
    """The layers that make maps larger than 1 × 1 of such pictures, in the order in which they end; blocks as well.

    Args:
        model: Of `cnnlab.inference.share`, or any other; stays as it is.
        x: (N, C, H, W); the first picture is used.
    """
    return tuple(maps for maps, _ in _seen(model, x))


def automatic(model: nn.Module, x: Tensor) -> Choice:
    """The layer to begin with, and why.

    Args:
        model: As in `layers_of`.
        x: Likewise.

    Raises:
        Unsupported: No layer makes maps.
    """
    seen = _seen(model, x)
    if not seen:
        raise no_maps()
    before_pooling = [maps for maps, is_pooled in seen if not is_pooled]
    chosen = (before_pooling or [maps for maps, _ in seen])[-1]
    return Choice(
        layer=chosen.name,
        reason=f"{chosen.name} is the last layer that still knows places: {chosen.channels:,} maps of "
        f"{chosen.height} × {chosen.width} cells. What follows pools or flattens them.",
    )


def no_maps() -> Unsupported:
    """What to answer when a map is asked for and no layer of the net makes any."""
    return Unsupported(
        "This net makes no maps larger than 1 × 1, as nets without convolutions do, so none of its layers can tell "
        "where. Choose a method that works on the pixels, such as saliency or occlusion, or another net."
    )


def _seen(model: nn.Module, x: Tensor) -> list[tuple[LayerMaps, bool]]:
    """Each layer that makes maps, and whether they come out of a pooling."""
    model = ready(model)
    seen: list[tuple[LayerMaps, bool]] = []
    last: tuple[Tensor, bool] | None = None

    def watch(name: str, module: nn.Module, output: Tensor) -> None:
        nonlocal last
        is_pooled = isinstance(module, _POOLING)
        # A block that ends with a pooling, and a dropout behind one, hand on the very tensor that the pooling made.
        if last is not None and output is last[0] and (any(module.children()) or isinstance(module, _HANDING_ON)):
            is_pooled = last[1]
        last = (output, is_pooled)
        if output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            seen.append((LayerMaps(name, type(module).__name__, *output.shape[1:]), is_pooled))

    watch_layers(model, as_taken(model, x[:1]), watch)
    return seen
