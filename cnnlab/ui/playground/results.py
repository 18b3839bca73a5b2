"""The image, what the kernel makes of it, and the numbers that go with both."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.errors import InputRejected
from cnnlab.figures.pictures import SCALINGS, Picture, to_picture
from cnnlab.ops import ACTIVATIONS, ChannelSum, apply_kernel, channel_sum, separability, size_formula
from cnnlab.ui import errors, state
from cnnlab.ui.components.picture import GroupMapping, legend_of, picked, picture
from cnnlab.ui.playground import controls
from cnnlab.ui.playground.controls import SCALING, SHARE, Setup

_LARGEST = 1e38
_MACS = "kernels.macs"
AT = state.Setting(
    key="kernels.at",
    param="at",
    default=None,
    parse=lambda text: _cell(text),
    format=lambda cell: f"{cell[0]},{cell[1]}",
)


def _cell(text: str) -> tuple[int, int]:
    row = state.integer("", "at", 0, 10_000, 0)
    parts = text.split(",", 1)
    return row.parse(parts[0]), row.parse(parts[1] if len(parts) == 2 else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What the kernel made of the image.

    Args:
        values: After the activation, (h, w) or (h, w, 3).
        summed: The partial maps, where channels were summed.
    """

    values: NDArray[np.float32]
    summed: ChannelSum | None = None


def respond(image: NDArray[np.float32], setup: Setup) -> Response:
    """Apply the kernel and the activation as the controls say."""
    activate = ACTIVATIONS[setup.activation].apply
    if setup.channels == "sum":
        summed = channel_sum(image, setup.kernel, **setup.geometry)
        check_size(summed.partials_chw)
        return Response(values=activate(check_size(summed.total_hw)), summed=summed)
    return Response(values=activate(check_size(apply_kernel(image, setup.kernel, **setup.geometry))))


