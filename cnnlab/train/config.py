"""All that decides how a net is trained, in one value that can be kept, compared and written down.

Two runs of the same `TrainConfig` on the same machine give the same weights, bit for bit.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from cnnlab.data import DATASETS, Augment
from cnnlab.errors import InputRejected
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.spec import NetSpec, from_plain, to_plain

OWN_PICTURES = "pictures"
"""`TrainConfig.data` of one's own pictures, which have to be handed over beside the configuration."""

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}
SCHEDULES = {
    "constant": "Constant",
    "step": "Steps",
    "cosine": "Cosine",
    "plateau": "On plateau",
    "one_cycle": "One cycle",
}
LOSSES = {"cross_entropy": "Cross-entropy", "weighted": "Class-weighted", "focal": "Focal"}
SAMPLINGS = {"as_is": "As it is", "balanced": "Balanced"}
PRECISIONS = {"fp32": "32-bit", "bf16": "bfloat16", "fp16": "float16"}
INITIALISATIONS = {"he": "He", "xavier": "Xavier", "default": "PyTorch's"}
DEVICES = {"auto": "Best", "cpu": "CPU", "cuda": "GPU"}

_SOURCE = re.compile(r"(weights:[a-z0-9_]{1,60}|run:[a-z0-9]{8,40}@[0-9]{1,4})?")
_MAX_TEXT = 200_000
_MAX_DEPTH = 50  # 4 residual blocks in one another come to 12 in a net, and the net is one value of the configuration
_LONGEST_NUMBER = 40

