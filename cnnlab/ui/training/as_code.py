"""The run in other words: a script for PyTorch alone, and the settings as a file."""

import streamlit as st

from cnnlab.errors import InputRejected, LabError
from cnnlab.runs.store import Run
from cnnlab.train.config import OWN_PICTURES, TrainConfig
from cnnlab.train.recipes import RECIPES
from cnnlab.train.script import to_pytorch_script
from cnnlab.ui import errors, nets
from cnnlab.ui.running import runner
from cnnlab.ui.text import plain
from cnnlab.ui.training import changes, opened
from cnnlab.ui.training.own_pictures import DEFAULT_SIDE
from cnnlab.ui.training.setup import NET, RECIPE, Setup, take_recipes_net

_FILE = "training.yaml"
_REFUSED = "training.yaml-refused"
_HEIGHT = 460


def show(setup: Setup, run: Run | None) -> None:
    """Draw the script and the settings of the open run, else of what is set."""
    config = run.config if run else setup.config
    left, right = st.columns([2, 1], gap="large")
    with left, errors.shown():
        script = to_pytorch_script(config, classes=_own_classes(setup, run), side=config.side or DEFAULT_SIDE)
        st.markdown("**The same training in PyTorch, without this lab**")
        st.code(script, language="python", height=_HEIGHT)
        st.download_button(
            "Download train.py", script, "train.py", "text/x-python", icon=":material/download:", on_click="ignore"
        )
    with right:
        st.markdown("**The settings**")
        written = config.to_yaml()
        st.code(written, language="yaml", height=_HEIGHT - 130)
        st.caption("Run it in a terminal: `python -m cnnlab train training.yaml`.")
        with st.container(horizontal=True, gap="small"):
            st.download_button(
                "Download YAML", written, "training.yaml", "text/yaml", icon=":material/download:", on_click="ignore"
            )
            if run is not None:
                st.button(
                    "Set the page to these",
                    key="training.take-config",
                    on_click=_take,
                    args=(run.config,),
                    help="All controls take the values of this run, for another one like it.",
                )
        st.file_uploader("Settings from a file", ["yaml", "yml"], key=_FILE, max_upload_size=1, on_change=_given)
        if refused := st.session_state.get(_REFUSED):
            st.error(plain(refused), icon=":material/error:")


def _own_classes(setup: Setup, run: Run | None) -> tuple[str, ...]:
    """Names of the classes of one's own pictures, which the settings do not say."""
    if run is not None:
        started = runner().history(run.id).started if run.config.data == OWN_PICTURES else None
        return started.classes if started else ()
    return setup.dataset.classes if setup.dataset and setup.config.data == OWN_PICTURES else ()


def _given() -> None:
    st.session_state.pop(_REFUSED, None)
    given = st.session_state[_FILE]
    if given is None:
        return
    try:
        take(TrainConfig.from_yaml(given.getvalue().decode("utf-8", "replace")))
    except LabError as error:
        st.session_state[_REFUSED] = str(error)


def _take(config: TrainConfig) -> None:
    st.session_state.pop(_REFUSED, None)
    try:
        take(config)
    except LabError as error:
        st.session_state[_REFUSED] = str(error)


def take(config: TrainConfig) -> None:
    """Set the page to a configuration: the nearest recipe, and what differs from it.

    Raises:
        InputRejected: Its net would take the place of a draft.
    """
    same_net = [key for key, recipe in RECIPES.items() if recipe.config.net == config.net]
    key = next((key for key in same_net if RECIPES[key].config.data == config.data), next(iter(same_net), None))
    if key is None:
        _take_net(config)
        key = st.session_state[RECIPE.key]
    else:
        take_recipes_net()
    st.session_state[RECIPE.key] = key
    changes.take(config, RECIPES[key].config)
    opened.show(None)


def _take_net(config: TrainConfig) -> None:
    """Make a net that no recipe has the workbench's."""
    if isinstance(config.net, str):
        nets.choose(config.net)
    else:
        spec = config.net
        if nets.has_draft():
            mine = nets.draft()
            if (mine.input_shape, mine.layers) != (spec.input_shape, spec.layers):
                raise InputRejected(
                    f"These settings bring a net of their own, which would take the place of your draft, {mine.name}. "
                    "Save the draft on the architecture page, then set these again."
                )
        name = spec.name or "Net of a file"
        nets.change_draft(nets.Draft(name=name, input_shape=spec.input_shape, layers=spec.layers))
        nets.choose(nets.DRAFT)
    st.session_state[NET.key] = "current"
