"""Three decades of architectures: what each cost and what it reached."""

import streamlit as st

from cnnlab.figures import charts
from cnnlab.nets.history import LENET_MNIST_ERROR, MILESTONES, scores
from cnnlab.ui import state
from cnnlab.ui.explorer.diagram import compact

_AXES = {
    "params": ("Parameters", "parameters, millions", True),
    "macs": ("MACs", "MACs for one picture, millions", True),
    "year": ("Year", "year of publication", False),
    "depth": ("Depth", "depth, layers with weights on the longest path", True),
}
AXIS = state.choice("architecture.axis", "axis", _AXES, "params")
SETTINGS = (AXIS,)


def show() -> None:
    """Draw accuracy against size, cost, year or depth, and the table behind it."""
    st.segmented_control(
        "Accuracy against",
        list(_AXES),
        format_func=lambda key: _AXES[key][0],
        key=AXIS.key,
        required=True,
        help="What buys accuracy, and what does not.",
    )
    points, rows = [], []
    for score in scores():
        entry = MILESTONES[score.builder]
        recipe = 2 if score.weights.endswith("V2") else 1
        points.append(
            {
                "label": entry.label,
                "recipe": recipe,
                "accuracy": score.top1,
                "params": score.num_params / 1e6,
                "macs": score.macs / 1e6,
                "year": entry.year,
                "depth": entry.depth,
                "text": f"{entry.label}, {entry.year}<br>{score.top1:.2f} % · {compact(score.num_params)} parameters · "
                f"{compact(score.macs)}MACs at {score.side} px<br>{entry.idea}<br>{entry.paper}",
            }
        )
        rows.append(
            {
                "year": entry.year,
                "net": entry.label,
                "idea": entry.idea,
                "top-1, %": score.top1,
                "parameters": score.num_params,
                "MACs, millions": score.macs / 1e6,
                "input, px": score.side,
                "depth": entry.depth,
                "weights": score.weights,
                "paper": entry.paper,
                "training": score.source,
            }
        )
    _, title, logarithmic = _AXES[st.session_state[AXIS.key]]
    figure = charts.size_against_accuracy(
        points, across=st.session_state[AXIS.key], title=title, logarithmic=logarithmic
    )
    st.plotly_chart(figure, key="architecture.timeline", config={"displaylogo": False})
    st.caption(
        "Blue: trained as at the time of the paper; orange, joined by a dotted line: the same net trained again with a "
        "newer recipe. Top-1 on the 50,000 validation images of ImageNet-1k, one centre crop; parameters, MACs and "
        "accuracy from the metadata of torchvision's weights, depth counted by this lab. LeNet-5 (1998, 7 layers) "
        f"never met ImageNet: it got {LENET_MNIST_ERROR} % of MNIST's test digits wrong (LeCun et al.)."
    )
    st.dataframe(
        rows,
        hide_index=True,
        height=300,
        column_config={
            "year": st.column_config.NumberColumn(format="%d"),
            "top-1, %": st.column_config.NumberColumn(format="%.2f"),
            "parameters": st.column_config.NumberColumn(format="localized"),
            "MACs, millions": st.column_config.NumberColumn(format="localized"),
            "training": st.column_config.LinkColumn(display_text="recipe"),
        },
    )
