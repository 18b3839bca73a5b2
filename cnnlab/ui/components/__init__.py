"""Views that live in the browser: what reacts to hover, drag, keys or play.

Each is a folder with a Python wrapper, `view.js`, `math.js` and `style.css`; `shared` holds what they have in
common. Data goes in once, Python hears of commits only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from streamlit.components.v2 import component

if TYPE_CHECKING:
    from numpy.typing import NDArray

Mount: TypeAlias = Callable[..., Any]

_HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import\s[^;]*?from\s+"(\.{1,2}/[^"]+)";\n', re.MULTILINE)
_WHOLE_LINE_COMMENT = re.compile(r"^[ \t]*(/\*\*.*?\*/|//[^\n]*)[ \t]*\n", re.MULTILINE | re.DOTALL)
_EXPORT = re.compile(r"^export (?=(?:const|let|function|async|class)\b)", re.MULTILINE)


def view(folder: Path, name: str, html: str) -> Mount:
    """Register the view of a folder with Streamlit.

    Call it once, when the module is imported: registering a name again is a warning.

    Args:
        folder: Holds `view.js`, whose default export draws, and `style.css`.
        name: Name of the view in the whole app.
        html: What is there before the script has run.

    Returns:
        The callable that mounts the view.
    """
    css = (_HERE / "shared" / "base.css").read_text("utf-8") + (folder / "style.css").read_text("utf-8")
    # A string with no line break inside would be taken for a file name.
    return component(name, html=f"\n{html}\n<!-- \n -->", css=css, js=joined(folder / "view.js"))


def joined(entry: Path) -> str:
    """One JavaScript module out of a file and all it imports by relative paths, dependencies first.

    Streamlit hands inline scripts to the browser as one module that cannot import its neighbours. Comments that
    fill whole lines are left out, because the script travels with every message to the view.

    Args:
        entry: The file whose default export is kept. Everything else shares one scope, so names must differ.
    """
    parts: list[str] = []
    seen: set[Path] = set()

    def add(path: Path) -> None:
        if path in seen:
            return
        seen.add(path)
        source = path.read_text("utf-8")
        for relative in _IMPORT.findall(source):
            add((path.parent / relative).resolve())
        parts.append(_EXPORT.sub("", _WHOLE_LINE_COMMENT.sub("", _IMPORT.sub("", source))))

    add(entry.resolve())
    return "\n".join(parts)


def pack(header: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Header and body as the one bytes object a view can be given.

    Layout: length of the header (4 bytes, little endian), the header as JSON, the body. `unpack` in
    `shared/bytes.js` reads it.
    """
    text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    return len(text).to_bytes(4, "little") + text + body


def unpack(message: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and body of what `pack` has made."""
    end = 4 + int.from_bytes(message[:4], "little")
    return json.loads(message[4:end]), message[end:]


def lut_hex(lut: NDArray[np.uint8]) -> str:
    """A colour table of shape (256, 3) as the text the views read."""
    if lut.shape != (256, 3) or lut.dtype != np.uint8:
        raise TypeError(f"A colour table is uint8 of shape (256, 3), got {lut.dtype} {lut.shape}.")
    return lut.tobytes().hex()


def held(state: Any, name: str) -> Any:
    """What a view's state holds under a name. It came from a browser: None for anything unexpected."""
    return state.get(name) if hasattr(state, "get") else None


def ignore() -> None:
    """Do nothing: Streamlit keeps a view's state only under names that have a callback."""
