r"""Whether a net really rests on what a map marks: take those pixels away, or show nothing but them, and ask it again.

Deletion and insertion: Petsiuk, Das and Saenko, RISE: Randomized Input Sampling for Explanation of Black-box Models,
BMVC 2018, section 4.2. Pixels go (or come) in the order of the map, and the class's probability is written down; the
area under the curve says it in one number, low for deletion, high for insertion. Choices, where the paper leaves them
or nets of all sizes ask for others:

- Deleted pixels get the picture's own mean colour; zero, as in the paper, is black for a net that knows no mean.
- Insertion starts from the picture blurred by a Gaussian with σ of an eighth of its shorter side. The paper's σ of 5 px
  is for 224 px and would leave a picture of 32 px either bare or untouched.
- 40 equal steps; pixels of equal value, such as the many zeros behind a ReLU, come in random order.
- Both areas are held against those of random orders of the pixels: "better than random by …". A map is a smooth thing
  and a random order is not, so this is the least a map has to beat, not proof that it is right.

Average drop and increase in confidence: Chattopadhay et al., Grad-CAM++, WACV 2018, section 4.1:

    drop = 100/N Σ max(0, Y − O)/Y        increase = 100/N Σ [Y < O]

with Y the probability for the picture and O that for the picture times the map, scaled to [0, 1]. Departure: what is
multiplied is the normalised picture, so that it fades to the mean colour of what the net learnt from, not to black.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlab.data import Progress
from cnnlab.errors import RunFailed
from cnnlab.explain.reading import normalized, upsampled
from cnnlab.explain.targets import score
from cnnlab.explain.variants import finite
from cnnlab.inference.batching import pictures_at_once
from cnnlab.inference.capturing import ready

STEPS = 40
ORDERS = 5
_MOST_PIXELS = 16 * 224 * 224  # that go through a net at a time: 10 MB in colour
_MOST_PICTURES = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """What becomes of a class's probability.

    Attributes:
        shares: Share of the pixels that were changed, shape (S,), from 0 to 1.
        probabilities: Of the class, likewise.
    """

    shares: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Under the curve, by trapezoids; 0 to 1 where the shares run from 0 to 1."""
        return float(np.trapezoid(self.probabilities, self.shares))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """How a net takes it when pixels go, and when they come.

    Attributes:
        deletion: From the picture to its mean colour; the lower the better.
        insertion: From the blurred picture to the picture; the higher the better.
    """

    deletion: Curve
    insertion: Curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """An area against those of random orders.

    Attributes:
        area: Of the map.
        random_area: Mean of the random orders.
        random_spread: Their standard deviation.
        better_by: How much better the map is than random orders on average; above 0 is better for both curves.
    """

    area: float
    random_area: float
    random_spread: float
    better_by: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RandomOrders:
    """What pixels in random order do to one picture and class; the same for every map of it.

    Attributes:
        orders: At least two.
    """

    orders: tuple[Curves, ...]

    def deletion(self, curve: Curve) -> Gain:
        """A deletion curve of the same picture and class against these."""
        return _gain(curve, [order.deletion for order in self.orders], sign=-1)

    def insertion(self, curve: Curve) -> Gain:
        """An insertion curve of the same picture and class against these."""
        return _gain(curve, [order.insertion for order in self.orders], sign=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Confidence:
    """What a net says of pictures of which only the marked part is left.

    Attributes:
        whole: Probability of the class for each picture, (N,).
        masked: Likewise, once the picture was multiplied by its map.
    """

    whole: NDArray[np.float64]
    masked: NDArray[np.float64]

    @property
    def average_drop(self) -> float:
        """By how much the probability falls, as a share of itself, 0 to 1; rises count as 0. Low is good."""
        lost = np.maximum(0, self.whole - self.masked)
        return float(np.mean(np.divide(lost, self.whole, out=np.zeros_like(lost), where=self.whole > 0)))

    @property
    def increase(self) -> float:
        """Share of the pictures whose probability rises. High is good."""
        return float(np.mean(self.masked > self.whole))


def delete_and_insert(
    model: nn.Module,
    x: Tensor,
    map_hw: Tensor,
    class_index: int,
    *,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Curves:
    """Take the pixels of a picture away in the order of a map, the highest first; and put them in.

    Args:
        model: Of `cnnlab.inference.share`, or any other; stays as it is.
        x: (1, C, H, W), normalised.
        map_hw: (h, w), unscaled; enlarged to the picture where it is smaller.
        class_index: 0 to classes − 1.
        steps: Into how many equal parts the pixels are divided; the net runs twice as many times, and twice more.
        seed: For the order of pixels of equal value.
        progress: Called with "deleting" or "inserting", the pictures done and the pictures in all.
        cancelled: Asked as often; True ends it.

    Raises:
        InputRejected: There is no such class.
        RunFailed: It was stopped, or the net answers with NaN or ∞.
    """
    ranks_hw = ranks(map_hw, x.shape[2:], torch.Generator().manual_seed(seed))
    return _curves(ready(model), x, ranks_hw, class_index, steps, _Ticks(progress, cancelled, 2 * (steps + 1)))


def random_orders(
    model: nn.Module,
    x: Tensor,
    class_index: int,
    *,
    orders: int = ORDERS,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> RandomOrders:
    """What any map of this picture and class has to beat: as `delete_and_insert`, in random orders of the pixels.

    Args:
        model: As there.
        x: Likewise.
        class_index: Likewise.
        orders: How many, at least 2.
        steps: Likewise.
        seed: Of the orders.
        progress: Likewise, over all orders.
        cancelled: Likewise.

    Raises:
        InputRejected: There is no such class.
        RunFailed: It was stopped, or the net answers with NaN or ∞.
    """
    if orders < 2:
        raise TypeError(f"A spread takes at least 2 orders, got {orders}.")
    model, generator = ready(model), torch.Generator().manual_seed(seed)
    ticks = _Ticks(progress, cancelled, orders * 2 * (steps + 1))
    flat_hw = torch.zeros(x.shape[2:])
    return RandomOrders(
        orders=tuple(
            _curves(model, x, ranks(flat_hw, x.shape[2:], generator), class_index, steps, ticks) for _ in range(orders)
        )
    )


def confidence(model: nn.Module, x: Tensor, maps_nhw: Tensor, class_index: int | Sequence[int]) -> Confidence:
    """Multiply pictures by their maps, from 0 to 1, and ask the net again.

    Args:
        model: As in `delete_and_insert`.
        x: (N, C, H, W), normalised.
        maps_nhw: (N, h, w), unscaled. A dead map leaves nothing of its picture.
        class_index: For all pictures, or one for each.

    Raises:
        InputRejected: There is no such class.
        RunFailed: The net answers with NaN or ∞.
    """
    scaled_nhw = torch.stack([normalized(map_hw) for map_hw in upsampled(maps_nhw, tuple(x.shape[2:]))])
    indexes = [class_index] * len(x) if isinstance(class_index, int) else class_index
    model = ready(model)
    whole, masked = (
        np.concatenate([probabilities(model, part, chosen) for part, chosen in _portions(model, pictures, indexes)])
        for pictures in (x, x * scaled_nhw[:, None].to(x))
    )
    return Confidence(whole=whole, masked=masked)


def ranks(map_hw: Tensor, size: Sequence[int], generator: torch.Generator) -> Tensor:
    """Place of each pixel in the order of a map: 0 is the highest value; equals are in random order.

    Args:
        map_hw: (h, w), enlarged to the picture where it is smaller.
        size: (H, W) of the picture, px.
        generator: For the equals.

    Returns:
        (H, W), int64, on the CPU.
    """
    values = map_hw.detach().float().cpu()
    if values.shape != (*size,):
        values = upsampled(values[None], (size[0], size[1]))[0]
    shuffled = torch.randperm(values.numel(), generator=generator)
    order = shuffled[values.flatten()[shuffled].argsort(descending=True, stable=True)]
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order))
    return places.reshape(values.shape)


def probabilities(model: nn.Module, x: Tensor, class_index: int | Sequence[int]) -> NDArray[np.float64]:
    """Probability of a class for pictures that fit into memory at once, (N,).

    Args:
        model: As in `delete_and_insert`.
        x: (N, C, H, W), normalised; moved to the model's device and precision.
        class_index: For all pictures, or one for each.

    Raises:
        InputRejected: There is no such class.
        RunFailed: The net answers with NaN or ∞.
    """
    model = ready(model)
    parameter = next(model.parameters(), x)
    with torch.no_grad():
        logits = finite(model(x.detach().to(device=parameter.device, dtype=parameter.dtype)))
    return score(logits.double().softmax(1), class_index).cpu().numpy()


def at_once(model: nn.Module, x: Tensor) -> int:
    """How many pictures of this size a net is shown at a time.

    Args:
        model: Of `cnnlab.inference.share` or `ready`.
        x: (N, C, H, W)
    """
    most = min(_MOST_PICTURES, _MOST_PIXELS // (x.shape[2] * x.shape[3]))
    return pictures_at_once(model, x, most=most)


def blurred(x: Tensor) -> Tensor:
    """Pictures through a Gaussian with σ of an eighth of the shorter side, borders continued by their own pixels.

    Args:
        x: (N, C, H, W)
    """
    sigma = min(x.shape[2:]) / 8
    reach = max(1, round(3 * sigma))
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=x.device) / sigma) ** 2)
    bell = (bell / bell.sum()).to(x.dtype).expand(x.shape[1], 1, 1, -1)
    rows = F.conv2d(F.pad(x, (reach, reach, 0, 0), mode="replicate"), bell, groups=x.shape[1])
    return F.conv2d(F.pad(rows, (0, 0, reach, reach), mode="replicate"), bell.mT, groups=x.shape[1])


