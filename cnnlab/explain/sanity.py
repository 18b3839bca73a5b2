"""Does a map depend on what the net has learnt? Its weights are made random, from the logits back.

Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, section 3.1, cascading randomisation; likeness is
Spearman's rank correlation with the map of the trained net, over the cells of the map. A method whose map stays alike
draws the picture, not the net.

Choices:

- A step is a block of the net, or a layer outside of blocks; BatchNorm goes with the layer before it. Its weights are
  drawn anew (He, normal), scales become 1 and shifts 0.
- After each step BatchNorm's statistics are taken anew, in the layers that are random, from a few pictures: those of
  the trained net would fit no longer and silence or blow up what follows, which would be seen instead.
- A map that is the same everywhere is like no other: its correlation counts as 0.
- "Does not react" is said of a mean above 0.5, over all steps and pictures. The paper sets no limit and looks.

Everything happens in a copy; the net stays as it is.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cnnlab.errors import Unsupported
from cnnlab.explain.method import Method
from cnnlab.explain.targets import Target
from cnnlab.inference.capturing import snapshot, watch_layers

LIMIT = 0.5
"""Mean rank correlation above which a method is said not to react."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """The maps once everything from the logits back to one block is random.

    Attributes:
        block: The last that was made random: "classifier.2", "features.6".
        correlations: Of each picture's map with that of the trained net, (N,), −1 to 1.
        maps: (N, h, w), as `Method.run` makes them.
        done: Share of all steps that are done.
    """

    block: str
    correlations: NDArray[np.float64]
    maps: Tensor
    done: float

    @property
    def correlation(self) -> float:
        """Mean over the pictures."""
        return float(self.correlations.mean())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the steps come to.

    Attributes:
        correlation: Mean over all steps and pictures.
        reacts: Whether it is at most `LIMIT`.
        said: In a sentence for people.
    """

    correlation: float
    reacts: bool
    said: str


def randomized(
    method: Method,
    model: nn.Module,
    x: Tensor,
    class_index: Target,
    layer: str,
    *,
    statistics_x: Tensor | None = None,
    seed: int = 0,
) -> Iterator[Step]:
    """Make a net random block by block, from the logits back to the first, and compare the maps.

    Args:
        method: Of `METHODS`.
        model: Of `cnnlab.inference.share`, or any other; stays as it is.
        x: (N, C, H, W), normalised. One picture will do; sixteen tell more.
        class_index: As `Method.run` takes it.
        layer: Likewise.
        statistics_x: Pictures for BatchNorm, (M, C, H, W); None takes x.
        seed: Of the random weights.

    Yields:
        One step for each block.

    Raises:
        InputRejected: There is no such layer or class.
        Unsupported: The method cannot work on this net, or the net has no weights.
        RunFailed: The net answers with NaN or ∞.
    """
    net = snapshot(model)
    blocks = _blocks(net, x)
    original = method.run(net, x, class_index, layer)
    generator = torch.Generator().manual_seed(seed)
    pictures = x if statistics_x is None else statistics_x
    for number, (block, modules) in enumerate(reversed(blocks.items()), start=1):
        for module in modules:
            _draw(module, generator)
        _take_statistics([each for _, part in [*blocks.items()][-number:] for each in part], net, pictures)
        maps = method.run(net, x, class_index, layer)
        yield Step(
            block=block,
            correlations=np.array([spearman(*pair) for pair in zip(maps, original, strict=True)]),
            maps=maps,
            done=number / len(blocks),
        )


def verdict(steps: Sequence[Step]) -> Verdict:
    """Say what the steps of `randomized` come to.

    Args:
        steps: All of them, at least one.
    """
    correlation = float(np.mean([step.correlation for step in steps]))
    reacts = correlation <= LIMIT
    figure = f"mean rank correlation {correlation:.2f} with that of the trained net".replace("-", "−")
    if reacts:
        said = f"Reacts: with random weights the map changes ({figure})."
    else:
        said = (
            f"Does not react: most of the map stays when the weights are random ({figure}, limit {LIMIT}). It shows "
            "the picture more than what the net has learnt."
        )
    return Verdict(correlation, reacts, said)


def spearman(one: Tensor, other: Tensor) -> float:
    """Rank correlation of two maps, −1 to 1; equal values share the mean of their ranks. 0 where one is constant.

    Args:
        one: Any shape.
        other: As many values.
    """
    ranks = torch.stack([_mean_ranks(one), _mean_ranks(other)])
    ranks = ranks - ranks.mean(dim=1, keepdim=True)
    both = float((ranks[0] * ranks[1]).sum())
    scale = math.sqrt(float(ranks[0].square().sum()) * float(ranks[1].square().sum()))
    return max(-1.0, min(1.0, both / scale)) if scale > 0 else 0.0


def _mean_ranks(values: Tensor) -> Tensor:
    """Rank of each value from 0, (n,); equals share the mean of theirs."""
    _, place, counts = values.detach().flatten().cpu().unique(return_inverse=True, return_counts=True)
    behind = counts.cumsum(0).double()
    return (behind - (counts + 1) / 2)[place]


def _blocks(net: nn.Module, x: Tensor) -> dict[str, list[nn.Module]]:
    """Layers with weights in the order in which they run, by block."""
    modules = dict(net.named_modules())
    blocks: dict[str, list[nn.Module]] = {}
    seen: set[nn.Module] = set()

    def watch(name: str, module: nn.Module, output: Tensor) -> None:
        del output
        if module in seen or not [*module.parameters(recurse=False)]:
            return
        seen.add(module)
        block = _block_of(name.split("#")[0], modules)
        has_weights = any(each.ndim > 1 for each in module.parameters(recurse=False))
        if block not in blocks and not has_weights and blocks:
            block = next(reversed(blocks))
        blocks.setdefault(block, []).append(module)

    parameter = next(net.parameters(), x)
    watch_layers(net, x[:1].to(device=parameter.device, dtype=parameter.dtype), watch)
    if not blocks:
        raise Unsupported("This net has no weights that could be made random. Choose a net that has learnt something.")
    return blocks


def _block_of(name: str, modules: dict[str, nn.Module]) -> str:
    """The outermost module around a layer that is more than a row of others; the layer itself where there is none."""
    parts = name.split(".")
    around = (".".join(parts[:depth]) for depth in range(1, len(parts)))
    return next((each for each in around if not isinstance(modules[each], nn.Sequential | nn.ModuleList)), name)


def _draw(module: nn.Module, generator: torch.Generator) -> None:
    for name, parameter in module.named_parameters(recurse=False):
        with torch.no_grad():
            if parameter.ndim > 1:
                drawn = torch.empty(parameter.shape)  # on the CPU in float32, as the generator
                parameter.copy_(nn.init.kaiming_normal_(drawn, nonlinearity="relu", generator=generator))
            else:
                parameter.fill_(1 if name == "weight" else 0)


def _take_statistics(modules: Sequence[nn.Module], net: nn.Module, x: Tensor) -> None:
    """Running mean and variance of BatchNorm layers anew, from what they see of these pictures."""
    norms = [each for each in modules if isinstance(each, _BatchNorm) and each.track_running_stats]
    if not norms:
        return
    parameter = next(net.parameters())
    x = x.detach().to(device=parameter.device, dtype=parameter.dtype)
    if len(x) == 1:
        x = x.expand(2, -1, -1, -1)  # behind a pooling to 1 × 1, a single picture has no variance at all
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the statistics of this one batch, not an average with those before
        norm.train()
    try:
        with torch.no_grad():
            net(x)
    finally:
        for norm in norms:
            norm.eval()
