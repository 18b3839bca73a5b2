"""What a training loop draws its batches from: all pictures as bytes on the device, made into batches there.

Mirroring and shifting only say where each pixel comes from. Done first, they become part of the one gather that takes
the batch out of the set, and cost next to nothing. The gathered pixels lie channels last, as convolutions like them.
"""

import torch

from cnnlab.data import geometry
from cnnlab.data.augmentation import Augment, Step

_GATHERED = ("flip", "padded_crop")


class Feed:
    """Batches of a data set.

    Args:
        pictures: Shape (N, H, W, C), uint8, contiguous; moved to the device.
        labels: Shape (N,), int64; likewise.
        mean: One per channel, for values in [0, 1].
        std: Likewise.
        num_classes: How many there are.
        augment: What is done to batches for training.
        device: Where batches are made.
    """

    def __init__(
        self,
        pictures: torch.Tensor,
        labels: torch.Tensor,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        num_classes: int,
        augment: Augment,
        device: torch.device | str = "cpu",
    ) -> None:
        _, self._height, self._width, self._channels = pictures.shape
        self._labels = labels.to(device)
        self._pixels = pictures.to(device).view(-1, self._channels)
        self._num_classes = num_classes
        count = next((i for i, step in enumerate(augment.steps) if step.key not in _GATHERED), len(augment.steps))
        self._gathered, self._rest = augment.steps[:count], Augment(augment.steps[count:])
        # x / 255 normalised is x · factor + offset. A factor for each value of a row, so that rows are worked on whole:
        # three at a time, the channels, take four times as long.
        centre, spread = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
        self._factor = (1 / (255 * spread)).repeat(self._width).float().to(device)
        self._offset = (-centre / spread).repeat(self._width).float().to(device)
        self._mean = centre.float().view(1, -1, 1, 1).to(device)
        self._std = spread.float().view(1, -1, 1, 1).to(device)

    def train_batch(self, indices: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Augmented pictures and their labels.

        Args:
            indices: Shape (B,), int64.
            generator: Of the CPU or the device. Its state moves on.

        Returns:
            Shape (B, C, H, W), float32, normalised, channels last; and labels (B,) int64, or (B, K) float32 where the
            augmentation mixes.
        """
        indices = indices.to(self._pixels.device, non_blocking=True)
        levels = self._moved(indices, generator) if self._gathered else self._unmoved(indices)
        labels = self._labels[indices]
        if not self._rest.steps:
            return self._normalised(levels), labels
        batch, labels = self._rest.apply(self._as_batch(levels / 255), labels, generator, self._num_classes)
        batch = ((batch - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
        return batch, labels

    def plain_batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures as they are, normalised, and labels (B,); for validation and test."""
        indices = indices.to(self._pixels.device, non_blocking=True)
        return self._normalised(self._unmoved(indices)), self._labels[indices]

    def _unmoved(self, indices: torch.Tensor) -> torch.Tensor:
        """Pixels as they lie, picture by picture, in half the time: shape (B · H, W · C), uint8."""
        pictures = self._pixels.view(-1, self._height * self._width * self._channels)
        return pictures.index_select(0, indices).view(len(indices) * self._height, -1)

    def _moved(self, indices: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Pixels as the steps that only move them say, gathered in one go: shape (B · H, W · C), uint8."""
        drawn = [(step, self._draw(step, indices, generator)) for step in self._gathered]
        rows = torch.arange(self._height, device=indices.device).expand(len(indices), -1)
        columns = torch.arange(self._width, device=indices.device).expand(len(indices), -1)
        # Backwards: a pixel of the result is looked up in what the last step made, this in what the one before made.
        for step, values in reversed(drawn):
            if step.key == "flip":
                columns = geometry.flipped(columns, values[0], self._width)
            else:
                rows = geometry.shifted(rows, values[0], self._height)
                columns = geometry.shifted(columns, values[1], self._width)
        first = (indices[:, None] * self._height + rows) * self._width
        pixels = self._pixels.index_select(0, (first[:, :, None] + columns[:, None, :]).view(-1))
        return pixels.view(len(indices) * self._height, -1)

    @staticmethod
    def _draw(step: Step, indices: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        if step.key == "flip":
            return (geometry.draw_flips(indices, generator, step.params["probability"]),)
        return geometry.draw_shifts(indices, generator, int(step.params["padding"]))

    def _normalised(self, levels: torch.Tensor) -> torch.Tensor:
        return self._as_batch(levels.to(torch.float32).mul_(self._factor).add_(self._offset))

    def _as_batch(self, values: torch.Tensor) -> torch.Tensor:
        return values.view(-1, self._height, self._width, self._channels).permute(0, 3, 1, 2)
