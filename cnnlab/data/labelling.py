"""What class a picture belongs to, told by the folder it lies in or by the beginning of its name."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cnnlab.errors import InputRejected

Rule = Literal["folder", "prefix"]
RULES: dict[Rule, str] = {
    "folder": "One folder per class: cat/1.jpg",
    "prefix": "The name before the number: cat.1.jpg",
}
_MAX_LABEL = 100
_PARTS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


@dataclass(frozen=True, slots=True)
class Labelling:
    """How labels are told.

    Attributes:
        rule: Key of `RULES`.
        reason: Why this one, in a sentence.
    """

    rule: Rule
    reason: str


def choose_rule(names: Sequence[str]) -> Labelling:
    """The rule that fits these file names.

    Folders win where there are two or more, unless all are called after parts, such as "train" and "test"; else
    prefixes, where two or more of them name two or more pictures.
    """
    folders = Counter(label_of(name, "folder") for name in names)
    folders.pop("", None)
    if len(folders) >= 2 and not _PARTS.issuperset(map(str.lower, folders)):
        return Labelling("folder", f"The pictures lie in {len(folders)} folders, and each is taken for a class.")
    prefixes = Counter(label_of(name, "prefix") for name in names)
    prefixes.pop("", None)
    if sum(count >= 2 for count in prefixes.values()) >= 2:
        shown = ", ".join(f"{prefix!r}" for prefix, _ in prefixes.most_common(5))
        return Labelling(
            "prefix",
            f"No folders tell classes apart, but names begin in {len(prefixes)} ways ({shown}), each of which is taken "
            "for a class.",
        )
    return Labelling(
        "folder",
        "Neither folders nor the names' beginnings tell two classes apart. Make one folder per class, or name the "
        "pictures by class and number: cat.1.jpg, dog.1.jpg.",
    )


def label_of(name: str, rule: Rule) -> str:
    """The class of a file by a rule, or "" where the rule does not apply.

    Raises:
        InputRejected: There is no such rule.
    """
    *folders, last = name.split("/")  # not as a Path, which takes ten times as long
    match rule:
        case "folder":
            return folders[-1].strip(". ")[:_MAX_LABEL] if folders else ""
        case "prefix":
            stem = last.rpartition(".")[0] or last
            prefix = stem
            while prefix and not prefix[-1].isalpha():
                prefix = prefix[:-1]
            is_numbered = any(char.isdigit() for char in stem[len(prefix) :])
            return prefix[:_MAX_LABEL] if is_numbered else ""
    raise InputRejected(f"Labels are told by one of {', '.join(RULES)}, not by {rule!r}. Choose one of these.")


def is_for_test(name: str, rule: Rule) -> bool:
    """Whether the file lies in a folder called "test", which is not the one of its class."""
    folders = name.lower().split("/")[:-1]
    return "test" in (folders[:-1] if rule == "folder" else folders)
