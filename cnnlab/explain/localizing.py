r"""Whether a map points at the object, in drawn pictures where the place of the object is known to the pixel.

Pointing game: Zhang et al., Top-down Neural Attention by Excitation Backprop, IJCV 2018, section 4: a hit where the
highest value lies on the object. Energy: Wang et al., Score-CAM, CVPR Workshops 2020, section 4.3: the share of the
map's positive values on the object. IoU: the highest pixels, as many as the object has, against the object.

Choices: maps are enlarged to the picture, bilinear; of equal highest values the first counts; the pointing game counts
one pixel around the object as object, because an edge is what a net sees and lies between two pixels; a map that is
dead, or the same everywhere, is a miss with energy and IoU 0, and is counted.

With two objects, a map that is asked for one of them can be led astray by the other: the energy on the asked one is its
share of what lies on the two, 1/2 for a map that cannot tell them apart.

A map that points at the object shows that the net *looks* there only if the map depends on the net: see
`cnnlab.explain.sanity`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlab.data import Progress
from cnnlab.data.shapes import gather_shapes
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.explain.method import Method
from cnnlab.explain.reading import read, upsampled
from cnnlab.images import Preprocessing
from cnnlab.inference.batching import pictures_at_once
from cnnlab.inference.capturing import ready
from cnnlab.inference.intervals import wilson

_MOST_AT_ONCE = 50
_APART = 2  # px between the objects of a scene
_PER_SCENE = 4  # pictures drawn for each scene: about one in three pairs has room side by side
_TRIES = 30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """Pictures of one object each.

    Attributes:
        x: (N, 3, H, W), normalised.
        labels: What is asked for, (N,), int64.
        masks: Where it is, (N, H, W), bool.
    """

    x: Tensor
    labels: Tensor
    masks: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenes:
    """Pictures of two objects of different classes, each picture twice: asked for the one, and for the other.

    Attributes:
        x: (N, 3, H, W), normalised.
        labels: What is asked for, (N,), int64.
        masks: Where it is, (N, H, W), bool.
        others: Where the other one is, likewise.
    """

    x: Tensor
    labels: Tensor
    masks: Tensor
    others: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Localization:
    """How well maps point at single objects.

    Attributes:
        hits: Whether the highest value is on the object, (N,), bool.
        energy: Share of the positive values on the object, (N,), 0 to 1.
        iou: Of as many pixels as the object has, (N,), 0 to 1.
        num_dead: Maps that point nowhere; they count as misses.
    """

    hits: NDArray[np.bool_]
    energy: NDArray[np.float64]
    iou: NDArray[np.float64]
    num_dead: int

    @property
    def pointing(self) -> float:
        """Share of hits, 0 to 1."""
        return float(self.hits.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """In which the share of hits lies with 95 % confidence (Wilson 1927)."""
        return wilson(int(self.hits.sum()), len(self.hits))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Telling:
    """How well maps tell the asked object from another one.

    Attributes:
        hits: Whether the highest value is on the asked object, (N,), bool.
        strays: Whether it is on the other one, likewise.
        energy: The asked object's share of the positive values on the two, (N,), 0 to 1; 0 where there are none.
    """

    hits: NDArray[np.bool_]
    strays: NDArray[np.bool_]
    energy: NDArray[np.float64]


def drawn_shapes(count: int, side: int, preprocessing: Preprocessing, *, drawing: int = 1) -> Drawn:
    """Pictures of the data set `shapes`, as a net trained on it is fed.

    Args:
        count: How many.
        side: 32 or 64 px: what the net was trained with.
        preprocessing: Of the net's weights; only its mean and spread are used.
        drawing: Which; the data set itself is drawing 0, of which a net may know pictures.
    """
    gathered = gather_shapes(side=side, count=count, drawing=drawing)
    assert gathered.masks is not None
    return Drawn(x=_fed(gathered.pictures, preprocessing), labels=gathered.labels, masks=gathered.masks)


def drawn_scenes(count: int, side: int, preprocessing: Preprocessing, *, drawing: int = 1) -> Scenes:
    """Pairs of such pictures in one: the object of the second is cut out along its mask and put into the first.

    Args:
        count: How many pictures; there are twice as many questions.
        side: As in `drawn_shapes`.
        preprocessing: Likewise.
        drawing: Likewise.
    """
    gathered = gather_shapes(side=side, count=_PER_SCENE * count, drawing=drawing)
    assert gathered.masks is not None
    # Objects that would touch are not put together; whether they would does not depend on what they are.
    around = _grown(gathered.masks, _APART)
    pairs = []
    for first in range(len(around)):
        second = next(
            (
                other % len(around)
                for other in range(first + 1, first + _TRIES)
                if gathered.labels[first] != gathered.labels[other % len(around)]
                and not bool((around[first] & gathered.masks[other % len(around)]).any())
            ),
            None,
        )
        if second is not None:
            pairs.append((first, second))
        if len(pairs) == count:
            break
    assert len(pairs) == count, "objects of up to 29 % of the side have room in pairs"
    first, second = torch.tensor(pairs).T
    masks, others = gathered.masks[first], gathered.masks[second]
    x = _fed(torch.where(others[..., None], gathered.pictures[second], gathered.pictures[first]), preprocessing)
    return Scenes(
        x=torch.cat([x, x]),
        labels=torch.cat([gathered.labels[first], gathered.labels[second]]),
        masks=torch.cat([masks, others]),
        others=torch.cat([others, masks]),
    )


def maps_of(
    method: Method,
    model: nn.Module,
    pictures: Drawn | Scenes,
    layer: str,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Tensor:
    """A method's map of each picture for what is asked of it, enlarged to the picture, (N, H, W).

    Args:
        method: Of `METHODS`.
        model: Of `cnnlab.inference.share`, or any other; stays as it is.
        pictures: On the CPU.
        layer: As `Method.run` takes it.
        progress: Called with "explaining", the pictures done and the pictures in all.
        cancelled: Asked as often; True ends it.

    Raises:
        InputRejected: There is no such layer, or the net does not know the shapes.
        Unsupported: The method cannot work on this net.
        RunFailed: It was stopped, or the net answers with NaN or ∞.
    """
    model = ready(model)
    found: list[Tensor] = []
    at_once = pictures_at_once(model, pictures.x, most=_MOST_AT_ONCE)
    for x, labels in zip(pictures.x.split(at_once), pictures.labels.split(at_once), strict=True):
        found.append(upsampled(method.run(model, x, labels.tolist(), layer).cpu(), (x.shape[2], x.shape[3])))
        if progress:
            progress("explaining", sum(map(len, found)), len(pictures.x))
        if cancelled and cancelled():
            raise RunFailed("The explanations were stopped. Start them again when you need them.")
    return torch.cat(found)


def centre_maps(pictures: Drawn | Scenes) -> Tensor:
    """What a map without a net can reach: a bell in the middle, σ a sixth of the shorter side, (N, H, W)."""
    height, width = pictures.masks.shape[1:]
    rows = torch.arange(height) - (height - 1) / 2
    columns = torch.arange(width) - (width - 1) / 2
    spread = min(height, width) / 6
    bell = torch.exp(-(rows[:, None] ** 2 + columns**2) / (2 * spread**2))
    return bell.expand(len(pictures.masks), -1, -1)


def random_maps(pictures: Drawn | Scenes, *, seed: int = 0) -> Tensor:
    """What chance can reach: a value from 0 to 1 for each pixel, (N, H, W)."""
    return torch.rand(pictures.masks.shape, generator=torch.Generator().manual_seed(seed))


def localization(maps_nhw: Tensor, drawn: Drawn) -> Localization:
    """Hold maps against where the objects are.

    Args:
        maps_nhw: As large as the pictures, unscaled.
        drawn: Their pictures.
    """
    _check(maps_nhw, drawn.masks)
    is_dead = _dead(maps_nhw)
    energy = _share(maps_nhw, drawn.masks, torch.ones_like(drawn.masks))
    return Localization(
        hits=(_peak_on(maps_nhw, _grown(drawn.masks, 1)) & ~is_dead).numpy(),
        energy=energy.where(~is_dead, 0).numpy(),
        iou=_iou(maps_nhw, drawn.masks).where(~is_dead, 0).numpy(),
        num_dead=int(is_dead.sum()),
    )


def telling(maps_nhw: Tensor, scenes: Scenes) -> Telling:
    """Hold maps against where the asked object is, and where the other one.

    Args:
        maps_nhw: As large as the pictures, unscaled.
        scenes: Their pictures.
    """
    _check(maps_nhw, scenes.masks)
    is_dead = _dead(maps_nhw)
    return Telling(
        hits=(_peak_on(maps_nhw, _grown(scenes.masks, 1)) & ~is_dead).numpy(),
        strays=(_peak_on(maps_nhw, _grown(scenes.others, 1)) & ~is_dead).numpy(),
        energy=_share(maps_nhw, scenes.masks, scenes.masks | scenes.others).where(~is_dead, 0).numpy(),
    )


def _fed(pictures: Tensor, preprocessing: Preprocessing) -> Tensor:
    """(N, H, W, 3) uint8 → (N, 3, H, W) normalised."""
    if preprocessing.channels != "rgb":
        raise InputRejected(
            f"The drawn shapes are in colour, and this net takes {preprocessing.channels} pictures. Choose a net that "
            "was trained on the shapes."
        )
    mean, std = (torch.tensor(each) for each in (preprocessing.mean, preprocessing.std))
    return ((pictures.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


def _grown(masks: Tensor, distance: int) -> Tensor:
    """Masks and what lies up to so many pixels around, (N, H, W)."""
    return F.max_pool2d(masks.float(), 2 * distance + 1, 1, distance) > 0


def _check(maps_nhw: Tensor, masks: Tensor) -> None:
    if maps_nhw.shape != masks.shape:
        raise TypeError(f"maps must be of shape {tuple(masks.shape)}, got {tuple(maps_nhw.shape)}")


def _dead(maps_nhw: Tensor) -> Tensor:
    return torch.tensor([read(map_hw).is_dead for map_hw in maps_nhw])


def _peak_on(maps_nhw: Tensor, masks: Tensor) -> Tensor:
    highest = maps_nhw.flatten(1).argmax(1, keepdim=True)
    return masks.flatten(1).gather(1, highest)[:, 0]


def _share(maps_nhw: Tensor, part: Tensor, whole: Tensor) -> Tensor:
    """Positive values on one region as a share of those on another, (N,); 0 where there are none."""
    positive = maps_nhw.double().relu()
    on_part, on_whole = ((positive * region).sum((1, 2)) for region in (part, whole))
    return torch.where(on_whole > 0, on_part / on_whole.clamp_min(1e-300), 0)


def _iou(maps_nhw: Tensor, masks: Tensor) -> Tensor:
    both: Iterable[tuple[Tensor, Tensor]] = zip(maps_nhw.flatten(1), masks.flatten(1), strict=True)
    found = []
    for values, mask in both:
        area = int(mask.sum())
        shared = int(mask[values.argsort(descending=True, stable=True)[:area]].sum())
        found.append(shared / (2 * area - shared))
    return torch.tensor(found, dtype=torch.float64)