_RANGES: dict[str, tuple[float, float]] = {
    "validation": (0.01, 0.5),
    "seed": (0, 2**53 - 1),  # the largest that a browser shows exactly
    "epochs": (1, 1000),
    "batch_size": (1, 4096),
    "lr": (1e-8, 10),
    "momentum": (0, 0.999),
    "weight_decay": (0, 1),
    "step_every": (1, 1000),
    "step_factor": (1e-4, 1),
    "plateau_patience": (1, 100),
    "warmup": (0, 50),
    "label_smoothing": (0, 0.5),
    "focal_gamma": (0, 10),
    "ema": (0, 0.99999),
    "early_stopping": (0, 100),
    "distill_temperature": (0.5, 20),
    "distill_weight": (0, 1),
    "threads": (1, 256),
}
_OPTIONAL_RANGES: dict[str, tuple[float, float]] = {
    "dropout": (0, 0.95),
    "clip_norm": (1e-4, 1000),
    "side": (4, 512),
}
_CHOICES: dict[str, Mapping[str, str]] = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "loss": LOSSES,
    "sampling": SAMPLINGS,
    "precision": PRECISIONS,
    "initialisation": INITIALISATIONS,
    "device": DEVICES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How a net is trained.

    Attributes:
        net: Key of `ARCHITECTURES`, or a net of one's own.
        data: Key of `DATASETS`, or `OWN_PICTURES`.
        data_choices: What the data set lets one choose, such as `{"side": 64}` for `shapes`.
        side: Pictures are resized to this many px a side beforehand; None leaves them as they are.
        validation: Share of what is no test picture that the net is steered by, 0.01 to 0.5.
        seed: Of the split, the weights, the order of the pictures, augmentation and dropout.
        epochs: How often each picture is seen.
        batch_size: Pictures a step.
        optimizer: Key of `OPTIMIZERS`.
        lr: Learning rate; with a schedule, its highest value.
        momentum: Of SGD and RMSprop; β₁ of Adam and AdamW stays 0.9.
        nesterov: For SGD with momentum.
        weight_decay: Added to the gradient (SGD, Adam, RMSprop), or applied by itself (AdamW).
        schedule: Key of `SCHEDULES`; how `lr` changes.
        step_every: Epochs between two drops of the schedule "step".
        step_factor: What the learning rate is multiplied by at each drop, of "step" and of "plateau".
        plateau_patience: Epochs without a better validation loss that "plateau" waits through.
        warmup: Epochs, also in parts, in which the learning rate rises from nothing; for "one_cycle" the time up.
        dropout: In place of the net's own rate in all its dropout layers; None leaves them.
        label_smoothing: Share of the truth spread over all classes.
        loss: Key of `LOSSES`.
        focal_gamma: How much "focal" turns to what is still wrong.
        sampling: Key of `SAMPLINGS`; "balanced" shows each class equally often.
        augment: What is done to pictures for training.
        clip_norm: Longest gradient that is allowed; None allows all.
        ema: Decay of a running average of the weights, which is then what is validated and kept; 0 for none.
        early_stopping: Epochs without a better validation accuracy after which the run ends; 0 never.
        precision: Key of `PRECISIONS`, of the forward pass.
        channels_last: Keep pictures and maps with the channels innermost, as convolutions are fastest.
        compile: Compile the net first (GPU only: on CPUs it makes training slower).
        initialisation: Key of `INITIALISATIONS`.
        start_from: "" for random weights, "weights:KEY" for trained ones of the same net, "run:ID@EPOCH" for a run's.
            A last layer that does not fit the classes is replaced by a new one.
        freeze_to: Name of a layer of the net; it and all before it stay as they are. "" freezes nothing.
        teacher: "" or a net to learn from, named as in `start_from`.
        distill_temperature: Softens teacher and student before they are compared.
        distill_weight: Share of the teacher in the loss.
        device: Key of `DEVICES`.
        threads: For the work on the CPU.

    Raises:
        InputRejected: On creation, when a value is out of range, unknown, or at odds with another.
    """

    net: str | NetSpec = "lenet5"
    data: str = "digits"
    data_choices: Mapping[str, int] = field(default_factory=dict)
    side: int | None = None
    validation: float = 0.1
    seed: int = 0
    epochs: int = 5
    batch_size: int = 64
    optimizer: str = "sgd"
    lr: float = 0.05
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "constant"
    step_every: int = 7
    step_factor: float = 0.1
    plateau_patience: int = 3
    warmup: float = 0.0
    dropout: float | None = None
    label_smoothing: float = 0.0
    loss: str = "cross_entropy"
    focal_gamma: float = 2.0
    sampling: str = "as_is"
    augment: Augment = field(default_factory=Augment)
    clip_norm: float | None = None
    ema: float = 0.0
    early_stopping: int = 0
    precision: str = "fp32"
    channels_last: bool = True
    compile: bool = False
    initialisation: str = "he"
    start_from: str = ""
    freeze_to: str = ""
    teacher: str = ""
    distill_temperature: float = 4.0
    distill_weight: float = 0.5
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.net, str | NetSpec):
            raise InputRejected(f"net must be a name or a net of one's own, got {self.net!r:.60}.")
        if isinstance(self.net, str) and self.net not in ARCHITECTURES:
            raise InputRejected(f"There is no net {self.net!r}; choose one of {', '.join(ARCHITECTURES)}.")
        if self.data not in (*DATASETS, OWN_PICTURES):
            raise InputRejected(f"There is no data set {self.data!r}; choose one of {', '.join(DATASETS)}.")
        self._check_data_choices()
        for name, table in _CHOICES.items():
            # A list, too: it cannot even be looked up.
            if getattr(self, name) not in [*table]:
                raise InputRejected(f"{name} must be one of {', '.join(table)}, got {getattr(self, name)!r:.60}.")
        for name, (low, high) in _RANGES.items():
            self._check_range(name, low, high)
        for name, (low, high) in _OPTIONAL_RANGES.items():
            if getattr(self, name) is not None:
                self._check_range(name, low, high)
        for name in ("nesterov", "channels_last", "compile"):
            if not isinstance(getattr(self, name), bool):
                raise InputRejected(f"{name} must be true or false, got {getattr(self, name)!r}.")
        for name in ("start_from", "teacher"):
            value = getattr(self, name)
            if not isinstance(value, str) or not _SOURCE.fullmatch(value):
                raise InputRejected(f"{name} must be 'weights:NAME', 'run:ID@EPOCH' or '', got {value!r}.")
        if not isinstance(self.freeze_to, str) or not isinstance(self.augment, Augment):
            raise InputRejected(f"freeze_to must be the name of a layer or '', got {self.freeze_to!r}.")
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise InputRejected("Nesterov belongs to SGD with momentum. Choose these, or turn it off.")
        if self.teacher and self.augment.mixes:
            raise InputRejected(
                "MixUp and CutMix cannot be combined with a teacher here: both replace the labels. Turn one off."
            )

    def _check_data_choices(self) -> None:
        chosen: Any = self.data_choices
        known = DATASETS[self.data].choices if self.data in DATASETS else {}
        if not isinstance(chosen, Mapping):
            raise InputRejected(f"data_choices must be names with whole numbers, got {chosen!r:.60}.")
        for name, value in chosen.items():
            if not isinstance(name, str) or name not in known:
                taken = f"takes {', '.join(known)}" if known else "takes no choices"
                raise InputRejected(f"data_choices: {self.data!r} {taken}, got {name!r:.60}. Leave it out.")
            values = known[name].values
            if not isinstance(value, int) or isinstance(value, bool) or value not in values:
                said = f"from {values[0]} to {values[-1]}" if isinstance(values, range) else f"of {[*values]}"
                raise InputRejected(
                    f"data_choices: {name} of {self.data!r} must be a whole number {said}, got {value!r:.60}."
                )

    def _check_range(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        wants_whole = name in _WHOLE
        if not (is_whole or (not wants_whole and isinstance(value, float) and math.isfinite(value))):
            kind = "a whole number" if wants_whole else "a number"
            raise InputRejected(f"{name} must be {kind} from {low} to {high}, got {value!r:.60}.")
        if not low <= value <= high:
            raise InputRejected(f"{name} must be from {low} to {high}, got {value!r:.60}.")

    @property
    def net_name(self) -> str:
        """What people call the net."""
        return ARCHITECTURES[self.net].label if isinstance(self.net, str) else self.net.name or "Net of your own"

    def to_data(self) -> dict[str, Any]:
        """All of it as numbers, strings, lists and dicts, for JSON and YAML."""
        data = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        data["net"] = self.net if isinstance(self.net, str) else to_plain(self.net)
        data["data_choices"] = dict(self.data_choices)
        data["augment"] = self.augment.to_data()
        return data

    @classmethod
    def from_data(cls, data: Any) -> "TrainConfig":
        """The reverse of `to_data`; what is left out has its default.

        Raises:
            InputRejected: It says something that is not known, or out of range.
        """
        if not isinstance(data, Mapping):
            raise InputRejected(f"A training configuration is a list of names with values, got {type(data).__name__}.")
        known = [one.name for one in dataclasses.fields(cls)]
        if unknown := [str(name) for name in data if name not in known]:
            raise InputRejected(
                f"Not known in a training configuration: {', '.join(unknown)}. Known are {', '.join(known)}."
            )
        values = dict(data)
        if isinstance(values.get("net"), Mapping):
            values["net"] = from_plain(values["net"])
        if not isinstance(values.get("net", ""), str | NetSpec) or not isinstance(values.get("data", ""), str):
            raise InputRejected("net must be a name or a net's layers, and data a name.")
        choices = values.get("data_choices") or {}
        values["data_choices"] = dict(choices) if isinstance(choices, Mapping) else choices
        if "augment" in values:
            values["augment"] = Augment.from_data(values["augment"] or [])
        return cls(**values)

    def to_yaml(self, *, in_full: bool = False) -> str:
        """For a file that `from_yaml` and `python -m cnnlab train` read.

        Args:
            in_full: Also say what has its default, for a file that is to mean the same when defaults have changed.
        """
        usual = TrainConfig().to_data()
        said = {
            name: value
            for name, value in self.to_data().items()
            if in_full
            or value != usual[name]
            or name in ("net", "data", "epochs", "batch_size", "optimizer", "lr", "seed")
        }
        return yaml.dump(said, Dumper=_Dumper, sort_keys=False, allow_unicode=True)

    @classmethod
    def from_yaml(cls, text: str) -> "TrainConfig":
        """Read a configuration that was written down.

        Raises:
            InputRejected: It is no YAML, or as `from_data`.
        """
        if len(text) > _MAX_TEXT:
            raise InputRejected(f"The configuration has {len(text):,} characters; up to {_MAX_TEXT:,} are read.")
        try:
            data = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader that takes less
        except (yaml.YAMLError, ValueError) as error:
            raise InputRejected(f"This is no YAML: {' '.join(str(error).split()):.200}.") from None
        return cls.from_data(data)


class _Dumper(yaml.SafeDumper):
    """Knows the numbers that `_Loader` knows."""


class _Loader(yaml.SafeLoader):
    """Takes nothing by which a short text becomes large or slow: no aliases, no deep nesting, no endless numbers."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise InputRejected("The configuration refers to itself with * and &. Write the values out.")
        if self._depth > _MAX_DEPTH:
            raise InputRejected(f"The configuration is nested more than {_MAX_DEPTH} deep. Give names with values.")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        # Before its value is worked out: 1:1:1:… counts in sixties.
        if len(node.value) > _LONGEST_NUMBER:
            raise InputRejected(f"{node.value[:10]}… in the configuration is longer than any number it takes.")
        return super().construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
# YAML 1.1 takes 1e-3 for a word, because it has no dot. The writer must know too, to put a net named 1e-3 in quotes.
for _cls in (_Loader, _Dumper):
    _cls.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
    )


_WHOLE = {
    "seed",
    "epochs",
    "batch_size",
    "step_every",
    "plateau_patience",
    "early_stopping",
    "threads",
    "side",
}
