"""What else a kernel tells: whether it splits, which frequencies it passes, what a shift does, how it is found."""

import hashlib
import time

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cnnlab.errors import InputRejected
from cnnlab.figures.pictures import to_picture
from cnnlab.images import decode, to_grey
from cnnlab.ops import (
    KERNELS,
    MAX_KERNEL,
    FitStep,
    apply_kernel,
    build_kernel,
    equivariance,
    fit_kernel,
    frequency_response,
    separability,
)
from cnnlab.ui import errors, state
from cnnlab.ui.components.picture import legend_of, picture
from cnnlab.ui.playground.controls import Setup
from cnnlab.ui.playground.results import without_dust

_MAX_TERMS = 3
_FIT_SIDE = 256  # px; more pixels change the answer little and cost time
_REDRAW_S = 0.15
_FIT = "kernels.find.steps"
_CURRENT, _UPLOAD = "current", "upload"
_OTHER_TARGETS = {_CURRENT: "the result of the current kernel", _UPLOAD: "a picture I upload"}
_TABS = ("Does it split?", "Which frequencies pass?", "Does it follow a shift?", "Can it be found?")

SHIFT_X = state.integer("kernels.dx", "dx", -16, 16, 1)
SHIFT_Y = state.integer("kernels.dy", "dy", -16, 16, 0)
HIDDEN = state.choice("kernels.hidden", "find", [_CURRENT, *KERNELS, _UPLOAD], "gabor")
SIDE = state.integer("kernels.find.size", "find.size", 1, MAX_KERNEL, 3)
TAB = state.choice("kernels.beyond", "tab", _TABS, _TABS[0])
SETTINGS = (SHIFT_X, SHIFT_Y, HIDDEN, SIDE, TAB)


def show(grey_hw: NDArray[np.float32], setup: Setup) -> None:
    """Draw the tabs; a tab costs nothing until it is opened."""
    st.subheader("Beyond the obvious", anchor=False)
    draws = (_split, _frequencies, _shift, _find)
    for tab, draw in zip(st.tabs(_TABS, key=TAB.key, on_change="rerun"), draws, strict=True):
        if tab.open:
            with tab, errors.shown():
                draw(grey_hw, setup)


def _vector(values: NDArray[np.floating]) -> str:
    # Plain text: a browser needs 30 ms and more to set matrices as formulas, and these change with every slider.
    rounded = np.where(np.abs(values) > 1e-9 * np.abs(values).max(), values, 0.0)  # without the dust of the SVD
    return "`[" + "  ".join(f"{value:.3g}".replace("-", "−") for value in rounded) + "]`"


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
        f"{'plus ' if number else ''}column {_vector(column)} × row {_vector(row)}"
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
    even = abs(without_dust(setup.kernel)) * setup.kernel.size
    left, right = st.columns([2, 1], gap="medium")
    left.plotly_chart(
        charts.frequency_response(response.frequencies, response.magnitude_hw), width="content", key="kernels.response"
    )
    right.markdown(
        "The middle is what does not change across the image, the rim the finest pattern that pixels can hold "
        "(0.5 cycles per pixel: one black, one white).\n\n"
        f"- gain for even areas: **{even:.3g}**, the absolute sum of the weights\n"
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
            legend=legend_of(shown, "0: shifting first or last makes no difference"),
            max_height=360,
        )
    st.markdown(
        "A convolution follows a shift: move the image, and the result moves along. That holds inside at stride 1. "
        "At the border the padding stands still while the image moves; with a stride above 1 it holds only for shifts "
        "that the stride divides."
    )


