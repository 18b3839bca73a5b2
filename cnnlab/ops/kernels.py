"""The kernels of the playground, and how a kernel is read, written, checked and exported.

Sources: Sobel and Feldman 1968 (sobel), Prewitt 1970 (prewitt), Scharr 2000 (scharr, the integer 3 × 3 form),
Marr and Hildreth 1980 (log), Daugman 1985 (gabor, in the form of OpenCV's `getGaborKernel`).
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cnnlab.errors import InputRejected
from cnnlab.ops.activations import ACTIVATIONS

MAX_KERNEL = 11
"""Largest side of a kernel grid a user edits."""

MAX_KERNEL_SIDE = 64
"""Largest side of a kernel the arithmetic takes."""

_MAX_TEXT = 200_000  # 64 × 64 numbers of 40 characters fit
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_CELL = re.compile(rf"({_NUMBER})(?:\s*/\s*({_NUMBER}))?")
_TORCH_ACTIVATIONS = {
    "relu": "F.relu",
    "leaky_relu": "F.leaky_relu",
    "tanh": "torch.tanh",
    "sigmoid": "torch.sigmoid",
    "silu": "F.silu",
}

KernelArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A number a kernel is built from. When all its numbers are whole, only whole steps are taken.

    Attributes:
        name: Keyword in `build_kernel`.
        label: Name as shown.
        minimum: Smallest value.
        maximum: Largest value.
        default: Value when nothing is said.
        step: Step of a slider.
        help: What it changes, and its unit.
    """

    name: str
    label: str
    minimum: float
    maximum: float
    default: float
    step: float
    help: str

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers make sense."""
        return all(isinstance(number, int) for number in (self.minimum, self.maximum, self.default, self.step))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A named kernel, or a family of them.

    Attributes:
        label: Name as shown.
        purpose: What it is for and what to look for, one sentence.
        build: Makes the kernel, float32 of shape (h, w), from the values of `parameters`.
        parameters: What can be set. Ask `build_kernel`, which checks the values.
    """

    label: str
    purpose: str
    build: Callable[..., KernelArray]
    parameters: tuple[Parameter, ...] = ()


# --- building -------------------------------------------------------------------------------------------------------


def _fixed(rows: list[list[float]], scale: float = 1.0) -> Callable[[], KernelArray]:
    return partial(lambda: (np.array(rows, np.float64) * scale).astype(np.float32))


