"""A control for each field of `TrainConfig`: its name, what happens if one raises it, and the widget."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from cnnlab.train.config import TrainConfig
from cnnlab.ui.text import plain
from cnnlab.ui.training import changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """How a field is set.

    Attributes:
        label: What people see, with the unit.
        help: What happens if one raises it, or chooses it.
        step: Of the buttons beside a number.
        begin: What an optional number begins with when it is turned on.
        applies: Whether the field does anything in a configuration; it is not shown where it does not.
    """

    label: str
    help: str
    step: float | None = None
    begin: float = 0
    applies: Callable[[TrainConfig], bool] = lambda _: True


SIMPLE = {
    "epochs": Knob(
        label="Epochs",
        help="How often each picture is seen. More: better for a while, then the net learns the training pictures by "
        "heart and validation stops rising.",
        step=1,
    ),
    "batch_size": Knob(
        label="Batch size",
        help="Pictures a step. Larger: smoother steps and fewer of them, mostly faster, and the learning rate may "
        "rise along. Smaller: noisier steps, which often find better weights.",
        step=8,
    ),
    "lr": Knob(
        label="Learning rate",
        help="How far each step goes; with a schedule, its highest value. Too high: the loss jumps or becomes "
        "infinite. Too low: it hardly falls.",
    ),
    "optimizer": Knob(
        label="Optimiser",
        help="SGD takes the gradient as it is, times the rate. Adam and AdamW scale each weight's step by how large "
        "its gradients have been, and want rates near 0.001. RMSprop does so without momentum of its own.",
    ),
}

SIDE = Knob(
    label="Resize to (px)",
    help="Pictures are made square and this large. Larger: finer things can be told apart, and everything takes "
    "longer, with the square of it.",
    step=8,
    begin=32,
)

GROUPS: dict[str, dict[str, Knob]] = {
    "Optimisation": {
        "momentum": Knob(
            label="Momentum",
            help="How much of the last steps goes into the next. Higher: faster along valleys, and further past their "
            "end.",
            step=0.05,
            applies=lambda config: config.optimizer in ("sgd", "rmsprop"),
        ),
        "nesterov": Knob(
            label="Nesterov",
            help="Looks ahead along the momentum before taking the gradient: a little steadier.",
            applies=lambda config: config.optimizer == "sgd",
        ),
        "clip_norm": Knob(
            label="Longest gradient",
            help="A longer gradient is shortened to this. Lower: no step can throw the net far off; too low slows all.",
            begin=1.0,
        ),
        "ema": Knob(
            label="Running average of the weights (EMA)",
            help="The average is what is validated and kept. Nearer to 1: over more steps, smoother, and slower to "
            "follow. 0: no average.",
            step=0.001,
        ),
        "seed": Knob(
            label="Seed",
            help="Decides the split, the weights, the order and the augmentation. Another number: another run of the "
            "same kind; how far the two differ is the noise of the recipe.",
            step=1,
        ),
    },
    "Schedule": {
        "schedule": Knob(
            label="Schedule",
            help="How the learning rate changes. Constant: not at all. Steps: drops every few epochs. Cosine: down in "
            "half a wave. On plateau: drops when validation stalls. One cycle: up and down once.",
        ),
        "warmup": Knob(
            label="Warm-up (epochs)",
            help="The rate rises from nothing over this time, for “One cycle” up to the top. Longer: gentler on random "
            "weights, and less time at full speed.",
            step=0.5,
        ),
        "step_every": Knob(
            label="Drop every (epochs)",
            help="Longer: more time at each rate, fewer drops.",
            step=1,
            applies=lambda config: config.schedule == "step",
        ),
        "step_factor": Knob(
            label="Drop to (factor)",
            help="What the rate is multiplied by. Nearer to 1: smaller drops.",
            applies=lambda config: config.schedule in ("step", "plateau"),
        ),
        "plateau_patience": Knob(
            label="Patience (epochs)",
            help="Epochs without a better validation loss before the rate drops. More: it drops later.",
            step=1,
            applies=lambda config: config.schedule == "plateau",
        ),
    },
    "Against overfitting": {
        "weight_decay": Knob(
            label="Weight decay",
            help="Pulls every weight towards 0. Higher: simpler nets, a smaller gap; too high, and nothing is learnt.",
        ),
        "dropout": Knob(
            label="Dropout of one's own",
            help="Share of the numbers that dropout layers set to 0 while training, in place of the net's own. "
            "Higher: a smaller gap, slower learning. Nets without such layers do not change.",
            step=0.05,
            begin=0.5,
        ),
        "label_smoothing": Knob(
            label="Label smoothing",
            help="Share of the truth that is spread over all classes. Higher: the net is less sure of itself; training "
            "loss no longer reaches 0.",
            step=0.05,
        ),
        "early_stopping": Knob(
            label="Stop early after (epochs)",
            help="Epochs without a better validation accuracy after which the run ends. More: more patience. 0: never.",
            step=1,
        ),
    },
    "Loss and sampling": {
        "loss": Knob(
            label="Loss",
            help="Class-weighted: rare classes count more. Focal: what is told right already counts less.",
        ),
        "focal_gamma": Knob(
            label="Focal γ",
            help="Higher: pictures that are told right count even less. 0: cross-entropy.",
            step=0.5,
            applies=lambda config: config.loss == "focal",
        ),
        "sampling": Knob(
            label="Sampling",
            help="Balanced: each class is shown equally often, however many pictures it has.",
        ),
        "validation": Knob(
            label="Validation share",
            help="Share of what is no test picture that the net is not trained on but steered by. More: surer "
            "validation numbers, fewer pictures to learn from.",
            step=0.05,
        ),
    },
    "Precision and device": {
        "device": Knob(label="Device", help="Best: the GPU where there is one."),
        "threads": Knob(
            label="Threads",
            help="For the work on the CPU. More: faster as long as cores are free; on a busy machine far slower.",
            step=1,
        ),
        "precision": Knob(
            label="Precision",
            help="Of the forward pass. 16 bits are faster where the device has instructions for them, and not else.",
        ),
        "channels_last": Knob(
            label="Channels last",
            help="How numbers lie in memory: with the channels innermost, as convolutions are fastest.",
        ),
        "compile": Knob(
            label="Compile the net",
            help="Turns the net into code of its own first: a minute of waiting, then faster on a GPU.",
        ),
    },
    "Start and teacher": {
        "initialisation": Knob(
            label="Random weights",
            help="He: as large as ReLUs need so that signals keep their size. Xavier: for tanh. PyTorch's: smaller.",
        ),
        "start_from": Knob(
            label="Start from",
            help="Weights that have learnt something already: a few hundred pictures are then often enough. A last "
            "layer for other classes is made anew.",
        ),
        "freeze_to": Knob(
            label="Freeze up to",
            help="This layer and all before it stay as they are. Further: faster and harder to overfit, and less is "
            "learnt. Frozen random layers learn nothing.",
        ),
        "teacher": Knob(
            label="Teacher",
            help="Knowledge distillation: besides the labels the net learns what this one says of each picture, also "
            "which wrong answers it finds likely.",
        ),
        "distill_weight": Knob(
            label="Share of the teacher",
            help="In the loss. Higher: the teacher counts more, the labels less.",
            step=0.1,
            applies=lambda config: bool(config.teacher),
        ),
        "distill_temperature": Knob(
            label="Temperature",
            help="Softens both nets' answers before they are compared. Higher: unlikely classes count more.",
            step=0.5,
            applies=lambda config: bool(config.teacher),
        ),
    },
}


def show(
    name: str,
    knob: Knob,
    config: TrainConfig,
    recipe: TrainConfig,
    faults: Mapping[str, str],
    options: Mapping[str, str] | None = None,
) -> None:
    """Draw the control of a field, and below it what is wrong with its value.

    Args:
        name: Of the field.
        knob: How it is set.
        config: What it is set to, with all other changes.
        recipe: From which a change is one.
        faults: By name of the field.
        options: Key → label, where the table of choices is not known beforehand.
    """
    if not knob.applies(config) and name not in faults:
        return
    changed = changes.value_of(name)
    value = getattr(config, name) if changed is None else changed
    if changed == changes.NOTHING:
        value = None
    key = f"training.set.{name}"
    said: dict[str, Any] = {"key": key, "help": knob.help, "on_change": lambda: _take(name, said["key"], recipe)}
    choices = options or changes.CHOICES.get(name)
    if choices is not None:
        if options is not None:  # a new list for new labels: the browser knows an option by its label
            said["key"] = key = f"{key}.{hash(tuple(options.values()))}"
        shown: str = value if value in choices else next(iter(choices))  # pyright: ignore[reportAssignmentType]
        _set(key, shown)
        st.selectbox(knob.label, list(choices), list(choices).index(shown), format_func=choices.__getitem__, **said)
    elif name in changes.OPTIONAL:
        _optional(name, knob, value, said, recipe)
    elif isinstance(value, bool):
        _set(key, value)
        st.toggle(knob.label, value, **said)
    else:
        _number(name, knob, value, said)
    if name in faults:
        st.error(plain(faults[name]), icon=":material/error:")


def _set(key: str, value: object) -> None:
    # Only where it differs: a widget that is being edited keeps what is in it. Every widget is told its value beside
    # this, or it would begin with nothing where a run that gave it one was overtaken by the next.
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def _number(name: str, knob: Knob, value: Any, said: dict[str, Any]) -> None:
    if changes.kind_of(name) is int:
        _set(said["key"], int(value))
        st.number_input(knob.label, value=int(value), step=int(knob.step or 1), **said)
    else:
        _set(said["key"], float(value))
        st.number_input(knob.label, value=float(value), step=knob.step or _digit(value), format="%g", **said)


def _digit(value: float) -> float:
    """One in the first digit of a number that is thought of in powers of ten."""
    return 10.0 ** math.floor(math.log10(value)) if value > 0 else 1e-4


def _optional(name: str, knob: Knob, value: Any, said: dict[str, Any], recipe: TrainConfig) -> None:
    switch = f"{said['key']}.on"
    _set(switch, value is not None)
    st.toggle(knob.label, value is not None, key=switch, help=knob.help, on_change=_switch, args=(name, knob, recipe))
    if value is not None:
        _number(name, knob, value, {**said, "label_visibility": "collapsed"})


def _switch(name: str, knob: Knob, recipe: TrainConfig) -> None:
    is_on = st.session_state[f"training.set.{name}.on"]
    begin = changes.kind_of(name)(getattr(recipe, name) or knob.begin)
    changes.change(name, begin if is_on else changes.NOTHING, recipe)


def _take(name: str, key: str, recipe: TrainConfig) -> None:
    value = st.session_state[key]
    if value is None:  # an emptied field
        return
    changes.change(name, value, recipe)
    # What belongs to SGD alone would stand in the way of another optimiser.
    if name == "optimizer" and value != "sgd":
        changes.change("nesterov", False, recipe)
    elif name == "optimizer":
        changes.change("nesterov", recipe.nesterov, recipe)
