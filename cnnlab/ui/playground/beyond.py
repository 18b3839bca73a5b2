"""What else a kernel tells: whether it splits, which frequencies it passes, what a shift does, how it is found."""

import time
from collections.abc import Callable

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.errors import LabError
from cnnlab.figures.pictures import to_picture
from cnnlab.images import decode, to_grey
from cnnlab.ops import (
    KERNELS,
    FitStep,
    apply_kernel,
    build_kernel,
    equivariance,
    fit_kernel,
    frequency_response,
    output_size,
    separability,
)
from cnnlab.ui import errors, state
from cnnlab.ui.components.picture import picture
from cnnlab.ui.playground.controls import Setup
from cnnlab.ui.playground.results import legend

_MAX_TERMS = 3
_FIT_SIDE = 256  # px; more pixels change the answer little and cost time
_REDRAW_S = 0.15

SHIFT_X = state.integer("kernels.dx", "dx", -16, 16, 1)
SHIFT_Y = state.integer("kernels.dy", "dy", -16, 16, 0)
HIDDEN = state.choice("kernels.hidden", "find", [*KERNELS, "upload"], "gabor")
SETTINGS = (SHIFT_X, SHIFT_Y, HIDDEN)


def show(grey_hw: NDArray[np.float32], setup: Setup) -> None:
    """Draw the tabs; a tab costs nothing until it is opened."""
    st.subheader("Beyond the obvious", anchor=False)
    parts: dict[str, Callable[[NDArray[np.float32], Setup], None]] = {
        "Does it split?": _split,
        "Which frequencies pass?": _frequencies,
        "Does it follow a shift?": _shift,
        "Can it be found?": _find,
    }
    for tab, draw in zip(st.tabs(list(parts), key="kernels.beyond", on_change="rerun"), parts.values(), strict=True):
        if tab.open:
            with tab, errors.shown():
                draw(grey_hw, setup)


def _vector(values: NDArray[np.floating]) -> str:
    # Plain text: a browser needs 30 ms and more to set matrices as formulas, and these change with every slider.
    return "`[" + "  ".join(f"{value:.3g}".replace("-", "−") for value in values) + "]`"


def _split(_: NDArray[np.float32], setup: Setup) -> None:
    split = separability(setup.kernel)
    height, width = setup.kernel.shape
    if split.rank == 0:
        st.markdown("All weights are zero: there is nothing to split.")
        return
    if split.rank == 1:
        st.markdown(
            "**Rank 1.** The kernel is a column times a row: two passes of one dimension do the work of one in two."
        )
    else:
        st.markdown(
            f"**Rank {split.rank}.** The kernel is the sum of {split.rank} products of a column and a row, no fewer."
        )
    terms = [
        f"{'+ ' if number else ''}column {_vector(column)} × row {_vector(row)}"
        for number, (column, row) in enumerate(zip(split.columns_hr.T, split.rows_rw, strict=True))
    ]
    more = split.rank - _MAX_TERMS
    st.markdown("  \n".join(terms[:_MAX_TERMS]) + (f"  \n… and {more} more" if more > 0 else ""))
    share = split.macs_separated / split.macs_direct
    verdict = f"{1 - share:.0%} saved" if share < 1 else "nothing saved"
    st.markdown(
        f"Multiply-adds (MACs) per output number: {height} · {width} = **{split.macs_direct}** at once, "
        f"{split.rank} · ({height} + {width}) = **{split.macs_separated}** in passes: {verdict}.  \n"
        f"Singular values: {', '.join(f'{value:.3g}' for value in split.singular_values[: split.rank])}"
        + (", the others 0." if split.rank < len(split.singular_values) else ".")
    )


def _frequencies(_: NDArray[np.float32], setup: Setup) -> None:
    from cnnlab.figures import charts

    response = frequency_response(setup.kernel)
    left, right = st.columns([2, 1], gap="medium")
    left.plotly_chart(charts.frequency_response(response.frequencies, response.magnitude_hw), key="kernels.response")
    centre = response.magnitude_hw.shape[0] // 2
    right.markdown(
        "The middle is what does not change across the image, the rim the finest pattern that pixels can hold "
        "(0.5 cycles per pixel: one black, one white).\n\n"
        f"- gain for even areas: **{response.magnitude_hw[centre, centre]:.3g}**, the absolute sum of the weights\n"
        f"- largest gain: **{response.magnitude_hw.max():.3g}**"
    )


