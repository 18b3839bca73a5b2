"""The weights of a convolution as pictures."""

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from cnnlab.figures.pictures import tiled, to_picture
from cnnlab.nets.summary import LayerFacts, totals
from cnnlab.ui.components.map_wall import MapRow, map_wall
from cnnlab.ui.components.picture import legend_of, picture
from cnnlab.ui.explorer.controls import Setup
from cnnlab.ui.nets import Loaded
from cnnlab.ui.text import plain

_MOST_KERNELS, _MOST_SLICES = 64, 8
_LIGHT = 30_000_000  # parameters; a larger net is filled with weights only where somebody asks for its maps


def belong_to_the_drawing(setup: Setup) -> bool:
    """Whether the kernels of the layer one points to are shown right under the net: those that meet the picture."""
    if setup.layer is None or setup.described.failure is not None:
        return False
    layer = setup.described.facts[setup.layer]
    return layer.inputs == (-1,) and totals(setup.described.facts).num_params <= _LIGHT


def show(layer: LayerFacts, known: Loaded) -> None:
    """The weights of a convolution as pictures: in colour where its input has three channels, else slice by slice."""
    if layer.operation != "conv2d" or not layer.is_module:
        return
    weight = known.model.get_submodule(layer.path).weight
    assert isinstance(weight, torch.Tensor)
    weights_oihw = weight.detach().cpu().numpy()
    count, slices, height, width = weights_oihw.shape
    st.markdown(f"**Kernels of {plain(layer.name)}**, {count:,} of {slices:,} × {height} × {width}")
    if slices == 3:
        shown = to_picture(tiled(weights_oihw[:_MOST_KERNELS].transpose(0, 2, 3, 1)), "signed")
        picture(
            shown.pixels,
            key="architecture.kernels",
            alt=f"The kernels of {layer.name} in colour",
            legend=legend_of(shown, "the same for red, green, blue; grey is zero"),
            max_height=300,
        )
    else:
        map_wall(
            [_slice_row(number, weights_oihw[:_MOST_KERNELS, number]) for number in range(min(slices, _MOST_SLICES))],
            key="architecture.slices",
            alt=f"The kernels of {layer.name}, a row for each input channel",
            max_height=300,
        )
        if slices > _MOST_SLICES:
            st.caption(f"Each kernel has {slices:,} slices; the first {_MOST_SLICES} are shown, a row each.")
    if count > _MOST_KERNELS:
        st.caption(f"The first {_MOST_KERNELS} of {count:,} kernels.")


def _slice_row(number: int, maps_khw: NDArray[np.float32]) -> tuple[MapRow, NDArray[np.float32]]:
    flat = maps_khw.reshape(len(maps_khw), -1)
    row: MapRow = {
        "index": number,
        "name": f"for channel {number}",
        "kind": "Kernels",
        "shape": maps_khw.shape,
        "channels": range(len(maps_khw)),
        "num_channels": len(maps_khw),
        "num_dead": 0,
        "stats": np.column_stack([flat.min(1), flat.max(1), flat.mean(1), (flat == 0).mean(1)]),
    }
    return row, maps_khw
