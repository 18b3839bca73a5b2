"""Augmentations that change values in place: colours and holes. Batches (N, C, H, W) of values in [0, 1], as before."""

import math

import torch

from cnnlab.data import draws

Pair = tuple[torch.Tensor, torch.Tensor]
_LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as `cnnlab.images.to_grey`
_TO_YIQ = torch.tensor([_LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])
_FROM_YIQ = torch.linalg.inv(_TO_YIQ)


def colour_jitter(
    batch: torch.Tensor,
    labels: torch.Tensor,
    generator: torch.Generator,
    *,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
) -> Pair:
    """Change brightness, contrast, saturation and hue, in this order; the result is clipped to [0, 1].

    Grey pictures have no saturation and no hue to change.

    Args:
        batch: 1 or 3 channels.
        labels: As they are.
        generator: For what each picture gets.
        brightness: 0.2 multiplies by 0.8 to 1.2.
        contrast: The same for the distance from the picture's mean grey.
        saturation: The same for the distance from the pixel's grey.
        hue: Largest turn each way in degrees, about the axis of greys in the YIQ colours of NTSC.
    """
    factors = [
        draws.uniform(batch, generator, 1 - most, 1 + most)[:, None, None, None]
        for most in (brightness, contrast, saturation)
    ]
    angle = torch.deg2rad(draws.uniform(batch, generator, -hue, hue))
    result = batch * factors[0]
    result = torch.lerp(_grey(result).mean((2, 3), keepdim=True), result, factors[1])
    if batch.shape[1] == 3:
        result = torch.lerp(_grey(result), result, factors[2])
        result = torch.einsum("nij,njhw->nihw", _hue_rotation(angle), result)
    return result.clamp_(0, 1), labels


def cutout(
    batch: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, *, side: float, probability: float
) -> Pair:
    """Cover a square with the picture's mean colour (DeVries and Taylor, 2017).

    As in the paper, its middle may be any pixel, so that part of it may lie outside.

    Args:
        batch: The pictures.
        labels: As they are.
        generator: For the places.
        side: Of the square, as a share of the picture's shorter side.
        probability: Share of pictures that get one.
    """
    length = torch.full((len(batch),), round(side * min(batch.shape[2:])), device=batch.device)
    hole = boxes(batch, generator, length, length) & _chosen(batch, generator, probability)
    return torch.where(hole, batch.mean((2, 3), keepdim=True), batch), labels


def erase(
    batch: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, *, largest: float, probability: float
) -> Pair:
    """Cover a rectangle with noise (Zhong et al., Random Erasing, 2017).

    Departs from the paper in that a rectangle may stick out of the picture, instead of being drawn anew.

    Args:
        batch: The pictures.
        labels: As they are.
        generator: For the places and the noise.
        largest: Share of the area that a rectangle takes at most; proportions are 3:10 to 10:3.
        probability: Share of pictures that get one.
    """
    height, width = batch.shape[2:]
    area = draws.uniform(batch, generator, 0, largest) * height * width
    ratio = torch.exp(draws.uniform(batch, generator, -1, 1) * math.log(10 / 3))
    hole = boxes(batch, generator, (area / ratio).sqrt().round().long(), (area * ratio).sqrt().round().long())
    noise = torch.rand(batch.shape, generator=generator, device=generator.device).to(batch.device)
    return torch.where(hole & _chosen(batch, generator, probability), noise, batch), labels


def boxes(batch: torch.Tensor, generator: torch.Generator, heights: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """A rectangle in each picture, its middle at any pixel, cut at the border: shape (N, 1, H, W), bool."""
    sides = []
    for size, lengths in ((batch.shape[2], heights), (batch.shape[3], widths)):
        begin = draws.whole(batch, generator, 0, size - 1) - lengths // 2
        places = torch.arange(size, device=batch.device)
        sides.append((places >= begin[:, None]) & (places < (begin + lengths)[:, None]))
    return sides[0][:, None, :, None] & sides[1][:, None, None, :]


def _chosen(batch: torch.Tensor, generator: torch.Generator, probability: float) -> torch.Tensor:
    return (draws.uniform(batch, generator) < probability)[:, None, None, None]


def _grey(batch: torch.Tensor) -> torch.Tensor:
    """Brightness, shape (N, 1, H, W)."""
    if batch.shape[1] != 3:
        return batch.mean(1, keepdim=True)
    return (batch * batch.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)


def _hue_rotation(angle: torch.Tensor) -> torch.Tensor:
    """Matrices (N, 3, 3) that turn the chroma of RGB colours by an angle and keep their brightness."""
    turn = torch.zeros(len(angle), 3, 3, device=angle.device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = torch.cos(angle)
    turn[:, 2, 1] = torch.sin(angle)
    turn[:, 1, 2] = -turn[:, 2, 1]
    return _FROM_YIQ.to(angle.device) @ turn @ _TO_YIQ.to(angle.device)
