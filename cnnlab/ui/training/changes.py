"""What a visitor changes in a recipe: a setting for each field of `TrainConfig`, None as long as the recipe's holds."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import streamlit as st

from cnnlab.data import AUGMENTATIONS, DATASETS, Augment, Step
from cnnlab.errors import InputRejected
from cnnlab.train import config as training
from cnnlab.train.config import TrainConfig
from cnnlab.ui import state

NOTHING = "none"
"""What a field that may be empty is changed to: no dropout of one's own, no limit, no change of size."""

OPTIONAL = {"dropout": float, "clip_norm": float, "side": int}
CHOICES: dict[str, Mapping[str, str]] = {
    "optimizer": training.OPTIMIZERS,
    "schedule": training.SCHEDULES,
    "loss": training.LOSSES,
    "sampling": training.SAMPLINGS,
    "precision": training.PRECISIONS,
    "initialisation": training.INITIALISATIONS,
    "device": training.DEVICES,
}
_PARAMS = {"seed": "run_seed"}  # "seed" in a link is that of the workbench
_USUAL = TrainConfig()
_MAX_TEXT = 100
_MAX_STEPS = 20


def kind_of(name: str) -> type:
    """What kind of value a field takes, if it takes one."""
    return OPTIONAL.get(name) or type(getattr(_USUAL, name))


def key_of(name: str) -> str:
    """Session key under which the change of a field is kept."""
    return f"training.{name}"


def value_of(name: str) -> Any:
    """What a field is changed to, or None where the recipe's value holds."""
    return st.session_state[key_of(name)]


def change(name: str, value: Any, recipe: TrainConfig) -> None:
    """Change a field, or take the change back where it says what the recipe says."""
    meant = None if value == NOTHING and name in OPTIONAL else value
    st.session_state[key_of(name)] = None if meant == getattr(recipe, name) else value


def forget() -> None:
    """Take all changes back."""
    for setting in SETTINGS:
        st.session_state[setting.key] = None


def made() -> dict[str, Any]:
    """The fields that are changed, with their values."""
    found = {}
    for name in NAMES:
        value = value_of(name)
        if value is not None:
            found[name] = None if value == NOTHING and name in OPTIONAL else value
    return found


def take(config: TrainConfig, recipe: TrainConfig) -> None:
    """Change what it takes to get from a recipe to a configuration; the net is left alone."""
    for name in NAMES:
        value = getattr(config, name)
        change(name, NOTHING if value is None else value, recipe)


def applied(recipe: TrainConfig, changes: Mapping[str, Any]) -> tuple[TrainConfig, dict[str, str]]:
    """A recipe with changes.

    Returns:
        The recipe with all changes that can be made, and for each of the others what is wrong with it.
    """
    config, waiting, faults = recipe, dict(changes), {}
    try:
        return dataclasses.replace(recipe, **waiting), {}
    except InputRejected:
        pass
    # One after the other, to tell which are at fault; again where one made room for another.
    while waiting:
        faults = {}
        for name, value in waiting.items():
            try:
                config = dataclasses.replace(config, **{name: value})
            except InputRejected as error:
                faults[name] = str(error)
        if len(faults) == len(waiting):
            break
        waiting = {name: waiting[name] for name in faults}
    return config, faults


def _parse(name: str, text: str) -> Any:
    """The value that a link names, checked as `TrainConfig` checks it."""
    if name in OPTIONAL and text == NOTHING:
        return NOTHING
    if name == "augment":
        return _parse_augment(text)
    if name == "data_choices":
        return _parse_choices(text)
    if name == "data":
        return state.choice("", name, (*training.DATASETS, training.OWN_PICTURES), "").parse(text)
    kind = kind_of(name)
    if name in CHOICES:
        return state.choice("", name, CHOICES[name], "").parse(text)
    if kind is bool:
        return state.flag("", name).parse(text)
    if kind is int:
        value = state.integer("", name, 0, 999_999_999, 0).parse(text)
    elif kind is float:
        value = state.number("", name, 0, 1e6, 0).parse(text)
    else:
        value = text[:_MAX_TEXT]
    dataclasses.replace(_USUAL, **{name: value})
    return value


def _format(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Augment):
        steps = (":".join([step.key, *(f"{number:.6g}" for number in step.params.values())]) for step in value.steps)
        return ",".join(steps) or NOTHING
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{number}" for name, number in value.items()) or NOTHING
    return str(value)


def _parse_augment(text: str) -> Augment:
    """`flip:0.5,padded_crop:4`: the steps with their strengths in the order of the table."""
    if text == NOTHING:
        return Augment()
    steps = []
    for part in text.split(",")[:_MAX_STEPS]:
        key, *numbers = part.split(":")
        names = AUGMENTATIONS[key].parameters if key in AUGMENTATIONS else {}
        values = [state.number("", "augment", 0, 1e6, 0).parse(number) for number in numbers]
        steps.append(Step(key[:40], dict(zip(names, values, strict=False))))
    return Augment(tuple(steps))


def _parse_choices(text: str) -> dict[str, int]:
    """`side:64,count:1000`."""
    choices = {}
    for part in text.split(",")[:_MAX_STEPS] if text != NOTHING else ():
        name, _, number = part.partition(":")
        choices[name[:40]] = state.integer("", "data_choices", 0, 999_999_999, 0).parse(number)
    # Which set it will be is not known here: what one takes may pass, and what another does not is told by its control.
    refused = None
    for data, entry in DATASETS.items():
        try:
            dataclasses.replace(_USUAL, data=data, data_choices=choices)
        except InputRejected as error:
            if refused is None or set(choices) <= set(entry.choices):
                refused = error
        else:
            return choices
    assert refused is not None
    raise refused


NAMES = tuple(one.name for one in dataclasses.fields(TrainConfig) if one.name != "net")


def _setting(name: str) -> state.Setting:
    return state.Setting(
        key=key_of(name),
        param=_PARAMS.get(name, name),
        default=None,
        parse=lambda text: _parse(name, text),
        format=_format,
    )


SETTINGS = tuple(_setting(name) for name in NAMES)