def _grid(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of the cells, rows and columns, with 0 in the middle."""
    steps = np.arange(size, dtype=np.float64) - (size - 1) / 2
    return steps[:, None], steps[None, :]


def _gaussian(size: int, sigma: float) -> KernelArray:
    y, x = _grid(size)
    bell = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return (bell / bell.sum()).astype(np.float32)


def _laplacian_of_gaussian(size: int, sigma: float) -> KernelArray:
    # The sign of the Laplacian preset: bright spots answer positively. Cutting the bell off at the edge of the grid
    # leaves a sum other than 0, which would answer to flat areas; taking off the mean puts that right.
    y, x = _grid(size)
    squared = (x**2 + y**2) / (2 * sigma**2)
    hat = (1 - squared) * np.exp(-squared) / (np.pi * sigma**4)
    return (hat - hat.mean()).astype(np.float32)


def _motion_blur(length: int, angle: float) -> KernelArray:
    # A line of points, each shared out among the four cells around it, so that every angle is drawn equally heavy.
    radians = math.radians(angle)
    along = (np.arange(16 * length) + 0.5) / 16 - length / 2
    middle = (length - 1) / 2
    rows = np.clip(middle - along * math.sin(radians), 0, length - 1)
    cols = np.clip(middle + along * math.cos(radians), 0, length - 1)
    cells = np.arange(length)
    row_share = np.maximum(0, 1 - np.abs(rows[:, None] - cells))
    col_share = np.maximum(0, 1 - np.abs(cols[:, None] - cells))
    line = row_share.T @ col_share
    return (line / line.sum()).astype(np.float32)


def _gabor(size: int, orientation: float, wavelength: float, sigma: float, phase: float) -> KernelArray:
    # g = exp(-(x'² + γ²y'²) / 2σ²) · cos(2πx'/λ + ψ) with γ = 0.5. The mean is taken off, so that flat areas give 0,
    # and the weights are scaled to Σ|g| = 2, so that stripes of black and white answer with at most 1.
    y, x = _grid(size)
    theta = math.radians(orientation)
    across = x * math.cos(theta) + y * math.sin(theta)
    along = -x * math.sin(theta) + y * math.cos(theta)
    bell = np.exp(-(across**2 + (0.5 * along) ** 2) / (2 * sigma**2))
    wave = bell * np.cos(2 * np.pi * across / wavelength + math.radians(phase))
    wave = wave - wave.mean()
    weight = np.abs(wave).sum()
    # Some settings sample the wave at its zeros alone; what is left is rounding, which must not be blown up.
    return (wave * (2 / weight) if weight > 1e-9 else np.zeros_like(wave)).astype(np.float32)


def _random(seed: int, size: int) -> KernelArray:
    limit = 1 / size  # what nn.Conv2d(1, 1, size) starts from: uniform within ±1/√fan_in
    return np.random.default_rng(seed).uniform(-limit, limit, (size, size)).astype(np.float32)


def _size_parameter(default: int, minimum: int = 3) -> Parameter:
    return Parameter(
        name="size",
        label="Size",
        minimum=minimum,
        maximum=MAX_KERNEL,
        default=default,
        step=2,
        help="Rows and columns of the kernel, an odd number so that it has a middle.",
    )


def _sigma_parameter(default: float) -> Parameter:
    return Parameter(
        name="sigma",
        label="Sigma",
        minimum=0.3,
        maximum=5.0,
        default=default,
        step=0.1,
        help="Width of the bell curve in pixels.",
    )


KERNELS: dict[str, Kernel] = {
    "sobel_x": Kernel(
        label="Sobel X",
        purpose="Finds brightness changing from left to right: vertical edges light up, flat areas give 0.",
        build=_fixed([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    ),
    "sobel_y": Kernel(
        label="Sobel Y",
        purpose="Finds brightness changing from top to bottom: horizontal edges light up, flat areas give 0.",
        build=_fixed([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
    ),
    "laplacian": Kernel(
        label="Laplacian",
        purpose="Compares a pixel with its four neighbours: thin lines and spots stand out, even slopes give 0.",
        build=_fixed([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]),
    ),
    "edge8": Kernel(
        label="Edges (8 neighbours)",
        purpose="Compares a pixel with all eight neighbours: edges in every direction show, and so does noise.",
        build=_fixed([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    ),
    "box_blur": Kernel(
        label="Box blur",
        purpose="Averages the 3 × 3 neighbourhood: noise and fine detail fade, brightness stays.",
        build=_fixed([[1, 1, 1]] * 3, 1 / 9),
    ),
    "sharpen": Kernel(
        label="Sharpen",
        purpose="Adds the Laplacian to the picture: edges get steeper, and values leave the range of the picture.",
        build=_fixed([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    ),
    "identity": Kernel(
        label="Identity",
        purpose="Passes every pixel on unchanged: the place to start when you draw a kernel of your own.",
        build=_fixed([[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    ),
    "gaussian": Kernel(
        label="Gaussian blur",
        purpose="Averages with weights that fall off from the middle: a blur without the corners of the box.",
        build=_gaussian,
        parameters=(_size_parameter(5, minimum=1), _sigma_parameter(1.0)),
    ),
    "prewitt_x": Kernel(
        label="Prewitt X",
        purpose="Finds vertical edges like Sobel X, with every row counted equally.",
        build=_fixed([[-1, 0, 1]] * 3),
    ),
    "prewitt_y": Kernel(
        label="Prewitt Y",
        purpose="Finds horizontal edges like Sobel Y, with every column counted equally.",
        build=_fixed([[-1, -1, -1], [0, 0, 0], [1, 1, 1]]),
    ),
    "scharr_x": Kernel(
        label="Scharr X",
        purpose="Finds vertical edges with weights chosen so that slanted edges answer as strongly as straight ones.",
        build=_fixed([[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]]),
    ),
    "scharr_y": Kernel(
        label="Scharr Y",
        purpose="Finds horizontal edges with weights chosen so that slanted edges answer as strongly as straight ones.",
        build=_fixed([[-3, -10, -3], [0, 0, 0], [3, 10, 3]]),
    ),
    "emboss": Kernel(
        label="Emboss",
        purpose="Lights the picture from the upper left: edges look raised or sunken, brightness stays.",
        build=_fixed([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]),
    ),
    "motion_blur": Kernel(
        label="Motion blur",
        purpose="Averages along a line, as a moving camera does: edges along the line stay sharp.",
        build=_motion_blur,
        parameters=(
            Parameter(
                name="length",
                label="Length",
                minimum=3,
                maximum=MAX_KERNEL,
                default=7,
                step=2,
                help="Length of the line in pixels, an odd number.",
            ),
            Parameter(
                name="angle",
                label="Angle",
                minimum=0.0,
                maximum=180.0,
                default=0.0,
                step=5.0,
                help="Direction of the line in degrees, counter-clockwise from the horizontal.",
            ),
        ),
    ),
    "log": Kernel(
        label="Laplacian of Gaussian",
        purpose="Blurs, then looks for spots: bright spots about 1.4 sigma in radius give the highest values.",
        build=_laplacian_of_gaussian,
        parameters=(_size_parameter(7), _sigma_parameter(1.0)),
    ),
    "gabor": Kernel(
        label="Gabor",
        purpose="Answers to stripes of one direction and width, as cells in the visual cortex and first layers do.",
        build=_gabor,
        parameters=(
            _size_parameter(7),
            Parameter(
                name="orientation",
                label="Orientation",
                minimum=0.0,
                maximum=180.0,
                default=0.0,
                step=5.0,
                help="Direction across the stripes in degrees, clockwise: 0 finds vertical stripes.",
            ),
            Parameter(
                name="wavelength",
                label="Wavelength",
                minimum=2.0,
                maximum=16.0,
                default=4.0,
                step=0.5,
                help="Distance from one bright stripe to the next in pixels.",
            ),
            _sigma_parameter(2.0),
            Parameter(
                name="phase",
                label="Phase",
                minimum=0.0,
                maximum=360.0,
                default=0.0,
                step=15.0,
                help="Shift of the stripes in degrees: 0 answers to a bright line in the middle, 90 to an edge.",
            ),
        ),
    ),
    "random": Kernel(
        label="Random",
        purpose="What an untrained convolution layer starts from: look how much even chance finds in a picture.",
        build=_random,
        parameters=(
            Parameter(
                name="seed",
                label="Seed",
                minimum=0,
                maximum=9999,
                default=0,
                step=1,
                help="Another number, another kernel; the same number, the same kernel.",
            ),
            _size_parameter(3, minimum=1),
        ),
    ),
}


def build_kernel(key: str, **values: float) -> KernelArray:
    """Build a kernel of the table.

    Args:
        key: Key in `KERNELS`.
        values: Values of its parameters; the others take their defaults.

    Returns:
        A fresh array of shape (h, w).

    Raises:
        InputRejected: Unknown kernel or parameter, or a value outside its range or off its whole steps.
    """
    if key not in KERNELS:
        raise InputRejected(f"There is no kernel {key!r}. Take one of: {', '.join(KERNELS)}.")
    kernel = KERNELS[key]
    names = [parameter.name for parameter in kernel.parameters]
    for name in values:
        if name not in names:
            known = ", ".join(names) if names else "none"
            raise InputRejected(f"{kernel.label} has no parameter {name!r}. Its parameters: {known}.")
    return kernel.build(**{p.name: check_parameter(p, values.get(p.name, p.default)) for p in kernel.parameters})


def check_parameter(parameter: Parameter, value: Any) -> float:
    """Return the value as a number that the parameter takes.

    Raises:
        InputRejected: It is outside the range or between the steps.
    """
    accepted = f"{parameter.minimum} to {parameter.maximum}"
    if parameter.is_whole:
        accepted += f" in steps of {parameter.step}" if parameter.step != 1 else ", whole numbers"
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    fits = parameter.minimum <= number <= parameter.maximum
    if fits and parameter.is_whole:
        fits = (number - parameter.minimum) % parameter.step == 0
    if not fits:
        raise InputRejected(f"{parameter.label} is {value!r}; accepted is {accepted}. Change it.")
    return int(number) if parameter.is_whole else number


# --- checking, reading, writing -------------------------------------------------------------------------------------


def real_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return `values` as an array of real numbers; `name` begins the sentence of a rejection."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError):
        raise InputRejected(f"{name} has rows of different lengths. Give every row the same number.") from None
    if array.dtype == object and any(cell is None for cell in array.flat):
        raise InputRejected(f"{name} has empty cells. Fill them in; 0 is a number too.")
    if array.dtype.kind not in "buif":
        raise InputRejected(f"{name} holds {array.dtype} values; the lab takes real numbers. Convert it first.")
    return array


def as_float32(array: NDArray[Any], *, copy: bool = False) -> NDArray[np.float32]:
    """Return a contiguous float32 array; numbers too large for float32 become infinite, without a warning."""
    if array.dtype == np.float32:
        return np.array(array, order="C") if copy else np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        return np.array(array, dtype=np.float32, order="C")


def check_kernel(rows: ArrayLike) -> KernelArray:
    """Check a kernel: rectangular, finite, 1 × 1 to 64 × 64.

    Args:
        rows: Nested lists or an array, shape (h, w).

    Returns:
        A fresh contiguous array.

    Raises:
        InputRejected: It is not such a kernel.
    """
    array = real_array(rows, "Kernel")
    if array.size == 0:
        raise InputRejected("Kernel is empty. Give at least one number.")
    if array.ndim != 2:
        raise InputRejected(f"Kernel must have rows and columns, got {array.ndim} dimensions. Give a list of rows.")
    if max(array.shape) > MAX_KERNEL_SIDE:
        raise InputRejected(
            f"Kernel is {array.shape[0]} × {array.shape[1]}; the lab takes up to {MAX_KERNEL_SIDE} × "
            f"{MAX_KERNEL_SIDE}. Make it smaller."
        )
    kernel_hw = as_float32(array, copy=True)
    finite = np.isfinite(kernel_hw)
    if not finite.all():
        row, col = (int(index) + 1 for index in np.argwhere(~finite)[0])
        raise InputRejected(
            f"Kernel row {row}, column {col} is NaN, infinite or too large for float32. Enter a finite number there."
        )
    return kernel_hw


def parse_kernel(text: str) -> KernelArray:
    """Read a kernel as typed or as pasted from a spreadsheet.

    Rows end with a semicolon or a new line; cells are parted by tabs, commas or spaces and hold numbers or fractions
    such as 1/9. Brackets of a Python list are ignored. A comma is never a decimal point.

    Args:
        text: The rows.

    Returns:
        Kernel of shape (h, w).

    Raises:
        InputRejected: The text is not a kernel; the sentence names the row.
    """
    if len(text) > _MAX_TEXT:
        raise InputRejected(f"The text has {len(text)} characters; the lab takes up to {_MAX_TEXT}. Paste less.")
    text = text.replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ")
    text = re.sub(r"\][ \t\r\n]*,?", ";", text).replace("[", " ")
    lines = [line for line in re.split(r"[;\r\n]", text) if line.strip()]
    if not lines:
        raise InputRejected("There are no numbers in the text. Enter rows such as: 0, 1, 0; 1, 4, 1; 0, 1, 0.")
    rows = [[_parse_cell(cell, number) for cell in _cells(line, number)] for number, line in enumerate(lines, 1)]
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise InputRejected(
                f"Row {number} has {len(row)} numbers, row 1 has {len(rows[0])}. Give every row the same number."
            )
    return check_kernel(rows)


def _cells(line: str, number: int) -> list[str]:
    line = re.sub(r" *([\t,/]) *", r"\1", line.strip(" "))
    if "," in line and re.search(r"[ \t]", line):
        raise InputRejected(
            f"Row {number} parts its cells by commas and by spaces or tabs. If the comma is a decimal comma, write a "
            "point: 0.5, not 0,5."
        )
    return re.split(r"[\t,]" if re.search(r"[\t,]", line) else r" +", line)


def _parse_cell(cell: str, number: int) -> float:
    if not cell:
        raise InputRejected(f"Row {number} has an empty cell. Fill it in; 0 is a number too.")
    match = _CELL.fullmatch(cell)
    if match is None:
        raise InputRejected(f"Row {number} holds {cell[:20]!r}. Enter numbers such as 1, -0.5, 2e-3 or 1/9.")
    over, under = match.groups()
    if under is None:
        return float(over)
    if float(under) == 0:
        raise InputRejected(f"Row {number} divides by zero: {cell[:20]!r}. Put another number below the line.")
    return float(over) / float(under)


def format_kernel(kernel: ArrayLike) -> str:
    """Write a kernel as short text: rows parted by ";", values by ",".

    `parse_kernel` reads back the very same float32 numbers.

    Raises:
        InputRejected: It is not a kernel.
    """
    return ";".join(",".join(_shortest(value) for value in row) for row in check_kernel(kernel))


def _shortest(value: np.float32) -> str:
    plain = np.format_float_positional(value, trim="-")
    power = re.sub(r"e([+-])0*([0-9])", r"e\1\2", np.format_float_scientific(value, trim="-", exp_digits=1))
    shorter = min(plain, power.replace("e+", "e"), key=len)
    return re.sub(r"^(-?)0\.", r"\1.", shorter)


def _literal(value: float) -> str:
    """Python and JSON spelling of a float32 that reads back to the same float32."""
    return repr(float(str(np.float32(value))))


def kernel_json(
    kernel: ArrayLike,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    padding_mode: str = "zeros",
    dilation: int | tuple[int, int] = 1,
    bias: float = 0.0,
    flip: bool = False,
    activation: str = "none",
) -> str:
    """Write a kernel and how it is applied as JSON, one kernel row per line.

    Raises:
        InputRejected: It is not a kernel.
    """
    rows = ",\n".join(f"    [{', '.join(map(_literal, row))}]" for row in check_kernel(kernel))
    settings = {
        "stride": stride,
        "padding": padding,
        "padding_mode": padding_mode,
        "dilation": dilation,
        "bias": bias,
        "flip": flip,
        "activation": activation,
    }
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in settings.items())
    return f'{{\n  "kernel": [\n{rows}\n  ],\n{lines}\n}}\n'


# Channels of the input, and the weights of the convolution made of one kernel.
_TORCH_WEIGHTS = {
    "grey": (1, "kernel[None, None]"),
    "each": (3, "kernel.expand(3, 1, -1, -1)"),
    "sum": (3, "kernel.expand(1, 3, -1, -1)"),
}


def kernel_torch_code(
    kernel: ArrayLike,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    padding_mode: str = "zeros",
    dilation: int | tuple[int, int] = 1,
    bias: float = 0.0,
    flip: bool = False,
    activation: str = "none",
    channels: str = "grey",
) -> str:
    """Write the PyTorch code that gives the same numbers.

    Args:
        kernel: Shape (h, w).
        stride: As in `apply_kernel`.
        padding: As in `apply_kernel`.
        padding_mode: As in `apply_kernel`.
        dilation: As in `apply_kernel`.
        bias: As in `apply_kernel`.
        flip: As in `apply_kernel`.
        activation: Key in `ACTIVATIONS`.
        channels: "grey" for one channel, "each" for three that are filtered on their own, "sum" for three whose maps
            are added up.

    Returns:
        Code of a function `respond(x)`: x of shape (N, 1, H, W), or (N, 3, H, W) for "each" and "sum".

    Raises:
        InputRejected: It is not a kernel, or there is no such activation.
    """
    if activation not in ACTIVATIONS:
        raise InputRejected(f"There is no activation {activation!r}. Take one of: {', '.join(ACTIVATIONS)}.")
    if channels not in _TORCH_WEIGHTS:
        raise InputRejected(f"There is no way {channels!r} to use channels. Take one of: {', '.join(_TORCH_WEIGHTS)}.")
    num_channels, weight = _TORCH_WEIGHTS[channels]
    arguments = ["x", weight]
    if bias:
        values = ", ".join([_literal(bias)] * (3 if channels == "each" else 1))
        arguments.append(f"bias=torch.tensor([{values}])")
    if stride not in (1, (1, 1)):
        arguments.append(f"stride={stride}")
    lines = ["import torch", "from torch.nn import functional as F", "", "kernel = torch.tensor(", "    ["]
    lines += [f"        [{', '.join(map(_literal, row))}]," for row in check_kernel(kernel)]
    lines += ["    ]", ")"]
    if flip:
        lines.append("kernel = kernel.flip(0, 1)  # by 180 degrees: a true convolution")
    lines += ["", "", "def respond(x):", f'    """x: images, shape (N, {num_channels}, H, W), values 0 to 1."""']
    if padding not in (0, (0, 0)):
        if padding_mode == "zeros":
            arguments.append(f"padding={padding}")
        else:
            vertical, horizontal = (padding, padding) if isinstance(padding, int) else padding
            sides = (horizontal, horizontal, vertical, vertical)
            lines.append(f'    x = F.pad(x, {sides}, mode="{padding_mode}")  # left, right, top, bottom')
    if dilation not in (1, (1, 1)):
        arguments.append(f"dilation={dilation}")
    if channels == "each":
        arguments.append("groups=3")
    response = f"F.conv2d({', '.join(arguments)})"
    lines.append(f"    return {response if activation == 'none' else f'{_TORCH_ACTIVATIONS[activation]}({response})'}")
    return "\n".join(lines) + "\n"
