"""What can be set on the page, and the controls that set it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from cnnlab.errors import InputRejected
from cnnlab.explain import METHODS, Contrast, Target
from cnnlab.figures.heat import COLOURS, Look
from cnnlab.figures.prediction import percent
from cnnlab.ui import state
from cnnlab.ui.explaining import subject as subjects
from cnnlab.ui.explaining.subject import Seen, Subject
from cnnlab.ui.text import plain

_NAME = re.compile(r"[A-Za-z0-9_.#]{1,120}")
_MOST_LAYERS = 12
_MOST_CLASSES = 8
_MOST_MAPS = 24
_TOP = 3
_PICKS = {"methods": "explain.methods-pick", "layers": "explain.layers-pick", "classes": "explain.classes-pick"}
_AGAINST_PICK = "explain.against-pick"
_INSTEAD = "saliency"  # where no layer makes maps


def _list_of(param: str, parse: Callable[[str], Any], most: int) -> Callable[[str], tuple[Any, ...]]:
    def parse_all(text: str) -> tuple[Any, ...]:
        parts = [part for part in text.split(",") if part]
        if not 1 <= len(parts) <= most:
            raise InputRejected(f"{param} is '{text[:40]}'; it is 1 to {most} of them, with commas between")
        return tuple(dict.fromkeys(map(parse, parts)))

    return parse_all


def _layer_of_link(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise InputRejected(f"layers holds '{text[:40]}', which is no name of a layer")
    return text


METHOD = state.Setting(
    key="explain.methods",
    param="method",
    default=("gradcam",),
    parse=_list_of("method", state.choice("", "method", METHODS, "").parse, len(METHODS)),
    format=",".join,
)
LAYERS = state.Setting(
    key="explain.layers",
    param="layers",
    default=(),
    parse=_list_of("layers", _layer_of_link, _MOST_LAYERS),
    format=",".join,
)
CLASSES = state.Setting(
    key="explain.classes",
    param="class",
    default=(),
    parse=_list_of("class", state.integer("", "class", 0, 9999, 0).parse, _MOST_CLASSES),
    format=lambda classes: ",".join(map(str, classes)),
)
AGAINST = state.Setting(
    key="explain.against", param="against", default=None, parse=state.integer("", "against", 0, 9999, 0).parse
)
OPACITY = state.integer("explain.opacity", "opacity", 0, 100, 80)
COLOUR = state.choice("explain.colours", "colours", COLOURS, "viridis")
SHARED = state.flag("explain.shared", "shared")
CELLS = state.flag("explain.cells", "cells")
OVER = state.choice("explain.over", "over", ("input", "original"), "input")
CHOSEN = state.Setting(key="explain.chosen", param="map", default="", parse=lambda text: text[:200])
SETTINGS = (METHOD, LAYERS, CLASSES, AGAINST, OPACITY, COLOUR, SHARED, CELLS, OVER, CHOSEN)

_OVERS = {"input": "What the net gets", "original": "The original"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One map that is asked for.

    Attributes:
        method: Key of `METHODS`.
        layer: Name; "" for methods in the picture's grid.
        target: What is asked; None for methods that are blind to the class.
    """

    method: str
    layer: str
    target: Target | None

    @property
    def id(self) -> str:
        """What tells it from the others; also in links."""
        if isinstance(self.target, Contrast):
            asked = f"{self.target.of}-{self.target.against}"
        else:
            asked = "" if self.target is None else str(self.target)
        return f"{self.method}|{self.layer}|{asked}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setup:
    """What the page is set to.

    Attributes:
        subject: Picture and net.
        seen: The pass that all maps share.
        methods: Keys of `METHODS`.
        layers: Names; those that the net has, else the automatic one.
        classes: Indexes; those that the net has, else the predicted one.
        against: Index of the class that the others are held against.
        askings: The maps, by method, then layer, then class.
        chosen: The one that is looked at closely.
        look: How maps are laid over the picture.
        missing: What the link or the last net asked for and this net has not, in words.
    """

    subject: Subject
    seen: Seen
    methods: tuple[str, ...]
    layers: tuple[str, ...]
    classes: tuple[int, ...]
    against: int | None
    askings: tuple[Asking, ...]
    chosen: Asking
    look: Look
    missing: tuple[str, ...]

    def label(self, index: int) -> str:
        """Name of a class."""
        return self.subject.classes[index]

    def asked(self, target: Target | None) -> str:
        """What a map is asked for, in words."""
        if target is None:
            return "any class"
        if isinstance(target, Contrast):
            return f"{self.label(target.of)}, not {self.label(target.against)}"
        assert isinstance(target, int)
        return self.label(target)

    def name(self, asking: Asking) -> str:
        """What tells a map from the others that are shown; of a single one, all."""
        parts = []
        if len(self.methods) > 1:
            parts.append(METHODS[asking.method].label)
        if len(self.layers) > 1 and asking.layer:
            parts.append(asking.layer)
        if len(self.classes) > 1:
            parts.append(self.asked(asking.target))
        return " · ".join(parts or [METHODS[asking.method].label, self.asked(asking.target)])

    @property
    def target(self) -> Target:
        """The question of the chosen map; of one that knows no classes, the first that is asked for."""
        return _target(self.classes[0], self.against) if self.chosen.target is None else self.chosen.target

    @property
    def class_index(self) -> int:
        """The class of that question."""
        return self.target.of if isinstance(self.target, Contrast) else int(self.target)  # pyright: ignore

    @property
    def layer(self) -> str:
        """The layer of the chosen map, or the automatic one; "" where no layer makes maps."""
        return self.chosen.layer or (self.layers[0] if self.layers else "")