class _Ticks:
    """Counts pictures over several curves, says so, and asks whether to go on."""

    def __init__(self, progress: Progress | None, cancelled: Callable[[], bool] | None, total: int) -> None:
        self._progress, self._cancelled, self._total, self._done = progress, cancelled, total, 0

    def __call__(self, doing: str, count: int) -> None:
        self._done += count
        if self._progress:
            self._progress(doing, self._done, self._total)
        if self._cancelled and self._cancelled():
            raise RunFailed("The check of the explanation was stopped. Start it again when you need it.")


def _curves(model: nn.Module, x: Tensor, ranks_hw: Tensor, class_index: int, steps: int, ticks: _Ticks) -> Curves:
    if len(x) != 1:
        raise TypeError(f"The curves are those of one picture, got {len(x)}.")
    x, ranks_hw = x.detach(), ranks_hw.to(x.device)
    mean = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    return Curves(
        deletion=_curve(model, x, mean, ranks_hw, class_index, steps, "deleting", ticks),
        insertion=_curve(model, blurred(x), x, ranks_hw, class_index, steps, "inserting", ticks),
    )


def _curve(
    model: nn.Module,
    before: Tensor,
    after: Tensor,
    ranks_hw: Tensor,
    class_index: int,
    steps: int,
    doing: str,
    ticks: _Ticks,
) -> Curve:
    """From one picture to another, (1, C, H, W) each, in the order of the ranks."""
    counts = torch.linspace(0, ranks_hw.numel(), steps + 1, dtype=torch.float64, device=before.device).round()
    found = []
    for part in counts.split(at_once(model, before)):
        is_changed = ranks_hw < part[:, None, None]
        found.append(probabilities(model, torch.where(is_changed[:, None], after, before), class_index))
        ticks(doing, len(part))
    return Curve(shares=counts.cpu().numpy() / ranks_hw.numel(), probabilities=np.concatenate(found))


def _gain(curve: Curve, others: Sequence[Curve], sign: int) -> Gain:
    areas = [other.area for other in others]
    return Gain(
        area=curve.area,
        random_area=fmean(areas),
        random_spread=stdev(areas),
        better_by=sign * (curve.area - fmean(areas)),
    )


def _portions(model: nn.Module, x: Tensor, indexes: Sequence[int]) -> Iterator[tuple[Tensor, Sequence[int]]]:
    """Pictures with their classes, so many that the net takes them at once."""
    size = at_once(model, x)
    for begin in range(0, len(x), size):
        yield x[begin : begin + size], indexes[begin : begin + size]
