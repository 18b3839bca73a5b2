"""What is known of a training run, and what people may call it."""

import re
import unicodedata
from dataclasses import dataclass

from cnnlab.data import DATASETS
from cnnlab.errors import InputRejected
from cnnlab.runs.processes import Process
from cnnlab.train.config import TrainConfig

STATES = ("waiting", "running", "paused", "finished", "stopped", "failed", "interrupted")
ENDED = ("finished", "stopped", "failed", "interrupted")
"""The states of runs on which no process is at work, nor will be unless somebody asks."""

MAX_NAME = 80
MAX_TAGS = 10
MAX_TAG = 30

# Besides control characters: ends of lines and paragraphs, and what turns the direction of all writing behind it.
_MISCHIEF = re.compile("[\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """How good the net of one epoch is on the test part.

    Attributes:
        epoch: Whose weights were tried.
        accuracy: 0 to 1.
        loss: Plain cross-entropy.
        num_pictures: Of the test part.
        confusion: Row: truth, column: prediction; counts.
        time: Seconds since 1970.
    """

    __test__ = False  # pytest: this is none

    epoch: int
    accuracy: float
    loss: float
    num_pictures: int
    confusion: tuple[tuple[int, ...], ...]
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What run.json says of a run.

    Attributes:
        id: 26 small letters and digits, which nobody can guess.
        owner: 32 hexadecimal digits.
        name: For people, never empty.
        tags: Likewise, in the order in which they were given.
        created: Seconds since 1970.
        state: Of `STATES`.
        reason: Why it is in this state, in words, or "".
        epochs_done: Whole epochs.
        best_epoch: With the best validation accuracy, the first of equals; 0 before the first has ended.
        best_accuracy: Of that epoch, 0 to 1.
        is_published: Whether everybody may see it.
        test: What came of the test part; None where it was not touched.
        worker: What is at work on it, or has it in its queue.
    """

    id: str
    owner: str
    name: str
    tags: tuple[str, ...] = ()
    created: float
    state: str = "waiting"
    reason: str = ""
    epochs_done: int = 0
    best_epoch: int = 0
    best_accuracy: float | None = None
    is_published: bool = False
    test: TestResult | None = None
    worker: Process | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Kept):
    """A training run.

    Attributes:
        config: How it is trained.
    """

    config: TrainConfig

    @property
    def net(self) -> str:
        """Name of the net for people."""
        return self.config.net_name

    @property
    def data(self) -> str:
        """Name of the data set for people."""
        return _data_label(self.config)

    @property
    def has_ended(self) -> bool:
        """Whether no process is at work on it, nor will be unless somebody asks."""
        return self.state in ENDED


def default_name(config: TrainConfig) -> str:
    """What a run is called that nobody has given a name, by its net and its data."""
    return f"{config.net_name} · {_data_label(config)}"[:MAX_NAME].strip()


def _data_label(config: TrainConfig) -> str:
    return DATASETS[config.data].label if config.data in DATASETS else "Your pictures"


def checked_name(name: str) -> str:
    """A name as it is kept: letters with accents are written one way, nothing around it.

    Raises:
        InputRejected: It is empty, longer than 80 characters, or holds control characters.
    """
    name = unicodedata.normalize("NFC", name).strip()
    _check_text("The name of a run", name, MAX_NAME)
    return name


def checked_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Tags as they are kept, each once.

    Raises:
        InputRejected: More than 10, or one that is empty, longer than 30 characters, or holds control characters.
    """
    tags = tuple(dict.fromkeys(unicodedata.normalize("NFC", one).strip() for one in tags))
    if len(tags) > MAX_TAGS:
        raise InputRejected(f"These are {len(tags)} tags; a run has up to {MAX_TAGS}. Leave some out.")
    for one in tags:
        _check_text("A tag", one, MAX_TAG)
    return tags


def _check_text(what: str, text: str, longest: int) -> None:
    if not 1 <= len(text) <= longest:
        raise InputRejected(f"{what} has 1 to {longest} characters, this one has {len(text)}. Choose another.")
    # Cc: control characters, Cs: halves of characters, which no file takes.
    if _MISCHIEF.search(text) or any(unicodedata.category(one) in ("Cc", "Cs") for one in text):
        raise InputRejected(f"{what} holds characters that cannot be seen. Type it anew.")