def check_size(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values, unless some are so large that float32 cannot hold the difference of two of them.

    Before the activation, which may hide them: the sigmoid of infinity is 1.

    Raises:
        InputRejected: Some are beyond ±1e38, infinite or not a number.
    """
    if not (np.abs(values) <= _LARGEST).all():
        raise InputRejected(
            "With these weights some results are larger than 1e38, close to the end of float32. Use smaller weights."
        )
    return values


def pictures(image: NDArray[np.float32], response: Response, setup: Setup) -> None:
    """Draw image and result side by side, pixels of both at the same size, and take up where the user points."""
    scaling = st.session_state[SCALING.key]
    result = to_picture(response.values, scaling, share=int(st.session_state[SHARE.key]) / 100)
    geometry = setup.geometry
    span, offsets = _spans(setup), _offsets(setup)
    across: GroupMapping = {
        "scale_row": geometry["stride"],
        "scale_col": geometry["stride"],
        "offset_row": offsets[0],
        "offset_col": offsets[1],
        "window_rows": span[0],
        "window_cols": span[1],
    }
    left, right = st.columns(2, gap="small")
    # The result goes out first: it is what a moved slider is waiting for.
    with right:
        picture(
            result.pixels,
            key="kernels.result",
            on_pick=_result_picked,
            alt="The result of the kernel on the current image",
            title=f"Result, {response.values.shape[1]} × {response.values.shape[0]}",
            lut=result.lut,
            legend=legend_of(
                result, SCALINGS[scaling].meaning if result.pixels.ndim == 2 else "the same for red, green, blue"
            ),
            link="kernels",
            mapping=across,
            same_scale=True,
        )
    source = to_picture(image, "clamped")
    with left:
        picture(
            source.pixels,
            key="kernels.source",
            on_pick=_image_picked,
            alt="The current image",
            title=f"Image, {image.shape[1]} × {image.shape[0]} px",
            lut=source.lut,
            legend=legend_of(source, "0 black, 1 white"),
            link="kernels",
            same_scale=True,
        )
    with st.container(horizontal=True, gap="medium"):
        st.segmented_control(
            "Show the result",
            list(SCALINGS),
            format_func=lambda key: SCALINGS[key].label,
            key=SCALING.key,
            required=True,
            help="How numbers become shades. The numbers stay the same.",
        )
        st.segmented_control(
            "Scale covers",
            ["99", "100"],
            format_func="{} %".format,
            key=SHARE.key,
            required=True,
            help="A few large numbers make all others pale. Leave them out of the scale, and the rest can be seen.",
        )
    _cut_off(result)
    if response.summed is not None:
        _partials(response.summed)


def _cut_off(result: Picture) -> None:
    beyond = (result.num_below + result.num_above) / result.pixels.size
    if beyond:
        st.caption(f"{beyond:.1%} of the numbers lie beyond the ends of the scale and are shown like them.")


def _result_picked() -> None:
    if cell := picked("kernels.result"):
        st.session_state[AT.key] = cell


def _image_picked() -> None:
    """Point to the output cell whose window is centred nearest to the pixel."""
    if pixel := picked("kernels.source"):
        setup = controls.read()
        offsets = _offsets(setup)
        cell = ((place - offset) / setup.geometry["stride"] for place, offset in zip(pixel, offsets, strict=True))
        st.session_state[AT.key] = tuple(max(round(index), 0) for index in cell)


def _offsets(setup: Setup) -> list[float]:
    """Row and column of the image on which the window of the first output cell is centred."""
    return [(span - 1) / 2 - setup.geometry["padding"] for span in _spans(setup)]


def _spans(setup: Setup) -> list[int]:
    return [setup.geometry["dilation"] * (side - 1) + 1 for side in setup.kernel.shape]


def pointed_at(shape: tuple[int, ...]) -> tuple[int, int]:
    """Row and column of the output cell that the user points to, or of the middle one; inside `shape`."""
    row, col = st.session_state[AT.key] or (shape[0] // 2, shape[1] // 2)
    return min(row, shape[0] - 1), min(col, shape[1] - 1)


def _partials(summed: ChannelSum) -> None:
    """The three partial maps on one scale, and how they add up."""
    share = int(st.session_state[SHARE.key]) / 100
    limit = to_picture(np.vstack([*summed.partials_chw, summed.total_hw]), "signed", share=share).maximum
    titles = ("Red", "+ Green", "+ Blue", f"+ bias {summed.bias:g} = sum")
    maps = zip(titles, [*summed.partials_chw, summed.total_hw], strict=True)
    for index, (column, (title, map_hw)) in enumerate(zip(st.columns(4, gap="small"), maps, strict=True)):
        shown = to_picture(map_hw, "signed", limits=(-limit, limit))
        with column:
            picture(
                shown.pixels,
                key=f"kernels.partial{index}",
                alt=f"Partial map: {title}",
                title=title,
                lut=shown.lut,
                link="kernels.partials",
            )
    st.caption(f"The four maps share one scale, −{limit:.3g} to {limit:.3g}; before the activation.")


def numbers(image: NDArray[np.float32], response: Response, setup: Setup) -> None:
    """Draw size, range and cost, each with the formula or the unit it has."""
    height, width = response.values.shape[:2]
    channels = 1 if image.ndim == 2 else image.shape[2]
    macs = height * width * setup.kernel.size * channels
    st.metric("Output", f"{width:,} × {height:,}")
    st.metric(
        "Multiply-adds (MACs)",
        f"{macs:,}",
        _change(macs),
        delta_color="off",
        help="Output cells × weights × channels; one MAC is one multiplication and one addition.",
    )
    with errors.shown():
        _size_card(image, setup)
    values = response.values
    weights = setup.kernel
    split = separability(weights)
    rows = {
        "minimum": f"{values.min():.4g}",
        "maximum": f"{values.max():.4g}",
        "mean": f"{without_dust(values):.4g}",
        "standard deviation": f"{values.std(dtype=np.float64):.4g}",
        "sum of the weights": f"{without_dust(weights) * weights.size:.4g}",
        "rank of the kernel": f"{split.rank}",
    }
    body = "\n".join(f"| {name} | {number.replace('-', '−')} |" for name, number in rows.items())
    st.markdown(f"| | |\n|:--|--:|\n{body}")


def _change(macs: int) -> str | None:
    """How the cost has changed with the last setting."""
    before = st.session_state.get(_MACS, macs)
    st.session_state[_MACS] = macs
    return None if macs == before else f"{macs / before - 1:+,.0%}"


def without_dust(numbers: NDArray[np.float32]) -> float:
    """Mean; 0 where only the rounding of float32 is left of it."""
    mean = float(numbers.mean(dtype=np.float64))
    return mean if abs(mean) > 1e-7 * float(np.abs(numbers).max()) else 0.0


_EXAMPLES = {
    "image": "This image",
    "five": "5 px, K 3, S 1, P 1",
    "wide": "640 px, K 3, S 2, P 0",
    "other": "Other numbers",
}
_MOST_PX = 4096
_NUMBERS = {
    letter: (low, meaning, state.integer(f"kernels.size.{letter}", f"size.{letter}", low, _MOST_PX, start))
    for letter, low, start, meaning in (
        ("W", 1, 28, "input size, px"),
        ("K", 1, 5, "kernel size, px"),
        ("S", 1, 1, "stride, px"),
        ("P", 0, 2, "padding, px on each side"),
        ("D", 1, 1, "dilation, px"),
    )
}
SIZED = state.choice("kernels.sized", "sized", _EXAMPLES, "image")
SETTINGS = (AT, SIZED, *(setting for _, _, setting in _NUMBERS.values()))


def _size_card(image: NDArray[np.float32], setup: Setup) -> None:
    chosen = st.selectbox("Output size of", list(_EXAMPLES), format_func=_EXAMPLES.__getitem__, key=SIZED.key)
    stride, padding, dilation = (setup.geometry[name] for name in ("stride", "padding", "dilation"))
    if chosen == "image":
        sizes = {"W": (image.shape[1], setup.kernel.shape[1]), "H": (image.shape[0], setup.kernel.shape[0])}
        formulas = {
            axis: size_formula(size, kernel, stride=stride, padding=padding, dilation=dilation)
            for axis, (size, kernel) in sizes.items()
        }
    elif chosen == "other":
        with st.container(horizontal=True, gap="small"):
            given = [
                int(st.number_input(letter, low, _MOST_PX, key=setting.key, help=meaning, width=84))
                for letter, (low, meaning, setting) in _NUMBERS.items()
            ]
        formulas = {"W": size_formula(given[0], given[1], stride=given[2], padding=given[3], dilation=given[4])}
    else:
        size, kernel, stride, padding = (5, 3, 1, 1) if chosen == "five" else (640, 3, 2, 0)
        formulas = {"W": size_formula(size, kernel, stride=stride, padding=padding)}
    st.latex(next(iter(formulas.values())).latex_symbols)
    if len({formula.latex for formula in formulas.values()}) == 1:
        formulas = {"": next(iter(formulas.values()))}
    for axis, formula in formulas.items():
        lines = formula.latex.replace(" = ", r" \\ &= ")
        st.latex(
            rf"\begin{{aligned}} {axis}: &\ {lines} \end{{aligned}}"
            if axis
            else rf"\begin{{aligned}} &\ {lines} \end{{aligned}}"
        )
        if formula.dropped:
            st.caption(f"No window reaches the last {formula.dropped} px.")
