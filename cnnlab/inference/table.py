"""What a net says of many files, as a table that any spreadsheet opens: one row a file, also for those it cannot read.

    members, skipped = members_of_zip(data)
    csv = "".join(to_csv(rows_of(model, members, skipped, weights.preprocessing, weights.classes)))

Files are read, unpacked and shown to the net a few at a time: beside the zip itself and the rows, a large one takes no
more memory than a small one.

Names come from strangers, and spreadsheets run what begins with =, +, - or @ as a formula: an apostrophe goes before
it, which they take for "this is text" (OWASP, CSV Injection). Some part cells at semicolons or tabs, whatever the
quotes, and skip blanks and invisible characters: what would begin a cell for them is treated the same.
"""

import csv
import io
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cnnlab.data.archives import Member, Skipped
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.images import Preprocessing, decode
from cnnlab.inference.batching import logits_of_inputs
from cnnlab.inference.calibrating import probabilities_of
from cnnlab.inference.capturing import ready

_BATCH = 16
_MOST_BEST = 3
_FORMULA = frozenset("=+-@−＝＋－＠")  # the wide ones are taken for the narrow ones
_SEPARATORS = frozenset(";\t\r\n")
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
    turn: Callable[[], AbstractContextManager[None]] = nullcontext,
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
        turn: Entered whenever the net runs, and left before the rows are handed out.

    Raises:
        InputRejected: The net has another number of classes, or makes no row of logits.
        RunFailed: It was cancelled.
    """
    model = ready(model)
    for begin in range(0, len(members), _BATCH):
        if cancelled and cancelled():
            raise RunFailed("Looking at the files was stopped. Start it again to have all of them.")
        some = members[begin : begin + _BATCH]
        yield from _rows(model, some, preprocessing, classes, temperature, turn)
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
    turn: Callable[[], AbstractContextManager[None]],
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
    with turn():
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
        x = torch.from_numpy(np.stack([inputs[place] for place in places]))
        found |= zip(places, logits_of_inputs(model, x), strict=True)
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
    made, is_begin = "", True
    for char in cell:
        made += f"'{char}" if is_begin and char in _FORMULA else char
        is_begin = char in _SEPARATORS or (is_begin and _is_skipped(char))
    return made


def _is_skipped(char: str) -> bool:
    """Blanks, what cannot be seen (NBSP, BOM, U+200B) and quotes, which readers take away."""
    return char == '"' or unicodedata.category(char)[0] in "CZ"


def _line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL).writerow(cells)
    return line.getvalue()
