"""Fetch one file over the network, wholly or not at all.

The file grows under another name in the same folder and is renamed once its checksum is right, so nobody ever meets
half a file: not another thread, not another process, not the lab after it was killed. Threads of one process take
turns, and whoever waited finds the file there. Two processes may both fetch it; the later one replaces it by its equal.
"""

import contextlib
import errno
import hashlib
import http.client
import shutil
import ssl
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from cnnlab.errors import LabError, ResourceExhausted, RunFailed

_CHUNK_BYTES = 1 << 17
_SILENCE_S = 20.0  # how long a server may send nothing
_STALE_S = 24 * 3600.0
_ONE_AT_A_TIME = threading.Lock()

Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]


def download(
    url: str,
    path: Path,
    *,
    sha256: str,
    num_bytes: int,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> None:
    """Fetch `url` into `path`, unless another thread did so while this one waited for its turn.

    Args:
        url: http or https.
        path: Where the file goes; its folder is made.
        sha256: With which hex digits the checksum begins: all 64, or as many as are known.
        num_bytes: About how large the file is; a server that sends 2 % and 1 MB more is cut off.
        progress: Called with the bytes received and the bytes in all, every 128 KiB.
        cancelled: Asked as often; True ends the download.

    Raises:
        RunFailed: It was cancelled, the network or the server failed, or what came is not the file.
        ResourceExhausted: The disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _turn(cancelled):
            if not path.exists():
                _remove_stale(path)
                _check_room(path.parent, num_bytes)
                _fetch(url, path, sha256, num_bytes, progress, cancelled)
    except (OSError, http.client.HTTPException) as error:
        raise _in_words(error, url, path) from error


def _fetch(
    url: str, path: Path, sha256: str, num_bytes: int, progress: Progress | None, cancelled: Cancelled | None
) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False) as part:
        try:
            found = _receive(url, part, num_bytes, progress, cancelled)
            if not found.startswith(sha256):
                raise RunFailed(
                    f"What came from {url} was damaged on the way or is another file: its checksum begins with "
                    f"{found[: len(sha256)]}, not with {sha256}. It was deleted. Try again, or {_by_hand(url, path)}"
                )
            part.close()  # Windows renames no open file.
            Path(part.name).replace(path)
        finally:
            part.close()
            Path(part.name).unlink(missing_ok=True)


def _receive(url: str, part: IO[bytes], num_bytes: int, progress: Progress | None, cancelled: Cancelled | None) -> str:
    """Write down what the server sends, and return its SHA-256 in hex."""
    limit = int(num_bytes * 1.02) + 1_000_000
    digest = hashlib.sha256()
    received = 0
    with urllib.request.urlopen(url, timeout=_SILENCE_S) as response:  # noqa: S310 - addresses come from our tables
        total = response.length or num_bytes
        while True:
            _check_cancelled(cancelled)
            chunk = response.read(_CHUNK_BYTES)
            if not chunk:
                break
            received += len(chunk)
            if max(received, total) > limit:
                raise RunFailed(
                    f"{url} sends {_megabytes(max(received, total))} or more in place of {_megabytes(num_bytes)}: "
                    "something else answers there, perhaps a proxy. Open the address in a browser to see what."
                )
            part.write(chunk)
            digest.update(chunk)
            if progress:
                progress(received, total)
        if response.length:  # what is still to come, by the server's own count
            raise ConnectionError(f"it broke off after {_megabytes(received)} of {_megabytes(total)}")
    return digest.hexdigest()


@contextlib.contextmanager
def _turn(cancelled: Cancelled | None) -> Iterator[None]:
    """Wait until no other thread downloads, and leave the queue when cancelled."""
    while not _ONE_AT_A_TIME.acquire(timeout=0.1):
        _check_cancelled(cancelled)
    try:
        yield
    finally:
        _ONE_AT_A_TIME.release()


def _check_cancelled(cancelled: Cancelled | None) -> None:
    if cancelled and cancelled():
        raise RunFailed("The download was cancelled and nothing of it was kept. Start it again when you need it.")


def _remove_stale(path: Path) -> None:
    """Remove what a lab that was killed has left of this file; younger parts may be another process at work."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        with contextlib.suppress(FileNotFoundError):  # that process has just finished
            if time.time() - part.stat().st_mtime > _STALE_S:
                part.unlink()


def _check_room(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise ResourceExhausted(
            f"The file takes {_megabytes(num_bytes)}, and {folder} has room for {_megabytes(free)}. Free some space "
            "there, or start the lab with CNNLAB_DATA_DIR set to a folder on a larger disk."
        )


def _in_words(error: OSError | http.client.HTTPException, url: str, path: Path) -> LabError:
    # What happens while connecting comes wrapped; what happens on the disk does not.
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(error, urllib.error.HTTPError):
        error.close()  # It is the response, too, and holds its socket.
        return RunFailed(
            f"The server answers {error.code} {error.reason} for {url}. Try again later, or {_by_hand(url, path)}"
        )
    if isinstance(reason, ssl.SSLCertVerificationError):
        return RunFailed(
            f"The certificate of the server could not be checked ({reason}), so nothing was fetched "
            f"from {url}. Set SSL_CERT_FILE to the certificates your network uses (with python.org's Python on macOS, "
            f"run Install Certificates.command), or {_by_hand(url, path)}"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceExhausted(
            f"The disk that holds {path.parent} is full. Free some space there, or start the lab with CNNLAB_DATA_DIR "
            "set to a folder on a larger disk."
        )
    if isinstance(error, PermissionError):
        return RunFailed(
            f"The lab may not write to {path.parent}. Grant it, or start the lab with CNNLAB_DATA_DIR set to another "
            "folder."
        )
    said = str(reason) or type(reason).__name__
    return RunFailed(f"{url} could not be fetched: {said}. Check the network and try again, or {_by_hand(url, path)}")


def _by_hand(url: str, path: Path) -> str:
    return f"fetch {url} on another machine and put the file {path.name} into {path.parent}."


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB"
