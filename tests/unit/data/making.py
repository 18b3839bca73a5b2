"""Picture files and zips for the tests."""

import io
import stat
import zipfile
from collections.abc import Iterable

import numpy as np
from PIL import Image


def png(level: int = 0, size: tuple[int, int] = (12, 10), kind: str = "PNG") -> bytes:
    """A file of one colour, (level, 255 − level, 7), of a width and height."""
    stream = io.BytesIO()
    Image.new("RGB", size, (level, 255 - level, 7)).save(stream, kind)
    return stream.getvalue()


def noise_jpeg(seed: int, size: tuple[int, int] = (40, 30), **how: object) -> bytes:
    """Noise under a soft slope; grey where the mode says so."""
    mode = how.pop("mode", "RGB")
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(str(mode)).save(stream, "JPEG", **how)
    return stream.getvalue()


def zipped(files: Iterable[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return stream.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info
