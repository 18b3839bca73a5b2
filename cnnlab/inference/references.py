"""What is known of trained weights from pictures that they were judged by, kept beside them in a small file.

A fresh machine has the bundled weights and none of the pictures. So what is needed to say what a net's confidence is
worth, and how strange a picture looks to it, comes with the weights: `NAME.reference.json`, of some ten kB. It names
its weights by their checksum, and other weights under the same name have no reference until theirs is made:

    python -m benchmarks.bundled_references

For the nets of runs, `measure` makes the same from their data set.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnlab.inference.calibrating import Bin, Calibration, Scaled, calibrate, scale
from cnnlab.inference.novelty import FAMILIARITIES, Spread, separation, spreads_of
from cnnlab.nets.weights import BUNDLED, bundled_weights

_DIGITS = 6  # significant ones that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a net said of pictures that it did not learn from.

    Attributes:
        pictures: What they are called, to follow a number: "test pictures of MNIST".
        by_width: Calibration in bins of equal width.
        by_mass: Calibration in bins with equally many pictures.
        scaled: Temperature scaling, fitted to one half of the pictures and judged by the other.
        spreads: Key of `FAMILIARITIES` → how the number spreads over the pictures.
        separations: Other pictures, which belong to no class of the net → key of `FAMILIARITIES` → how often a picture
            of its own looks more familiar than one of these, 0 to 1; 0.5 is chance. Empty where none were looked at.
    """

    pictures: str
    by_width: Calibration
    by_mass: Calibration
    scaled: Scaled
    spreads: Mapping[str, Spread]
    separations: Mapping[str, Mapping[str, float]]


def measure(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    pictures: str,
    strangers: Mapping[str, NDArray[np.floating]] | None = None,
) -> Reference:
    """Work out what a net's answers to known pictures tell.

    Args:
        logits: (N, classes), of two pictures or more that it did not learn from, as `calibrating.logits_of` gives them.
        labels: (N,)
        pictures: As in `Reference`.
        strangers: What other pictures are called → logits of them, (M, classes).

    Raises:
        InputRejected: Fewer than two pictures, or a logit is NaN or ∞.
    """
    return Reference(
        pictures=pictures,
        by_width=calibrate(logits, labels),
        by_mass=calibrate(logits, labels, by="mass"),
        scaled=scale(logits, labels),
        spreads=spreads_of(logits),
        separations={
            name: {key: separation(each.of(logits), each.of(others)) for key, each in FAMILIARITIES.items()}
            for name, others in (strangers or {}).items()
        },
    )


def reference_of(weights_key: str, folder: Path = BUNDLED) -> Reference | None:
    """What is known of weights that come with the lab; None where there is nothing, or it is of other weights.

    Args:
        weights_key: Of `cnnlab.nets.weights.bundled_weights`.
        folder: Where weights and references lie.
    """
    weights, path = bundled_weights(folder).get(weights_key), _path(weights_key, folder)
    if weights is None or not path.exists():
        return None
    said = json.loads(path.read_text("utf-8"))
    return _read(said["reference"]) if said["sha256"] == weights.sha256 else None


def write_reference(reference: Reference, weights_key: str, folder: Path = BUNDLED) -> Path:
    """Put a reference beside the weights it is of.

    Args:
        reference: Of `measure`.
        weights_key: As in `reference_of`.
        folder: Likewise.

    Returns:
        The file, replaced where it existed.
    """
    said = {"sha256": bundled_weights(folder)[weights_key].sha256, "reference": _short(dataclasses.asdict(reference))}
    path = _path(weights_key, folder)
    path.write_text(json.dumps(said, separators=(",", ":"), allow_nan=False) + "\n", "utf-8")
    return path


def limits(reference: Reference, key: str) -> tuple[str, ...]:
    """How well a number tells pictures the net knows from others, in a sentence for each kind that was looked at.

    For some nets it is worse than chance: noise may look more familiar than any picture they were trained on.

    Args:
        reference: Of the net.
        key: Of `FAMILIARITIES`.
    """
    return tuple(
        f"Of 100 pairs with {name}, its own picture looks the more familiar one in {100 * areas[key]:.0f} "
        "(chance gives 50)."
        for name, areas in reference.separations.items()
    )


def _path(weights_key: str, folder: Path) -> Path:
    return folder / f"{weights_key}.reference.json"


def _short(value: Any) -> Any:
    """The same with numbers of six digits."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _short(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_short(each) for each in value]
    return value


def _read(said: dict[str, Any]) -> Reference:
    scaled = said["scaled"]
    return Reference(
        pictures=said["pictures"],
        by_width=_calibration(said["by_width"]),
        by_mass=_calibration(said["by_mass"]),
        scaled=Scaled(**{**scaled, **{name: _calibration(scaled[name]) for name in ("before", "after")}}),
        spreads={
            key: Spread(count=each["count"], values=tuple(each["values"])) for key, each in said["spreads"].items()
        },
        separations=said["separations"],
    )


def _calibration(said: dict[str, Any]) -> Calibration:
    return Calibration(**{**said, "bins": tuple(Bin(**each) for each in said["bins"])})
