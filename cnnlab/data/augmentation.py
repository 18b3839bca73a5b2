"""The table of augmentations, and a recipe made of them.

Each works on a whole batch where the batch lies, and yet draws for every picture by itself, from a generator that is
passed in: the same generator state gives the same result, bit for bit. The caller's batch and labels stay untouched.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional as F

from cnnlab.data import colours, geometry, mixing
from cnnlab.errors import InputRejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """How strong an augmentation is.

    Attributes:
        label: What people see, with the unit.
        minimum: Least value.
        maximum: Largest value.
        default: What is taken where nothing is said.
        is_whole: Whether only whole numbers make sense.
        about: What it does, in a sentence.
    """

    label: str
    minimum: float
    maximum: float
    default: float
    is_whole: bool = False
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """One entry of `AUGMENTATIONS`.

    Attributes:
        label: Name shown to people.
        about: What it does and what a net learns from it.
        parameters: By name.
        apply: `apply(batch, labels, generator, **parameters)` gives a new batch and labels. The batch is (N, C, H, W),
            float32 in [0, 1]; labels are (N, K) shares where `mixes`, anything else where not.
        mixes: Whether labels are mixed, too.
    """

    label: str
    about: str
    parameters: Mapping[str, Parameter]
    apply: Callable[..., tuple[torch.Tensor, torch.Tensor]]
    mixes: bool = False


def _probability(default: float) -> Parameter:
    return Parameter(label="Probability", minimum=0, maximum=1, default=default, about="Share of the pictures.")


AUGMENTATIONS: dict[str, Augmentation] = {
    "flip": Augmentation(
        label="Flip",
        about="Mirrors left to right: most things may look either way. Not for digits and letters.",
        parameters={"probability": _probability(0.5)},
        apply=geometry.flip,
    ),
    "padded_crop": Augmentation(
        label="Padded crop",
        about="Continues the picture beyond its border and cuts its size out anywhere: a thing may be anywhere.",
        parameters={
            "padding": Parameter(
                label="Padding (px)", minimum=0, maximum=32, default=4, is_whole=True, about="On each side, mirrored."
            )
        },
        apply=geometry.padded_crop,
    ),
    "translate": Augmentation(
        label="Translate",
        about="Shifts by whole pixels, black coming in.",
        parameters={
            "distance": Parameter(
                label="Distance (px)", minimum=0, maximum=32, default=2, is_whole=True, about="Farthest shift each way."
            )
        },
        apply=geometry.translate,
    ),
    "rotation": Augmentation(
        label="Rotation",
        about="Turns about the middle.",
        parameters={
            "degrees": Parameter(label="Angle (°)", minimum=0, maximum=180, default=15, about="Largest turn each way.")
        },
        apply=geometry.rotate,
    ),
    "affine": Augmentation(
        label="Affine",
        about="Turns, scales, slants and shifts at once: the same thing from a slightly other stand.",
        parameters={
            "degrees": Parameter(label="Angle (°)", minimum=0, maximum=180, default=10, about="Largest turn each way."),
            "scale": Parameter(
                label="Scale", minimum=0, maximum=1, default=0.1, about="0.1: from 1/1.1 to 1.1 times the size."
            ),
            "shear": Parameter(label="Shear (°)", minimum=0, maximum=45, default=5, about="Largest slant each way."),
            "shift": Parameter(
                label="Shift", minimum=0, maximum=0.5, default=0.05, about="Farthest each way, as a share of the side."
            ),
        },
        apply=geometry.affine,
    ),
    "random_resized_crop": Augmentation(
        label="Random resized crop",
        about="Enlarges a part of the picture to its full size: things come near and far.",
        parameters={
            "smallest": Parameter(
                label="Smallest area", minimum=0.05, maximum=1, default=0.5, about="Least share of the area to cut out."
            ),
            "stretch": Parameter(
                label="Stretch", minimum=1, maximum=2, default=4 / 3, about="4/3: proportions from 3:4 to 4:3."
            ),
        },
        apply=geometry.random_resized_crop,
    ),
    "colour_jitter": Augmentation(
        label="Colour jitter",
        about="Changes light and colours: what a thing is does not depend on the lamp.",
        parameters={
            "brightness": Parameter(label="Brightness", minimum=0, maximum=1, default=0.2, about="0.2: 0.8 to 1.2 ×."),
            "contrast": Parameter(label="Contrast", minimum=0, maximum=1, default=0.2, about="0.2: 0.8 to 1.2 ×."),
            "saturation": Parameter(label="Saturation", minimum=0, maximum=1, default=0.2, about="0.2: 0.8 to 1.2 ×."),
            "hue": Parameter(label="Hue (°)", minimum=0, maximum=180, default=10, about="Largest turn of the hues."),
        },
        apply=colours.colour_jitter,
    ),
    "cutout": Augmentation(
        label="Cutout",
        about="Covers a square with the picture's mean colour: the net must not rely on one part alone.",
        parameters={
            "side": Parameter(label="Side", minimum=0, maximum=1, default=0.25, about="As a share of the picture's."),
            "probability": _probability(1),
        },
        apply=colours.cutout,
    ),
    "erasing": Augmentation(
        label="Random erasing",
        about="Covers a rectangle with noise: as cutout, in many sizes.",
        parameters={
            "largest": Parameter(label="Largest area", minimum=0, maximum=1, default=0.3, about="Share of it all."),
            "probability": _probability(0.5),
        },
        apply=colours.erase,
    ),
    "mixup": Augmentation(
        label="MixUp",
        about="Blends two pictures and their labels: between two things the net shall waver.",
        parameters={
            "alpha": Parameter(
                label="α", minimum=0, maximum=4, default=0.2, about="Small: mostly one of both. 1: all blends alike."
            )
        },
        apply=mixing.mixup,
        mixes=True,
    ),
    "cutmix": Augmentation(
        label="CutMix",
        about="Puts a piece of another picture in, and mixes the labels by area.",
        parameters={
            "alpha": Parameter(
                label="α", minimum=0, maximum=4, default=1, about="Small: tiny or huge pieces. 1: all areas alike."
            ),
            "probability": _probability(0.5),
        },
        apply=mixing.cutmix,
        mixes=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One augmentation with its strengths.

    Attributes:
        key: Of `AUGMENTATIONS`.
        params: All of its parameters; those not given have their defaults.

    Raises:
        InputRejected: On creation, when there is no such augmentation or parameter, or a value is out of range.
    """

    key: str
    params: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.key not in AUGMENTATIONS:
            raise InputRejected(f"There is no augmentation {self.key!r}; choose from {', '.join(AUGMENTATIONS)}.")
        known = AUGMENTATIONS[self.key].parameters
        if unknown := set(self.params) - set(known):
            raise InputRejected(
                f"The augmentation {self.key!r} takes {', '.join(known)}, not {', '.join(sorted(map(repr, unknown)))}."
            )
        params = {}
        for name, parameter in known.items():
            value = self.params.get(name, parameter.default)
            params[name] = _checked(self.key, name, parameter, value)
        object.__setattr__(self, "params", params)