def read() -> Setup:
    """What is set.

    Raises:
        InputRejected: The net cannot be asked.
    """
    subject = subjects.current()
    missing = []
    wanted = st.session_state[LAYERS.key]
    layers = tuple(name for name in wanted if name in subject.layers)
    missing += [f"layer {name}" for name in wanted if name not in subject.layers]
    if not layers and subject.choice:
        layers = (subject.choice.layer,)
    seen = subjects.see(subject, layers)
    num_classes = len(subject.classes)
    wanted = st.session_state[CLASSES.key]
    classes = tuple(index for index in wanted if index < num_classes) or (seen.predicted,)
    missing += [f"class {index}" for index in wanted if index >= num_classes]
    against = st.session_state[AGAINST.key]
    against = against if against is not None and against < num_classes and (against,) != classes else None
    classes = tuple(index for index in classes if index != against)
    methods = _methods(layers)
    askings = _askings(methods, layers, classes, against)
    chosen = next((asking for asking in askings if asking.id == st.session_state[CHOSEN.key]), askings[0])
    return Setup(
        subject=subject,
        seen=seen,
        methods=methods,
        layers=layers,
        classes=classes,
        against=against,
        askings=askings[:_MOST_MAPS],
        chosen=chosen,
        look=Look(
            opacity=st.session_state[OPACITY.key] / 100,
            colours=st.session_state[COLOUR.key],
            shared=st.session_state[SHARED.key],
            smooth=not st.session_state[CELLS.key],
        ),
        missing=tuple(missing),
    )


def _methods(layers: tuple[str, ...]) -> tuple[str, ...]:
    chosen = st.session_state[METHOD.key]
    return tuple(key for key in chosen if layers or METHODS[key].grid == "picture") or (_INSTEAD,)


def _target(index: int, against: int | None) -> Target:
    return index if against is None or against == index else Contrast(of=index, against=against)


def _askings(
    methods: tuple[str, ...], layers: tuple[str, ...], classes: tuple[int, ...], against: int | None
) -> tuple[Asking, ...]:
    return tuple(
        Asking(method=key, layer=layer, target=target)
        for key in methods
        for layer in (layers if METHODS[key].grid == "layer" else ("",))
        for target in ([_target(index, against) for index in classes] if METHODS[key].is_class_specific else [None])
    )


