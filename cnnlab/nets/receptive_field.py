"""What a unit of a net sees of the picture: in theory, and measured.

In theory (`receptive_fields`), following Araujo et al., Computing receptive fields of convolutional neural networks,
Distill 2019, equations 2 and 3: a window of K cells, stride S, dilation D and padding P on a map whose units see R px
and lie J px apart sees R + D(K − 1)J px, its units lie S·J px apart, and the first window begins P·J px earlier.
Where ways meet, the windows are united.

Measured (`effective_field`), following Luo et al., Understanding the effective receptive field, NIPS 2016, section 2:
the size of the derivative of a unit by each pixel. It is small near the border of the window, and zero where the
activations on the way are switched off.

Coordinates: pixel i covers [i, i + 1) and its middle is i + 0.5. Windows may reach beyond the picture, into padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cnnlab.errors import InputRejected
from cnnlab.nets.misfits import shape_text
from cnnlab.nets.propagation import Seen, State, of_picture, propagate
from cnnlab.nets.tracing import Call, output_of

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceptiveField:
    """What the units of a layer see, rows first, in px.

    Attributes:
        size: Height and width of the window of one unit.
        jump: From the window of one unit to that of the next.
        start: Middle of the window of the unit at (0, 0); negative inside the padding.
        whole_image: Whether something of the whole picture reaches every unit, beside its window or in place of it:
            through global pooling, a linear layer over all places, or statistics of all places.
    """

    size: Pair
    jump: Pair
    start: Pair
    whole_image: bool

    def window(self, row: int, col: int) -> tuple[float, float, float, float]:
        """Top, left, bottom and right edge of what the unit at (row, col) sees; may reach beyond the picture."""
        middles = [start + jump * at for start, jump, at in zip(self.start, self.jump, (row, col), strict=True)]
        top, left = (middle - size / 2 for middle, size in zip(middles, self.size, strict=True))
        return top, left, top + self.size[0], left + self.size[1]


def receptive_fields(calls: Sequence[Call]) -> tuple[ReceptiveField | None, ...]:
    """Work out what each call of a traced net sees; None where that is not known.

    Not known is what comes after an operation that moves places about in a way nobody told this module of.
    Adaptive pooling from n to m cells, with neither a multiple of the other, has windows of several lengths; the
    longest is given, and the window of a unit may then be up to one cell off. So may it where a map is enlarged, or
    shrunk by a factor that is not whole. Padding that mirrors or repeats pixels counts as if these stood outside of
    the picture.

    Args:
        calls: From `cnnlab.nets.tracing.trace` of a net that takes (N, C, H, W).
    """
    found = propagate(calls, {-1: of_picture(calls)})
    return tuple(_shown(found[call.index], call.output_shape) for call in calls)


def effective_field(
    model: nn.Module, x: Tensor, layer: str | int, row: int, col: int, channel: int | None = None
) -> NDArray[np.float32]:
    """Measure how much each pixel moves a unit of a net, on a given picture.

    Args:
        model: Any module. It is not touched.
        x: The picture as the net gets it, shape (1, C, H, W).
        layer: Name or index of the call, as in `trace`.
        row: Of the unit in that layer's map.
        col: Likewise.
        channel: Of the unit; all channels at this place together when None.

    Returns:
        |∂ unit / ∂ pixel|, summed over the channels of the picture, shape (H, W). All zero for a unit that is
        switched off.

    Raises:
        InputRejected: There is no such layer, or no such unit in it.
        DoesNotFit: The net does not take the picture.
    """
    with torch.inference_mode(False), torch.enable_grad():
        picture = x.detach().clone().requires_grad_()
        output = output_of(model, picture, layer)
        if output is None:
            raise InputRejected(f"There is no layer {layer!r} that ran. Pick one of the layers listed.")
        map_chw = _map(output, layer)
        num_channels, height, width = map_chw.shape
        if not (0 <= row < height and 0 <= col < width and (channel is None or 0 <= channel < num_channels)):
            raise InputRejected(
                f"There is no unit (channel {channel}, row {row}, column {col}) in layer {layer}: it has "
                f"{num_channels} channels of {height} × {width}. Pick one inside."
            )
        unit = (map_chw if channel is None else map_chw[channel : channel + 1])[:, row, col].sum()
        (gradient,) = torch.autograd.grad(unit, picture, allow_unused=True) if unit.requires_grad else (None,)
    if gradient is None:
        return np.zeros(x.shape[-2:], np.float32)
    return gradient[0].abs().sum(dim=0).cpu().numpy().astype(np.float32)


def _shown(state: State, shape: tuple[int, ...]) -> ReceptiveField | None:
    if not isinstance(state, Seen):
        return None
    letters = "".join(state.axes)
    if "y" in letters and "x" in letters and letters.index("x") < letters.index("y"):
        return None  # its rows are the picture's columns
    rows, cols = state.rows, state.cols
    if len(shape) == 4:
        # Where no place of the picture lies along an axis, all units along it see the same.
        rows = rows if shape[2] == 1 or "y" in letters else replace(rows, jump=0.0)
        cols = cols if shape[3] == 1 or "x" in letters else replace(cols, jump=0.0)
    return ReceptiveField(
        size=(rows.size, cols.size),
        jump=(rows.jump, cols.jump),
        start=(rows.low + rows.size / 2, cols.low + cols.size / 2),
        whole_image=state.is_whole,
    )


def _map(output: Tensor, layer: str | int) -> Tensor:
    if output.ndim != 4:
        raise InputRejected(
            f"Layer {layer} makes {shape_text(tuple(output.shape[1:]))} numbers, not a map with rows and columns. "
            "Pick a layer before the net flattens its maps."
        )
    return output[0]
