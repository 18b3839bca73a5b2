"""What is to be trained: a recipe, and what the visitor makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st
import torch

from cnnlab.data import DATASETS, Augment, Dataset
from cnnlab.errors import InputRejected, LabError, Unsupported
from cnnlab.runs import store
from cnnlab.train.building import build_net, device_of, freeze, pretrained, take_over, teacher
from cnnlab.train.checkpoints import NetFacts
from cnnlab.train.config import TrainConfig
from cnnlab.train.recipes import DEFAULT_RECIPE, RECIPES, Recipe
from cnnlab.ui import net_choice, nets, state, visitors, workbench
from cnnlab.ui.text import plain
from cnnlab.ui.training import changes, data_sets, knobs

RECIPE = state.choice("training.recipe", "recipe", RECIPES, DEFAULT_RECIPE)
NETS: tuple[str, ...] = ("recipe", "current")
NET = state.Setting(
    key="training.net", param="trains", default=None, parse=state.choice("", "trains", NETS, "recipe").parse
)
SETTINGS = (RECIPE, NET, *changes.SETTINGS)
NO_AUGMENTATION = Augment()
_PICK = "training.set.recipe"
_DATA_PICK = "training.set.data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the page is set to.

    Attributes:
        recipe: That was chosen.
        base: Its configuration with the net that is to be trained.
        config: With the visitor's changes, as far as they can be made.
        faults: By the name of a field, what is wrong with it.
        dataset: The pictures; None where they have to be got first.
    """

    recipe: Recipe
    base: TrainConfig
    config: TrainConfig
    faults: Mapping[str, str]
    dataset: Dataset | None

    @property
    def can_start(self) -> bool:
        """Whether nothing is missing."""
        return not self.faults and self.dataset is not None

    @property
    def is_changed(self) -> bool:
        """Whether it is no longer the recipe as it stands in the table."""
        return bool(changes.made()) or self.base.net != self.recipe.config.net


def follow() -> None:
    """Let the sidebar follow where a control of the page has changed the workbench."""
    net_choice.follow()


def read() -> Setup:
    """What is set, checked, with its pictures if they are at hand."""
    recipe = RECIPES[st.session_state[RECIPE.key]]
    base, faults = recipe.config, {}
    if _which_net() == "current":
        net = nets.current()
        if net.problems:
            faults["net"] = f"The draft has a fault: {net.problems[0].message}"
        else:
            base = replace(base, net=net.spec or net.architecture)
    config, wrong = changes.applied(base, changes.made())
    faults |= wrong | _device_faults(config)
    dataset = data_sets.of(config)
    if fault := data_sets.fault(config):
        faults["data"] = fault
    foreign = _source_faults(config)
    faults |= foreign
    # What fits is remembered for all visitors, so nothing is asked of a run that this one may not see.
    if dataset is not None and "net" not in faults and not foreign:
        telling = replace(
            TrainConfig(),
            net=config.net,
            start_from=config.start_from,
            freeze_to=config.freeze_to,
            teacher=config.teacher,
        )
        _, side, _, channels = dataset.pictures.shape
        faults |= _net_faults(telling.to_yaml(), len(dataset.classes), channels, side)
    return Setup(recipe=recipe, base=base, config=config, faults=faults, dataset=dataset)


def _which_net() -> str:
    chosen = st.session_state[NET.key]
    # Who comes with a net of their own choice wants to train that; who looks at one that has been trained does not.
    net = st.session_state[workbench.NET.key]
    return chosen or ("recipe" if net == workbench.NET.default or net.startswith(nets.RUN) else "current")


def check_sources(config: TrainConfig) -> None:
    """Make sure that a run takes weights only from runs that this visitor may see.

    Raises:
        InputRejected: It starts from, or learns from, a run that does not exist or is not published by its owner.
    """
    for fault in _source_faults(config).values():
        raise InputRejected(fault)


def _source_faults(config: TrainConfig) -> dict[str, str]:
    faults = {}
    for name in ("start_from", "teacher"):
        kind, _, run_and_epoch = getattr(config, name).partition(":")
        if kind == "run" and not _may_take(run_and_epoch.partition("@")[0]):
            faults[name] = "There is no such run, or it is not yours to see. Choose another."
    return faults