def show(setup: Setup) -> None:
    """Draw the controls."""
    _show_methods(setup)
    _show_classes(setup)
    _show_layers(setup)
    st.segmented_control(
        "Over",
        list(_OVERS),
        format_func=_OVERS.__getitem__,
        key=OVER.key,
        required=True,
        help="What the maps are laid over: the very pixels that the net gets, or the same part of the original, "
        "sharper than anything the net could see.",
    )
    if setup.missing:
        st.caption(f"This net has no {plain(', no '.join(setup.missing))}; what it has is shown.")


def _show_methods(setup: Setup) -> None:
    st.session_state[_PICKS["methods"]] = list(setup.methods)
    st.multiselect(
        "Methods",
        list(METHODS),
        format_func=lambda key: METHODS[key].label,
        key=_PICKS["methods"],
        on_change=_take,
        args=(METHOD, "methods"),
        wrap=True,
        help="Each has its own idea of what a place counts for. Choose several to see where they agree. Those that run "
        "the net many times show what they have as they go.",
    )
    if not setup.layers:
        st.caption("No layer of this net makes maps, so only methods that work on the pixels can tell where.")


def _show_classes(setup: Setup) -> None:
    order = np.argsort(-setup.seen.logits, kind="stable").tolist()
    probs = setup.seen.probs

    def named(index: int) -> str:
        return f"{setup.label(index)} · {percent(probs[index])}"

    st.session_state[_PICKS["classes"]] = list(st.session_state[CLASSES.key] and setup.classes)
    st.multiselect(
        "Classes",
        order,
        format_func=named,
        key=_PICKS["classes"],
        on_change=_take,
        args=(CLASSES, "classes"),
        max_selections=_MOST_CLASSES,
        wrap=True,
        placeholder=f"Predicted: {named(setup.seen.predicted)}",
        help="A map answers for one class: what speaks for it, whether or not the net would say so. Empty follows what "
        "the net predicts.",
    )
    with st.container(horizontal=True, gap="small"):
        top = tuple(order[:_TOP])
        st.button(
            f"Top {len(top)}",
            key="explain.top",
            on_click=_set,
            args=(CLASSES, top),
            disabled=st.session_state[CLASSES.key] == top,
            help="The classes that the net finds most likely, side by side.",
        )
        st.button(
            "Predicted",
            key="explain.predicted",
            on_click=_set,
            args=(CLASSES, ()),
            disabled=not st.session_state[CLASSES.key],
            help="Follow what the net predicts.",
        )
    others = [None, *(index for index in order if (index,) != setup.classes)]
    st.session_state[_AGAINST_PICK] = setup.against
    st.selectbox(
        "But not",
        others,
        format_func=lambda index: "Nothing: the class by itself" if index is None else named(index),
        placeholder="Nothing: the class by itself",
        key=_AGAINST_PICK,
        on_change=lambda: _set(AGAINST, st.session_state[_AGAINST_PICK]),
        help="Asks why the one class rather than this one: what is explained is the difference of their logits.",
    )


def _show_layers(setup: Setup) -> None:
    subject = setup.subject
    if subject.choice is None:
        return
    st.session_state[_PICKS["layers"]] = list(st.session_state[LAYERS.key] and setup.layers)
    st.multiselect(
        "Layers",
        list(reversed(subject.layers)),
        format_func=lambda name: told(subject, name),
        key=_PICKS["layers"],
        on_change=_take,
        args=(LAYERS, "layers"),
        max_selections=_MOST_LAYERS,
        wrap=True,
        placeholder=f"Automatic: {subject.choice.layer}",
        help="Deep layers know what, early ones where. Take several to see how the map comes about. Or click a layer "
        "in the drawing below.",
    )
    if not st.session_state[LAYERS.key]:
        st.caption(plain(subject.choice.reason))


def told(subject: Subject, name: str) -> str:
    """A layer with what it makes, for lists."""
    maps = subject.layers[name]
    return f"{name} · {maps.kind} · {maps.height} × {maps.width}"


def _take(setting: state.Setting, pick: str) -> None:
    chosen = tuple(st.session_state[_PICKS[pick]])
    st.session_state[setting.key] = chosen or setting.default


def _set(setting: state.Setting, value: object) -> None:
    st.session_state[setting.key] = value
