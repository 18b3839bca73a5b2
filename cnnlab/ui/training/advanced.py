"""All that a recipe decides beyond the first few settings, in groups that cost nothing until they are opened."""

import streamlit as st

from cnnlab.nets.weights import bundled_weights
from cnnlab.runs import store
from cnnlab.ui import visitors
from cnnlab.ui.text import plain
from cnnlab.ui.training import augmenting, changes, knobs
from cnnlab.ui.training.setup import Setup, layer_names, show_pictures

_NOTHING = {"start_from": "Random weights", "teacher": "No teacher", "freeze_to": "Nothing"}
_PICTURES = "Pictures"
_AUGMENTATION = "Augmentation"
_ORDER = (
    _PICTURES,
    _AUGMENTATION,
    "Optimisation",
    "Schedule",
    "Against overfitting",
    "Loss and sampling",
    "Start and teacher",
    "Precision and device",
)
_SPECIAL = {_PICTURES: ("data_choices", "side"), _AUGMENTATION: ("augment",)}


def show(setup: Setup) -> None:
    """Draw the groups; of one that is closed, what is wrong in it is told below."""
    st.caption("More")
    for title in _ORDER:
        names = _SPECIAL.get(title) or tuple(knobs.GROUPS[title])
        changed = sum(changes.value_of(name) is not None for name in names)
        slug = title.lower().replace(" ", "-")
        with st.expander(title, key=f"training-more-{slug}", on_change="rerun") as group:
            if group.open:
                if title == _AUGMENTATION:
                    augmenting.show(setup)
                elif title == _PICTURES:
                    show_pictures(setup)
                else:
                    _knobs(title, setup)
        if not group.open:
            for name in names:
                if name in setup.faults:
                    st.error(plain(setup.faults[name]), icon=":material/error:")
            if changed:
                st.caption(f"{title}: {changed} changed")


def _knobs(title: str, setup: Setup) -> None:
    for name, knob in knobs.GROUPS[title].items():
        options = None
        if name in ("start_from", "teacher"):
            options = {"": _NOTHING[name]} | _sources(getattr(setup.config, name))
        elif name == "freeze_to":
            options = {"": _NOTHING[name]} | {layer: layer for layer in layer_names(setup)}
            options |= {setup.config.freeze_to: setup.config.freeze_to or _NOTHING[name]}
        knobs.show(name, knob, setup.config, setup.base, setup.faults, options)


def _sources(chosen: str) -> dict[str, str]:
    """Trained weights that there are: those that come with the lab, and the best epoch of the visitor's own runs."""
    # With a piece of the id: the browser knows an option by its label, and runs may have the same name.
    found = {f"weights:{key}": f"{one.label}: {one.accuracy}" for key, one in bundled_weights().items()}
    for run in store.of_owner(visitors.owner()):
        if run.best_epoch:
            found[f"run:{run.id}@{run.best_epoch}"] = f"{run.name}, epoch {run.best_epoch} · {run.id[:4]}"
    return found | ({} if not chosen or chosen in found else {chosen: chosen})
