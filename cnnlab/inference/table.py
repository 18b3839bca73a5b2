"""What a net says of many files, as a table that any spreadsheet opens: one row a file, also for those it cannot read.

    members, skipped = members_of_zip(data)
    csv = "".join(to_csv(rows_of(model, members, skipped, weights.preprocessing, weights.classes)))

Files are read, unpacked and shown to the net a few at a time, so a large zip takes no more memory than a small one.

Names come from strangers, and spreadsheets run what begins with =, +, - or @ as a formula: such cells begin with an
apostrophe here, which spreadsheets take for "this is text" (OWASP, CSV Injection).
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cnnlab.data.archives import Member, Skipped
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.images import Preprocessing, decode
from cnnlab.inference.batching import logits_of_batch
from cnnlab.inference.calibrating import probabilities_of
from cnnlab.inference.capturing import ready

_BATCH = 16
_MOST_BEST = 3
# The wide ones are taken for the narrow ones, and a tab or line break is skipped before the rest is looked at.
_FORMULA = ("=", "+", "-", "@", "−", "＝", "＋", "－", "＠", "\t", "\r", "\n")
_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a net says of one file.

    Attributes:
        name: Of the file, with its folders.
        best: Up to three classes and their probabilities, 0 to 1, the most likely first; empty where the file could not
            be read.
        note: Why it could not, or what was changed when it was, in plain words.
    """

    name: str
    best: tuple[tuple[str, float], ...]
    note: str


def rows_of(
    model: nn.Module,
    members: Sequence[Member],
    skipped: Sequence[Skipped],
    preprocessing: Preprocessing,
    classes: Sequence[str],
    *,
    temperature: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Row]:
    """Rows as they become known: the members in their order, then what was left out before.

    Args:
        model: Of `cnnlab.inference.share`, or any other, which stays as it is.
        members: Files that may be pictures, of `cnnlab.data.archives`.
        skipped: Files that were left out there.
        preprocessing: What the net was fed in training.
        classes: Names of the classes, in the order of the logits.
        temperature: By which the logits are divided.
        progress: Called after each batch with the files done and the files in all.
        cancelled: Asked before each batch; True ends it.

    Raises:
        InputRejected: The net has another number of classes.
        RunFailed: It was cancelled.
    """
    model = ready(model)
    for begin in range(0, len(members), _BATCH):
        if cancelled and cancelled():
            raise RunFailed("Looking at the files was stopped. Start it again to have all of them.")
        some = members[begin : begin + _BATCH]
        yield from _rows(model, some, preprocessing, classes, temperature)
        if progress:
            progress(begin + len(some), len(members))
    for one in skipped:
        yield Row(name=one.name, best=(), note=f"Left out: {one.reason}.")


def to_csv(rows: Iterable[Row]) -> Iterator[str]:
    """Lines of a CSV file as RFC 4180 has it, the names of the columns first.

    Spreadsheets know UTF-8 by its mark: encode the whole with "utf-8-sig".
    """
    yield _line(["file", "class", "confidence", "second", "second confidence", "third", "third confidence", "note"])
    for row in rows:
        best = [cell for label, share in row.best for cell in (_as_text(label), f"{share:.{_DIGITS}f}")]
        best += [""] * (2 * _MOST_BEST - len(best))
        yield _line([_as_text(row.name), *best, _as_text(row.note)])


def _rows(
    model: nn.Module,
    members: Sequence[Member],
    preprocessing: Preprocessing,
    classes: Sequence[str],
    temperature: float,
) -> Iterator[Row]:
    inputs: dict[int, NDArray[np.float32]] = {}
    notes: dict[int, str] = {}
    for place, member in enumerate(members):
        try:
            image = decode(member.read(), member.name)
            inputs[place] = preprocessing.apply(image)
            notes[place] = " ".join(image.notes)
        except InputRejected as error:
            notes[place] = str(error)
    logits = _logits(model, inputs)
    for place, member in enumerate(members):
        best, note = (), notes[place]
        if place in logits:
            best = _best(logits[place], classes, temperature)
            note = note if best else "The net answers with NaN or ∞: its weights are broken."
        yield Row(name=member.name, best=best, note=note)


def _logits(model: nn.Module, inputs: dict[int, NDArray[np.float32]]) -> dict[int, NDArray[np.float32]]:
    """Place → logits; pictures of the same size share a batch, and preprocessing without a size leaves many."""
    found: dict[int, NDArray[np.float32]] = {}
    for shape in {each.shape for each in inputs.values()}:
        places = [place for place, each in inputs.items() if each.shape == shape]
        found |= zip(places, logits_of_batch(model, [inputs[place] for place in places]), strict=True)
    return found


def _best(logits_k: NDArray[np.float32], classes: Sequence[str], temperature: float) -> tuple[tuple[str, float], ...]:
    if len(logits_k) != len(classes):
        raise InputRejected(
            f"The net answers with {len(logits_k)} numbers a picture, and there are {len(classes)} names of classes. "
            "Give one for each."
        )
    if not np.isfinite(logits_k).all():
        return ()
    probs = probabilities_of(logits_k, temperature)
    return tuple((classes[int(index)], float(probs[index])) for index in np.argsort(-probs, kind="stable")[:_MOST_BEST])


def _as_text(cell: str) -> str:
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell


def _line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
