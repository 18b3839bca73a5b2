"""What a model is fed: from a picture to the array that enters a network, and back to a picture of that array.

    picture → resize → centre crop → levels / 255 → channel order → (x − mean) / std

The steps are data, so they can be listed, drawn over the original and undone. They follow torchvision's evaluation
transforms on Pillow pictures, pixel for pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cnnlab.errors import InputRejected
from cnnlab.images import transforms
from cnnlab.images.decoding import RgbImage

if TYPE_CHECKING:
    import torch

_MAX_SIDE = 4096
_CHANNELS = {"rgb": ("red", "green", "blue"), "bgr": ("blue", "green", "red"), "grey": ("grey",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """The steps from a picture to a model's input.

    Attributes:
        resize: Length the shorter side gets (proportions kept), or exact (height, width), or None to keep the size.
        crop: (height, width) cut out of the middle afterwards, or None.
        channels: What the network's channels are, in this order.
        mean: Subtracted from values in [0, 1], one per channel in the order of `channels`.
        std: Divided by afterwards, likewise.

    Raises:
        InputRejected: On creation, when a value makes no sense.
    """

    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    channels: Literal["rgb", "bgr", "grey"] = "rgb"
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.channels not in _CHANNELS:
            raise InputRejected(f"Channels must be rgb, bgr or grey, got {self.channels!r}.")
        if self.resize is not None and not (_is_side(self.resize) or _is_size(self.resize)):
            raise InputRejected(
                f"Resize must be a side or (height, width) of 1 to {_MAX_SIDE} px, or None, got {self.resize!r}."
            )
        if self.crop is not None and not _is_size(self.crop):
            raise InputRejected(f"Crop must be (height, width) of 1 to {_MAX_SIDE} px, or None, got {self.crop!r}.")
        if self.crop and self.resize is not None:
            room = (self.resize, self.resize) if isinstance(self.resize, int) else self.resize
            if self.crop[0] > room[0] or self.crop[1] > room[1]:
                raise InputRejected(
                    f"Crop {self.crop[1]} × {self.crop[0]} px may exceed the picture resized to {self.resize}. "
                    "Choose a smaller crop or a larger size."
                )
        num_channels = len(_CHANNELS[self.channels])
        for name, values in (("Mean", self.mean), ("Std", self.std)):
            if len(values) != num_channels or not all(math.isfinite(value) for value in values):
                raise InputRejected(f"{name} must be {num_channels} finite number(s), got {values!r}.")
        if not all(value > 0 for value in self.std):
            raise InputRejected(f"Std must be above 0, got {self.std!r}.")

    def apply(self, image: RgbImage) -> NDArray[np.float32]:
        """What the network gets.

        Returns:
            Shape (C, H, W), normalised: values may lie well outside [0, 1].

        Raises:
            InputRejected: The picture is smaller than the crop, or so thin that resizing would blow it up.
        """
        pixels = transforms.resize(image.pixels, *self._resized(image))
        if self.crop:
            pixels = transforms.centre_crop(pixels, *self.crop)
        if self.channels == "grey":
            x_hwc = transforms.to_grey(pixels)[:, :, None]
        else:
            x_hwc = pixels.astype(np.float32) / np.float32(255)
            if self.channels == "bgr":
                x_hwc = x_hwc[:, :, ::-1]
        x_hwc = (x_hwc - np.asarray(self.mean, dtype=np.float32)) / np.asarray(self.std, dtype=np.float32)
        return np.ascontiguousarray(x_hwc.transpose(2, 0, 1), dtype=np.float32)

    def picture(self, x_chw: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Show what a network is fed: `apply` backwards, except that size and crop stay as they are.

        Args:
            x_chw: Normalised input, shape (C, H, W).

        Returns:
            RGB of shape (H, W, 3), uint8. Values that no picture has are clipped, NaN is shown black.
        """
        num_channels = len(_CHANNELS[self.channels])
        if x_chw.ndim != 3 or x_chw.shape[0] != num_channels:
            raise TypeError(f"x_chw must be of shape ({num_channels}, H, W), got {x_chw.shape}")
        levels = (
            x_chw.transpose(1, 2, 0) * np.asarray(self.std, dtype=np.float32) + np.asarray(self.mean, dtype=np.float32)
        ) * 255
        rgb = np.clip(np.nan_to_num(levels, nan=0.0), 0, 255).round().astype(np.uint8)
        if self.channels == "bgr":
            rgb = rgb[:, :, ::-1]
        return np.ascontiguousarray(np.broadcast_to(rgb, (*rgb.shape[:2], 3)))

    def steps(self) -> tuple[str, ...]:
        """Each step in words, in the order it is taken."""
        said = []
        if isinstance(self.resize, int):
            said.append(f"Shorter side resized to {self.resize} px, proportions kept")
        elif self.resize is not None:
            said.append(f"Resized to {self.resize[1]} × {self.resize[0]} px, proportions not kept")
        if self.crop is not None:
            said.append(f"Middle {self.crop[1]} × {self.crop[0]} px cut out")
        names = _CHANNELS[self.channels]
        if self.channels == "grey":
            said.append("Turned grey: 0.299 red + 0.587 green + 0.114 blue")
        else:
            said.append(f"Channels in the order {', '.join(names)}")
        said.append("Levels 0 to 255 divided by 255")
        if any(self.mean):
            said.append(f"Mean subtracted: {_per_channel(names, self.mean)}")
        if any(value != 1 for value in self.std):
            said.append(f"Divided by the standard deviation: {_per_channel(names, self.std)}")
        return tuple(said)

    def crop_box(self, image: RgbImage) -> tuple[int, int, int, int]:
        """The part of the original that the model sees: (top, left, height, width) in its pixels, rounded.

        Raises:
            InputRejected: As `apply`.
        """
        height, width = self._resized(image)
        crop_height, crop_width = self.crop or (height, width)
        if crop_height > height or crop_width > width:
            # The sentence about crops lives in one place; it fits here word for word.
            transforms.centre_crop(np.broadcast_to(np.uint8(0), (height, width, 3)), crop_height, crop_width)
        rows, columns = image.height / height, image.width / width
        top = transforms.centre_offset(height, crop_height) * rows
        left = transforms.centre_offset(width, crop_width) * columns
        bottom, right = top + crop_height * rows, left + crop_width * columns
        top_px, left_px = min(round(top), image.height - 1), min(round(left), image.width - 1)
        return top_px, left_px, max(1, round(bottom) - top_px), max(1, round(right) - left_px)

    def _resized(self, image: RgbImage) -> tuple[int, int]:
        """Height and width after the resize step."""
        if self.resize is None:
            return image.height, image.width
        if isinstance(self.resize, tuple):
            return self.resize
        shorter, longer = sorted((image.height, image.width))
        stretched = int(self.resize * longer / shorter)  # cut off, not rounded, as torchvision does
        return (self.resize, stretched) if image.height <= image.width else (stretched, self.resize)


def to_tensor(image: RgbImage, preprocessing: Preprocessing) -> torch.Tensor:
    """A batch of one: shape (1, C, H, W), float32, on the CPU.

    Raises:
        InputRejected: As `Preprocessing.apply`.
    """
    import torch  # Only here: a page that shows pictures need not wait a second for it.

    return torch.from_numpy(preprocessing.apply(image))[None]


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_SIDE


def _is_size(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_side, value))


def _per_channel(names: tuple[str, ...], values: tuple[float, ...]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in zip(names, values, strict=True))


IMAGENET = Preprocessing(resize=256, crop=(224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
UNIT = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
