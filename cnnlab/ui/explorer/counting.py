"""Fully connected or convolution: where the parameters go, counted on nets rather than claimed."""

import streamlit as st
import torch
from torch import nn

from cnnlab.errors import InputRejected
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.summary import LayerFacts, summarize, totals
from cnnlab.ui import state
from cnnlab.ui.explorer.diagram import size

SIDE = state.integer("architecture.count.side", "count.side", 1, 256, 28)
INPUTS = state.integer("architecture.count.in", "count.in", 1, 512, 1)
OUTPUTS = state.integer("architecture.count.out", "count.out", 1, 512, 32)
KERNEL = state.Setting(
    key="architecture.count.kernel", param="count.kernel", default=5, parse=lambda text: _odd(text), format=str
)
SETTINGS = (SIDE, INPUTS, OUTPUTS, KERNEL)


def _odd(text: str) -> int:
    # An even kernel has no middle, so no padding gives as many outputs as inputs.
    number = state.integer("", "count.kernel", 1, 11, 5).parse(text)
    if number % 2 == 0:
        raise InputRejected(f"count.kernel is {number}; it is an odd number from 1 to 11")
    return number


@st.cache_resource(show_spinner=False, max_entries=128)
def _convolution(side: int, inputs: int, outputs: int, kernel: int) -> LayerFacts:
    with torch.device("meta"):
        layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    return summarize(layer, (inputs, side, side))[0]


@st.cache_resource(show_spinner=False, max_entries=128)
def _connected(side: int, inputs: int, outputs: int) -> LayerFacts:
    # On the meta device: a layer of ten billion weights takes no memory there.
    with torch.device("meta"):
        layer = nn.Sequential(nn.Flatten(), nn.Linear(inputs * side * side, outputs * side * side))
    return summarize(layer, (inputs, side, side))[-1]


def show() -> None:
    """Draw the calculator, the tutorials' comparison with its other half, and what stacking does."""
    _one_layer()
    _two_nets()
    _stacks()


def _one_layer() -> None:
    st.markdown("**One layer, the same input and the same number of outputs**")
    with st.container(horizontal=True, gap="medium"):
        st.slider("Side of the picture, px", 1, 256, key=SIDE.key, help="The linear layer grows with its fourth power.")
        st.slider("Channels in", 1, 512, key=INPUTS.key, help="Each kernel has a slice for every channel.")
        st.slider("Channels out", 1, 512, key=OUTPUTS.key, help="One kernel and one feature map each.")
        st.slider("Kernel, px", 1, 11, step=2, key=KERNEL.key, help="The convolution grows with its square.")
    side, inputs, outputs, kernel = (st.session_state[setting.key] for setting in SETTINGS)
    convolution, connected = _convolution(side, inputs, outputs, kernel), _connected(side, inputs, outputs)
    rows = [
        ("Convolution, shared weights", convolution, r"K \cdot K \cdot C_{in} \cdot C_{out} + C_{out}"),
        ("Fully connected", connected, r"H W C_{in} \cdot H W C_{out} + H W C_{out}"),
    ]
    body = "\n".join(
        f"| {name} | ${symbols}$ | {layer.params_formula} | {layer.macs:,} |" for name, layer, symbols in rows
    )
    st.markdown(f"| | parameters | with these numbers | MACs |\n|:--|:--|:--|--:|\n{body}")
    st.caption(
        f"The fully connected layer has {_times(connected.num_params, convolution.num_params)} times as many "
        f"parameters and takes {_times(connected.macs, convolution.macs)} times as many MACs."
    )


def _times(one: int, other: int) -> str:
    ratio = one / other
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


@st.cache_resource(show_spinner=False)
def _tutorial() -> tuple[tuple[LayerFacts, ...], ...]:
    with torch.device("meta"):
        small = nn.Sequential(
            nn.Conv2d(1, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(4),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 10),
        )
        nets = (ARCHITECTURES["mlp"].build(), small, ARCHITECTURES["simple_conv_net"].build())
    return tuple(summarize(net, (1, 28, 28)) for net in nets)


def _two_nets() -> None:
    st.markdown("**Does a convolution save parameters? Three nets for 28 × 28 digits**")
    connected, small, simple = _tutorial()
    told = []
    for name, facts in (
        ("Fully connected, 784-128-64-10", connected),
        ("5 × 5 convolution, pooling, one linear layer", small),
        ("SimpleConvNet", simple),
    ):
        weighty = [layer for layer in facts if layer.num_params]
        parts = " + ".join(f"{layer.num_params:,}" for layer in weighty)
        largest = max(weighty, key=lambda layer: layer.num_params)
        whole = totals(facts)
        told.append(
            f"| {name} | {parts} | {whole.num_params:,} | {largest.num_params / whole.num_params:.1%} in "
            f"{largest.kind} {size(largest.input_shape)} → {size(largest.output_shape)} | {whole.macs:,} |"
        )
    st.markdown(
        "| net | layer by layer | parameters | largest layer | MACs |\n|:--|:--|--:|:--|--:|\n" + "\n".join(told)
    )
    weights = sum(layer.num_params - layer.output_shape[0] for layer in connected if layer.num_params)
    first, second = (totals(facts).num_params for facts in (small, simple))
    whole = totals(connected).num_params
    st.markdown(
        f"The usual comparison takes the first two: {weights:,} weights (biases left out) against {first:,} parameters "
        f"(biases counted), a factor of {weights / first:.1f}; with biases on both sides it is {whole / first:.1f}. "
        f"But a convolutional net of the same tutorial, SimpleConvNet, has {second / whole:.1f} times **more** "
        "parameters than the fully connected one: convolutions are small, the linear layer behind them is not. "
        "Global pooling in its place is what makes modern nets small."
    )


@st.cache_resource(show_spinner=False)
def _stacked(kernels: tuple[int, ...], channels: int) -> tuple[float, int]:
    with torch.device("meta"):
        stack = nn.Sequential(*(nn.Conv2d(channels, channels, kernel, bias=False) for kernel in kernels))
    facts = summarize(stack, (channels, 32, 32))
    assert facts[-1].receptive_field
    return max(facts[-1].receptive_field.size), totals(facts).num_params


def _stacks() -> None:
    st.markdown("**Two 3 × 3 see what one 5 × 5 sees**")
    rows = []
    for kernels in ((3, 3), (5,), (3, 3, 3), (7,)):
        seen, weights = _stacked(kernels, 1)
        _, many = _stacked(kernels, 64)
        name = " then ".join(f"{kernel} × {kernel}" for kernel in kernels)
        rows.append(f"| {name} | {seen:g} × {seen:g} px | {weights} | {many:,} |")
    st.markdown(
        "| convolutions | receptive field | weights, 1 channel | weights, 64 channels |\n|:--|--:|--:|--:|\n"
        + "\n".join(rows)
    )
    st.caption("The stack sees as far with fewer weights, and has room for an activation between its layers.")
