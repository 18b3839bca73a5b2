"""What an explanation method is, and how all of them are called."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from cnnlab.explain.passes import Pass, look
from cnnlab.explain.targets import Target
from cnnlab.explain.variants import finite


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partial:
    """A map as far as it is known.

    Attributes:
        maps: (N, h, w), float32, unscaled: in units of the method, signed where the method is.
        done: Share of the work that is in it; it is approximate below 1.
    """

    maps: Tensor
    done: float


Stream = Callable[[Pass, Target, str], Iterator[Partial]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A way to tell what in a picture a net's answer rests on.

    Attributes:
        label: Name shown to people.
        about: What it does, in one sentence for people.
        equation: In KaTeX, with the paper's symbols.
        paper: Authors, title, where, year.
        url: Of the paper.
        caution: What it cannot tell, or how it is known to fail, in a sentence.
        grid: Whether its map has the cells of the layer or the pixels of the picture.
        is_class_specific: Whether the map depends on the class that is asked for.
        is_signed: Whether negative values mean evidence against.
        is_slow: Whether it runs the net many times: show progress, let it be stopped.
        stream: Yields the map as it becomes known; the last one is whole.
    """

    label: str
    about: str
    equation: str
    paper: str
    url: str
    caution: str
    grid: Literal["layer", "picture"]
    is_class_specific: bool
    is_signed: bool
    is_slow: bool
    stream: Stream

    def run(self, model: nn.Module, x: Tensor, class_index: Target, layer: str) -> Tensor:
        """The whole map.

        Args:
            model: Of `cnnlab.inference.share`, or any other; stays as it is.
            x: (N, C, H, W), normalised.
            class_index: 0 to classes − 1, or one for each picture, or a `Contrast`.
            layer: Name of a module that makes maps; methods in the picture's grid do not look at it.

        Returns:
            (N, h, w), float32, unscaled; never NaN. A map without a positive value says: no positive evidence.

        Raises:
            InputRejected: There is no such layer or class.
            Unsupported: The method cannot work on this net; says why.
            RunFailed: The net answers with NaN or ∞.
        """
        return self.of(look(model, x, [layer] if self.grid == "layer" else []), class_index, layer)

    def of(self, seen: Pass, class_index: Target, layer: str) -> Tensor:
        """As `run`, from a pass that other methods, layers and classes share."""
        last = None
        for partial in self.stream(seen, class_index, layer):
            last = partial
        assert last is not None
        return last.maps


def at_once(compute: Callable[[Pass, Target, str], Tensor]) -> Stream:
    """The stream of a method that knows the whole map at once."""

    def stream(seen: Pass, target: Target, layer: str) -> Iterator[Partial]:
        yield Partial(maps=finite(compute(seen, target, layer).detach().float()), done=1.0)

    return stream