def _may_take(run_id: str) -> bool:
    try:
        return store.may_see(store.get(run_id), visitors.owner())
    except LabError:
        return False


def _device_faults(config: TrainConfig) -> dict[str, str]:
    faults = {}
    asked = TrainConfig()
    for name in ("device", "compile", "precision"):
        try:
            device_of(wanted := replace(asked, **{name: getattr(config, name)}))
            asked = wanted
        except Unsupported as error:
            faults[name] = str(error)
    return faults


@st.cache_data(show_spinner=False, max_entries=256)
def _net_faults(config_yaml: str, num_classes: int, in_channels: int, side: int) -> dict[str, str]:
    """Whether the net fits the pictures, and the weights it starts from fit the net."""
    config = TrainConfig.from_yaml(config_yaml)
    needs_numbers = bool(config.start_from)
    shape = {"num_classes": num_classes, "in_channels": in_channels, "side": side}
    doing = "net"
    try:
        with torch.device("cpu" if needs_numbers else "meta"):
            model = build_net(config, **shape)
        if needs_numbers:
            doing = "start_from"
            take_over(model, pretrained(config.start_from))
        if config.freeze_to:
            doing = "freeze_to"
            freeze(model, config.freeze_to)
        if config.teacher:
            doing = "teacher"
            # Whether it fits is a matter of shapes alone.
            about = NetFacts(
                classes=("",) * num_classes,
                in_channels=in_channels,
                side=side,
                mean=(0.0,) * in_channels,
                std=(1.0,) * in_channels,
            )
            teacher(config.teacher, about)
    except LabError as error:
        return {doing: str(error)}
    return {}


def show(setup: Setup) -> None:
    """Draw recipe, data, net and the settings that matter most."""
    _recipe(setup)
    _data(setup)
    _net(setup)
    for names in (("epochs", "batch_size"), ("lr", "optimizer")):
        for place, name in zip(st.columns(2, gap="small"), names, strict=True):
            with place:
                knobs.show(name, knobs.SIMPLE[name], setup.config, setup.base, {})
    for name in knobs.SIMPLE:
        if name in setup.faults:
            st.error(plain(setup.faults[name]), icon=":material/error:")


def say_recipe(setup: Setup) -> None:
    """Tell what the recipe is for, and whether it is still that recipe."""
    source = "" if setup.recipe.is_ours else f" {setup.recipe.source}."
    st.markdown(f"**{plain(setup.recipe.label)}.** {plain(setup.recipe.about + source)}")
    told = [setup.recipe.expects] if setup.recipe.expects else []
    if setup.recipe.published:
        told.append(setup.recipe.published.note)
    if told:
        st.caption(plain(" ".join(told)))


def _recipe(setup: Setup) -> None:
    _show_value(_PICK, st.session_state[RECIPE.key])
    # The browser knows an option by its label, so labels stay as they are: "changed" stands below.
    st.selectbox(
        "Recipe",
        list(RECIPES),
        list(RECIPES).index(st.session_state[RECIPE.key]),
        format_func=lambda key: RECIPES[key].label,
        key=_PICK,
        on_change=_recipe_chosen,
        help="A whole run, ready to start. Change what you like afterwards.",
    )
    if setup.is_changed:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge("changed", color="orange")
            st.button(
                "Back to the recipe", key="training.reset", type="tertiary", icon=":material/undo:", on_click=_reset
            )


def _show_value(key: str, value: object) -> None:
    """Let a control show what is set, whoever set it."""
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def _recipe_chosen() -> None:
    st.session_state[RECIPE.key] = st.session_state[_PICK]
    _reset()


def _reset() -> None:
    changes.forget()
    take_recipes_net()


def take_recipes_net() -> None:
    """Train the recipe's net, whatever the workbench holds."""
    st.session_state[NET.key] = None
    if _which_net() != "recipe":
        st.session_state[NET.key] = "recipe"


def _data(setup: Setup) -> None:
    _show_value(_DATA_PICK, setup.config.data)
    st.selectbox(
        "Data",
        list(data_sets.LABELS),
        list(data_sets.LABELS).index(setup.config.data),
        format_func=data_sets.LABELS.__getitem__,
        key=_DATA_PICK,
        on_change=_data_chosen,
        args=(setup.base,),
        help="Each set is parted into training, validation and test pictures. The net is steered by validation and "
        "judged by the test pictures, once.",
    )
    if "data" in setup.faults and setup.dataset is not None:
        st.error(plain(setup.faults["data"]), icon=":material/error:")