@dataclass(frozen=True, slots=True)
class Augment:
    """What is done to each batch, step by step; nothing, where there are no steps.

    Attributes:
        steps: In this order.
    """

    steps: tuple[Step, ...] = ()

    @property
    def mixes(self) -> bool:
        """Whether labels come out as shares of the classes, shape (N, K)."""
        return any(AUGMENTATIONS[step.key].mixes for step in self.steps)

    def apply(
        self, batch: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, num_classes: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Do all steps.

        Args:
            batch: Shape (N, C, H, W), float32, in [0, 1], on any device; left untouched.
            labels: Shape (N,), int64; likewise.
            generator: Of the same device or of the CPU. Its state moves on.
            num_classes: K.

        Returns:
            A batch of the same shape, and labels (N,) int64, or (N, K) float32 where `mixes`.
        """
        if self.mixes:
            labels = F.one_hot(labels, num_classes).float()
        for step in self.steps:
            batch, labels = AUGMENTATIONS[step.key].apply(batch, labels, generator, **step.params)
        return batch, labels

    def to_data(self) -> list[dict[str, Any]]:
        """As plain data, for YAML and JSON: `[{"flip": {"probability": 0.5}}]`."""
        return [{step.key: dict(step.params)} for step in self.steps]

    @classmethod
    def from_data(cls, data: Sequence[str | Mapping[str, Mapping[str, float] | None]]) -> "Augment":
        """From what `to_data` gives; a bare name stands for the defaults: `["flip", {"cutout": {"side": 0.5}}]`.

        Raises:
            InputRejected: It is no such list, or a step is not accepted.
        """
        steps = []
        for one in data if isinstance(data, Sequence) and not isinstance(data, str) else [data]:
            if isinstance(one, str):
                steps.append(Step(one))
            elif isinstance(one, Mapping) and len(one) == 1:
                [(key, params)] = one.items()
                if not isinstance(key, str) or not isinstance(params, Mapping | None):
                    raise _no_step(one)
                steps.append(Step(key, params or {}))
            else:
                raise _no_step(one)
        return cls(tuple(steps))


def _no_step(one: object) -> InputRejected:
    return InputRejected(
        f"An augmentation is given by its name, or by its name and its parameters as in "
        f'{{"flip": {{"probability": 0.5}}}}; got {one!r}.'
    )


def _checked(key: str, name: str, parameter: Parameter, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not parameter.minimum <= value <= parameter.maximum:
        raise InputRejected(
            f"{name} of {key} must be a number from {parameter.minimum:g} to {parameter.maximum:g}, got {value!r}."
        )
    if not parameter.is_whole:
        return float(value)
    if value != int(value):
        raise InputRejected(f"{name} of {key} must be a whole number, got {value!r}.")
    return int(value)
