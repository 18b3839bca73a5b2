"""The curves of a training run, while it goes and afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnlab.figures import palette
from cnnlab.ui.components import held, ignore, lut_hex, pack, view

if TYPE_CHECKING:
    from cnnlab.train.recipes import Published

_mount = view(
    Path(__file__).parent, "cnnlab_live_curves", '<div class="cl-root cl-curves" data-testid="live-curves">\n</div>'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Another run to compare with.

    Attributes:
        label: Its name for people.
        colour: "#rrggbb", of its own.
        history: What `History.to_data` gives.
    """

    label: str
    colour: str
    history: Mapping[str, Any]


def live_curves(
    *,
    key: str,
    url: str,
    history: Mapping[str, Any],
    is_live: bool,
    published: Published | None = None,
    overlays: Sequence[Overlay] = (),
    height: int = 260,
    on_pick: Callable[[], None] | None = None,
) -> int | None:
    """Show loss, accuracy, gap, learning rate, gradients, updates and dead units of a run, and where it stands.

    While the run goes on the browser listens to the server itself, and draws up to 20 times a second without a word
    to Python; what is handed over here is shown until the first message, and again if the connection fails. So hand
    over the same `history` for as long as the run goes on, or the message travels with every rerun for nothing.
    Zoom, hidden lines, smoothing and axis stay as the visitor has set them, also when the page is left and come
    back to.

    Args:
        key: Streamlit key.
        url: Path of the run's stream below the lab's own address: "/api/runs/ID/events".
        history: What `History.to_data` gives; {} where nothing is known yet.
        is_live: Whether the run waits or goes on, and there is something to listen to.
        published: What a tutorial says came out, drawn as hollow marks.
        overlays: Other runs, drawn behind.
        height: Of the two large charts, in CSS pixels.
        on_pick: Called when an epoch is picked, before the page runs.

    Returns:
        The epoch that was clicked last, 0 for the start, or None where none was.
    """
    header: dict[str, Any] = {
        # The browser gets a new key with every mount.
        "key": key,
        "url": url,
        "history": history,
        "isLive": is_live,
        "published": published
        and {
            "losses": published.losses,
            "trainAccuracies": published.train_accuracies,
            "testAccuracy": published.test_accuracy,
        },
        "overlays": [
            # Their layers are not drawn, and are most of what there is.
            {"label": one.label, "colour": one.colour, "history": {**one.history, "layers": None}}
            for one in overlays
        ],
        "height": height,
        "colours": {
            "train": palette.TRAIN,
            "validation": palette.VALIDATION,
            "healthy": palette.OKABE_ITO[2],
            "warning": palette.OKABE_ITO[5],
        },
        "lut": lut_hex(palette.sequential()),
    }
    header["digest"] = hashlib.sha256(pack(header)).hexdigest()[:32]
    state = _mount(key=key, data=pack(header), on_picked_epoch_change=on_pick or ignore)
    picked = held(state, "picked_epoch")
    is_epoch = isinstance(picked, int) and not isinstance(picked, bool) and picked >= 0
    return picked if is_epoch else None
