r"""Occlusion: what the logit loses when a patch of the picture is covered.

Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 4.2: a grey square goes over
the picture, and the class's score is written down at each place.

    M_ij = mean over the squares q that cover ij of  F(x) − F(x with q covered)

A square is a seventh of the shorter side wide and moves by half of that: 170 to 230 places for a square picture.
Departures: the map shows the loss, not the score, and the logit's, not the probability's; each pixel gets the mean over
the squares that cover it, as Captum does. Grey is zero as the net sees it: the mean colour of what it learnt from.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.explain.method import Method, Partial
from cnnlab.explain.passes import Pass
from cnnlab.explain.targets import Target, score
from cnnlab.explain.variants import chunks, finite


def patch_and_stride(height: int, width: int) -> tuple[int, int]:
    """Side of the square and how far it moves, in pixels, for a picture of this size."""
    patch = max(1, round(min(height, width) / 7))
    return patch, max(1, patch // 2)


def _stream(seen: Pass, target: Target, layer: str) -> Iterator[Partial]:
    del layer
    num_pictures, _, height, width = seen.x.shape
    patch, stride = patch_and_stride(height, width)
    rows, columns = (-(-(side - patch) // stride) + 1 for side in (height, width))  # the last may reach over the edge
    places = _in_order(rows, columns, patch // stride)
    scores = score(seen.logits.detach(), target).float()
    drops = torch.zeros(num_pictures, 1, rows, columns, device=seen.x.device)
    tried = torch.zeros_like(drops)
    for chunk in chunks(seen, target, len(places)):
        covered = seen.x[chunk.pictures]
        row, column = torch.tensor([places[variant] for variant in chunk.variants], device=seen.x.device).T
        for one, top, left in zip(covered, (row * stride).tolist(), (column * stride).tolist(), strict=True):
            one[:, top : top + patch, left : left + patch] = 0
        with torch.no_grad():
            left_over = finite(score(seen.model(covered), chunk.target).float())
        drops[chunk.pictures, 0, row, column] = scores[chunk.pictures] - left_over
        tried[chunk.pictures, 0, row, column] = 1
        counts = _spread(tried, patch, stride)
        sums = _spread(drops, patch, stride)
        yield Partial(maps=(sums / counts.clamp_min(1))[:, 0, :height, :width], done=chunk.done)


def _in_order(rows: int, columns: int, apart: int) -> list[tuple[int, int]]:
    """All places of the square; first such that lie side by side, so that a map that is not whole yet has no holes."""
    places = [(row, column) for row in range(rows) for column in range(columns)]
    return sorted(places, key=lambda place: (place[0] % apart, place[1] % apart))


def _spread(grid_n1hw: Tensor, patch: int, stride: int) -> Tensor:
    """Each place's number laid over all pixels of its square, added up where squares overlap."""
    return F.conv_transpose2d(grid_n1hw, grid_n1hw.new_ones(1, 1, patch, patch), stride=stride)


OCCLUSION = Method(
    label="Occlusion",
    about="Covers the picture bit by bit with the mean colour and shows what the class's logit loses each time.",
    equation=r"M_{ij} = \frac{1}{|Q_{ij}|}\sum_{q \in Q_{ij}} F(x) - F(x_{\setminus q})",
    paper="Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014",
    url="https://arxiv.org/abs/1311.2901",
    caution="A covered picture is one the net has never seen, and the edge of the square may count as a thing. What "
    "is there twice is not missed when one of it goes.",
    grid="picture",
    is_class_specific=True,
    is_signed=True,
    is_slow=True,
    stream=_stream,
)
