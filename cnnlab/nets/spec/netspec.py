"""A net as plain data: checked when it is made, its shapes and weights known without running it."""

from dataclasses import dataclass
from typing import Any

from cnnlab.nets.spec.checking import Problem, SpecError, Step, check
from cnnlab.nets.spec.layers import LayerSpec, Shape
from cnnlab.nets.spec.params import shown

MAX_NAME = 60
"""Characters."""


@dataclass(frozen=True, slots=True)
class NetSpec:
    """A net, ready to be built, saved and shown.

    Args:
        name: Shown to people; one line of up to 60 characters, or "".
        input_shape: (C, H, W) of a picture.
        layers: Applied one after the other.

    Raises:
        SpecError: On creation, when a layer is wrong or does not fit where it stands.
    """

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[LayerSpec, ...]

    def __post_init__(self) -> None:
        problems = []
        if not is_net_name(self.name):
            problems.append(
                Problem(
                    (),
                    f"The net's name is {shown(self.name)}: use one line of up to {MAX_NAME} characters, without "
                    "spaces at its ends.",
                )
            )
        problems += check(self.layers, self.input_shape).problems
        if problems:
            raise SpecError(problems)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The layers with the shapes between them."""
        return check(self.layers, self.input_shape).steps


def shapes(spec: NetSpec) -> tuple[Shape, ...]:
    """What leaves each layer, without the batch: (C, H, W) or (F,)."""
    return tuple(step.out_shape for step in spec.steps)


def num_params(spec: NetSpec) -> int:
    """How many weights the net has, shared ones counted once."""
    return sum(step.num_params for step in spec.steps)


def is_net_name(name: Any) -> bool:
    """Whether a net may be called that."""
    return isinstance(name, str) and len(name) <= MAX_NAME and name.isprintable() and name == name.strip()