def _find(grey_hw: NDArray[np.float32], setup: Setup) -> None:
    from cnnlab.figures import charts

    source_hw = _middle(grey_hw)
    left, right = st.columns([1, 2], gap="medium")
    with left:
        st.selectbox(
            "Find the kernel that makes",
            [_CURRENT, *KERNELS, _UPLOAD],
            key=HIDDEN.key,
            format_func=lambda key: _OTHER_TARGETS.get(key) or f"the result of {KERNELS[key].label}",
            help="Gradient descent sees only the image and the result, never the kernel.",
        )
        hidden = st.session_state[HIDDEN.key]
        kernel, target_hw = None, None
        if hidden == _UPLOAD:
            size = st.slider("Kernel size", 1, MAX_KERNEL, key=SIDE.key, help="Raise it and more weights are sought.")
            shape = (size, size)
            target_hw = _uploaded(grey_hw, size)
        else:
            kernel = setup.kernel if hidden == _CURRENT else build_kernel(hidden)
            shape = (kernel.shape[0], kernel.shape[1])
            target_hw = apply_kernel(source_hw, kernel)
    if target_hw is None:
        return
    with right:
        # A picture file holds 0 to 255 only, so what made it may have added a constant.
        steps = _descend(source_hw, target_hw, shape, with_bias=kernel is None)
        at = len(steps) - 1
        if at:
            at = st.select_slider(
                "Step",
                range(len(steps)),
                value=at,
                format_func=lambda index: f"{steps[index].step:,}",
                help="Go back to watch the kernel take shape.",
            )
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
        else:
            st.metric("Bias", f"{chosen.bias:.3g}")
        if not chosen.determined:
            st.info(
                "This image does not settle the kernel: other kernels give the same result on it. The one found is "
                "one of them. Choose an image with more detail.",
                icon=":material/info:",
            )
        st.caption(
            f"Gradient descent with Nesterov's momentum on the mean squared error: {steps[-1].step:,} steps from small "
            f"random weights, on the middle {source_hw.shape[1]} × {source_hw.shape[0]} px, without padding."
        )
        if not steps[-1].converged and st.button("Start again", key="kernels.find.again"):
            del st.session_state[_FIT]
            st.rerun(scope="fragment")


def _middle(array_hw: NDArray[np.float32]) -> NDArray[np.float32]:
    top, left = (max(0, (length - _FIT_SIDE) // 2) for length in array_hw.shape)
    return np.ascontiguousarray(array_hw[top : top + _FIT_SIDE, left : left + _FIT_SIDE])


def _uploaded(grey_hw: NDArray[np.float32], size: int) -> NDArray[np.float32] | None:
    """The target a user gave: the whole image as another program left it, cut to what a kernel of `size` can reach.

    Raises:
        InputRejected: It is no picture, or not of the image's size.
    """
    height, width = grey_hw.shape
    given = st.file_uploader(
        f"The current image after another program has blurred, sharpened or filtered it: {width} × {height} px",
        type="image",
        key="kernels.find.target",
    )
    if given is None:
        return None
    target_hw = to_grey(decode(given.getvalue(), given.name).pixels)
    if target_hw.shape != grey_hw.shape:
        raise InputRejected(
            f"The picture is {target_hw.shape[1]} × {target_hw.shape[0]} px; the image it is compared with is "
            f"{width} × {height} px. Give one of that size, or choose another image size under More."
        )
    middle_hw = _middle(target_hw)
    begin, end = (size - 1) // 2, size // 2
    return np.ascontiguousarray(middle_hw[begin : middle_hw.shape[0] - end, begin : middle_hw.shape[1] - end])


def _descend(
    source_hw: NDArray[np.float32], target_hw: NDArray[np.float32], shape: tuple[int, int], *, with_bias: bool
) -> list[FitStep]:
    """The steps of the descent, kept until the question changes. Stop, or any other control, ends it where it is."""
    question = hashlib.sha256(source_hw.tobytes() + target_hw.tobytes() + repr((shape, with_bias)).encode()).hexdigest()
    asked, steps = st.session_state.get(_FIT, ("", []))
    if asked == question and steps:
        return steps
    steps = []
    st.session_state[_FIT] = (question, steps)
    drawn = time.monotonic()
    place = st.empty()
    for step in fit_kernel(source_hw, target_hw, shape, with_bias=with_bias):
        steps.append(step)
        if time.monotonic() - drawn > _REDRAW_S:
            with place.container(horizontal=True, vertical_alignment="center"):
                st.button("Stop", key=f"kernels.find.stop.{len(steps)}")
                st.caption(f"Step {step.step:,}, mean squared error {step.loss:.3g}")
            drawn = time.monotonic()
    place.empty()
    return steps