def _data_chosen(base: TrainConfig) -> None:
    data = st.session_state[_DATA_PICK]
    changes.change("data", data, base)
    # What one set lets one choose, another does not know.
    changes.change("data_choices", dict(base.data_choices) if data == base.data else {}, base)


def show_pictures(setup: Setup) -> None:
    """Draw what the data set lets one choose, and the side that pictures are resized to."""
    entry = DATASETS.get(setup.config.data)
    for name, choice in entry.choices.items() if entry else ():
        key = f"training.set.choice.{setup.config.data}.{name}"
        value = setup.config.data_choices.get(name, choice.default)
        _show_value(key, value)
        said: dict[str, Any] = {
            "key": key,
            "on_change": _choice_made,
            "args": (name, key, setup.config, setup.base),
        }
        if isinstance(choice.values, range):
            low, high = choice.values[0], choice.values[-1]
            st.number_input(choice.label, low, high, value, step=choice.values.step, **said)
        else:
            st.selectbox(choice.label, choice.values, choice.values.index(value), **said)
    if "data_choices" in setup.faults:
        st.error(plain(setup.faults["data_choices"]), icon=":material/error:")
    knobs.show("side", knobs.SIDE, setup.config, setup.base, setup.faults)


def _choice_made(name: str, key: str, config: TrainConfig, base: TrainConfig) -> None:
    chosen = dict(config.data_choices) | {name: st.session_state[key]}
    defaults = {one: choice.default for one, choice in DATASETS[config.data].choices.items()}
    recipes = base.data_choices if base.data == config.data else {}
    kept = {one: value for one, value in chosen.items() if one in recipes or value != defaults[one]}
    changes.change("data_choices", kept, base)


def _net(setup: Setup) -> None:
    key = f"training.set.net.{st.session_state[RECIPE.key]}.{nets.current().label}"  # a new list for new labels
    _show_value(key, _which_net())
    labels = {
        "recipe": setup.recipe.config.net_name,
        "current": f"Workbench: {nets.current().label}",
    }
    st.selectbox(
        "Net",
        list(NETS),
        list(NETS).index(_which_net()),
        format_func=labels.__getitem__,
        key=key,
        on_change=lambda: st.session_state.update({NET.key: st.session_state[key]}),
        help="The recipe's net or that of the workbench, which you change in the sidebar, or build in the architecture "
        "explorer.",
    )
    if "net" in setup.faults:
        st.error(plain(setup.faults["net"]), icon=":material/error:")


def layer_names(setup: Setup) -> tuple[str, ...]:
    """Names of the net's layers, in order; none where the net does not fit the pictures."""
    if setup.dataset is None or "net" in setup.faults:
        return ()
    _, side, _, channels = setup.dataset.pictures.shape
    telling = replace(TrainConfig(), net=setup.config.net)
    return _layer_names(telling.to_yaml(), len(setup.dataset.classes), channels, side)


@st.cache_data(show_spinner=False, max_entries=64)
def _layer_names(config_yaml: str, num_classes: int, in_channels: int, side: int) -> tuple[str, ...]:
    with torch.device("meta"):
        model = build_net(
            TrainConfig.from_yaml(config_yaml), num_classes=num_classes, in_channels=in_channels, side=side
        )
    return tuple(name for name, module in model.named_modules() if name and not [*module.children()])


def label_of(config: TrainConfig, name: str = "") -> str:
    """A run in a line: its net and data, where its name does not say them, and how it is trained."""
    words = [word for word in (config.net_name, data_sets.LABELS[config.data]) if word not in name]
    optimizer, schedule = (changes.CHOICES[one][getattr(config, one)] for one in ("optimizer", "schedule"))
    words += [
        f"{config.epochs} epoch{'' if config.epochs == 1 else 's'}",
        f"batch {config.batch_size}",
        f"{optimizer}, learning rate {config.lr:g}, {schedule.lower()}",
    ]
    return " · ".join(words)
