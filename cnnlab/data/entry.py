"""What the table says of each data set."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cnnlab.data.dataset import Gathered
from cnnlab.data.files import RemoteFile


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that may be chosen when a data set is loaded.

    Attributes:
        label: What people see: "Side (px)".
        values: What is accepted, as a short tuple or a range.
        default: One of them.
    """

    label: str
    values: Sequence[int]
    default: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetEntry:
    """One entry of `DATASETS`.

    Attributes:
        label: Name shown to people.
        about: What it is good for: a sentence or two.
        credit: Source and licence.
        classes: Names of the classes.
        num_pictures: How many there are; for drawn ones, by default.
        channels: 1 for grey, 3 for RGB.
        gather: Brings the pictures together: `gather(progress, cancelled, **choices)`.
        choices: What may be passed to `gather`, by name.
        files: What is fetched where no copy is found.
        is_here: Whether `gather` needs no network.
    """

    label: str
    about: str
    credit: str
    classes: tuple[str, ...]
    num_pictures: int
    channels: int
    gather: Callable[..., Gathered]
    choices: Mapping[str, Choice] = field(default_factory=dict)
    files: tuple[RemoteFile, ...] = ()
    is_here: Callable[[], bool] = lambda: True

    @property
    def num_bytes(self) -> int:
        """What has to be fetched where no copy is found."""
        return sum(file.num_bytes for file in self.files)