def _shift(grey_hw: NDArray[np.float32], setup: Setup) -> None:
    left, right = st.columns([2, 1], gap="medium")
    with right:
        dx = st.slider("Shift right, px", -16, 16, key=SHIFT_X.key, help="Negative moves to the left.")
        dy = st.slider("Shift down, px", -16, 16, key=SHIFT_Y.key, help="Negative moves up.")
        geometry = {name: value for name, value in setup.geometry.items() if name != "bias"}
        measured = equivariance(grey_hw, setup.kernel, dx=dx, dy=dy, **geometry)
        st.metric("Largest error inside", f"{measured.max_inside:.3g}")
        st.metric("Largest error at the border", f"{measured.max_border:.3g}")
        if not measured.exact_shift:
            down, across = measured.shift_out
            st.caption(
                f"Stride {setup.geometry['stride']} does not divide the shift; the result is shifted by {across} and "
                f"{down}, the nearest whole cells."
            )
    with left:
        shown = to_picture(measured.error_hw, "absolute")
        picture(
            shown.pixels,
            key="kernels.equivariance",
            alt="Where shifting before and after the kernel differ",
            title="| kernel(shift(image)) − shift(kernel(image)) |",
            lut=shown.lut,
            legend=legend(shown, "0: shifting first or last makes no difference"),
            max_height=360,
        )
    st.markdown(
        "A convolution follows a shift: move the image, and the result moves along. That holds inside at stride 1. "
        "At the border the padding stands still while the image moves; with a stride above 1 it holds only for shifts "
        "that the stride divides."
    )


def _find(grey_hw: NDArray[np.float32], _: Setup) -> None:
    from cnnlab.figures import charts

    side = [max(0, (length - _FIT_SIDE) // 2) for length in grey_hw.shape]
    source_hw = np.ascontiguousarray(grey_hw[side[0] : side[0] + _FIT_SIDE, side[1] : side[1] + _FIT_SIDE])
    left, right = st.columns([1, 2], gap="medium")
    with left:
        hidden = st.selectbox(
            "Find the kernel that makes", [*KERNELS, "upload"], key=HIDDEN.key,
            format_func=lambda key: "a picture I upload" if key == "upload" else f"the result of {KERNELS[key].label}",
            help="Gradient descent starts from zeros and sees only the image and the result, never the kernel.",
        )  # fmt: skip
        kernel, target_hw, shape = None, None, (3, 3)
        if hidden == "upload":
            size = st.slider("Kernel size", 1, 11, 3, key="kernels.find.size")
            shape = (size, size)
            wanted = [output_size(length, size) for length in source_hw.shape]
            given = st.file_uploader(
                f"The result, {wanted[1]} × {wanted[0]} px: what your kernel makes of the middle "
                f"{source_hw.shape[1]} × {source_hw.shape[0]} px of the image, without padding",
                type="image",
                key="kernels.find.target",
            )
            if given is None:
                return
            try:
                target_hw = to_grey(decode(given.getvalue(), given.name).pixels)
            except LabError as error:
                st.error(str(error), icon=":material/error:")
                return
        else:
            kernel = build_kernel(hidden)
            shape = kernel.shape
            target_hw = apply_kernel(source_hw, kernel)
    with right:
        steps = _descend(source_hw, target_hw, shape)
        at = st.select_slider(
            "Step", range(len(steps)), value=len(steps) - 1, format_func=lambda index: f"{steps[index].step:,}",
            help="Go back to watch the kernel take shape.",
        )  # fmt: skip
        chosen = steps[at]
        named = {"Found": chosen.kernel_hw} if kernel is None else {"Hidden": kernel, "Found": chosen.kernel_hw}
        st.plotly_chart(charts.matrices(named), key="kernels.find.matrices")
        st.plotly_chart(
            charts.loss_curve([step.step for step in steps], [step.loss for step in steps], at), key="kernels.find.loss"
        )
    with left:
        st.metric("Mean squared error", f"{chosen.loss:.3g}")
        if kernel is not None:
            st.metric("Largest difference of a weight", f"{np.abs(chosen.kernel_hw - kernel).max():.2g}")
        if not chosen.determined:
            st.info(
                "This image does not settle the kernel: other kernels give the same result on it. The one found is "
                "one of them. Choose an image with more detail.",
                icon=":material/info:",
            )
        st.caption(
            f"Gradient descent with momentum on the mean squared error, {steps[-1].step:,} steps, from zeros, on the "
            f"middle {source_hw.shape[1]} × {source_hw.shape[0]} px of the image."
        )


def _descend(source_hw: NDArray[np.float32], target_hw: NDArray[np.float32], shape: tuple[int, int]) -> list[FitStep]:
    """Run the descent, showing where it is; leaving the page or changing a control stops it."""
    place = st.empty()
    steps: list[FitStep] = []
    drawn = time.monotonic()
    for step in fit_kernel(source_hw, target_hw, shape):
        steps.append(step)
        if time.monotonic() - drawn > _REDRAW_S:
            place.caption(f"Step {step.step:,}, mean squared error {step.loss:.3g} …")
            drawn = time.monotonic()
    place.empty()
    return steps
