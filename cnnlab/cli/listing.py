"""Lists for the terminal."""

import sys
import textwrap
import time
from collections.abc import Sequence

from cnnlab.cli.owner import OWNER
from cnnlab.runs import store
from cnnlab.runs.store import Run
from cnnlab.train.recipes import RECIPES


def recipes() -> None:
    """All recipes: key, name, what it does, what came out."""
    for key, recipe in RECIPES.items():
        sys.stdout.write(f"{key}: {recipe.label} ({recipe.source})\n")
        for text in (recipe.about, f"Measured: {recipe.expects}" if recipe.expects else ""):
            if text:
                sys.stdout.write(textwrap.fill(text, 100, initial_indent="    ", subsequent_indent="    ") + "\n")


def runs() -> None:
    """The runs of the command line and those that others published, newest first."""
    found = {run.id: run for run in (*store.of_owner(OWNER), *store.published())}
    if not found:
        sys.stdout.write("No runs yet. Begin one: python -m cnnlab train --recipe digits_fast\n")
        return
    rows = [("run", "begun", "state", "epochs", "validation", "test", "name")]
    rows += [_row(run) for run in sorted(found.values(), key=lambda run: -run.created)]
    _write_table(rows)


def _row(run: Run) -> tuple[str, ...]:
    return (
        run.id,
        time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created)),
        run.state,
        f"{run.epochs_done}/{run.config.epochs}",
        "–" if run.best_accuracy is None else f"{100 * run.best_accuracy:.2f} %",
        f"{100 * run.test.accuracy:.2f} %" if run.test else "–",
        run.name,
    )


def _write_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
