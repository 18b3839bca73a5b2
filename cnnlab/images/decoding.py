"""From uploaded bytes to an upright RGB picture, or to a refusal in plain words.

The only way in for pictures. The structure of the file is read first (`containers`), so that a picture too
large or too costly is refused before a pixel is unpacked. Then Pillow unpacks (OpenCV for WebP), and the
pixels are copied over in bands of rows: converted, laid on white where they are transparent, turned upright.
Bands keep the peak at the unpacked picture plus the result, 7 bytes a pixel.

Nothing is written to disk, no global setting of Pillow is changed, and any number of threads may decode at a
time.
"""

import hashlib
import io
import itertools
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageCms, JpegImagePlugin, PngImagePlugin

from cnnlab.errors import InputRejected
from cnnlab.images import colour, containers
from cnnlab.images.containers import ACCEPTED, MAX_SCANS, Packed, damaged

_Transform = ImageCms.ImageCmsTransform | None
# Small bands stay in the processor's cache: 8 rows of a 50-megapixel picture are copied three times as fast as 64.
# Bands that become columns are broader, since each of their rows is written to a cache line of its own.
_BAND_PIXELS = 1 << 16
_TURNED_BAND_PIXELS = 1 << 19


@dataclass(frozen=True, slots=True)
class Limits:
    """What a picture may cost.

    Attributes:
        max_bytes: Size of the file.
        max_pixels: Width times height.
        max_cpu_s: Processor time spent on one picture. The clock is looked at as unpacking goes on; it stops
            the rare picture that is within all other limits and yet very slow, such as a 50-megapixel PNG of
            noise.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000
    max_cpu_s: float = 0.95


LIMITS = Limits()


@dataclass(frozen=True, slots=True, eq=False)
class RgbImage:
    """An upright picture. Shared between threads and sessions, hence read-only; compared by `digest`.

    Attributes:
        pixels: Shape (H, W, 3), uint8, sRGB, read-only.
        notes: What was noticed or changed on the way in, in plain words.
        name: What to call it; the last part of an uploaded file's name.
    """

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()
    name: str = ""
    _digest: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            got = f"{self.pixels.dtype} {self.pixels.shape}"
            raise TypeError(f"pixels must be uint8 of shape (H, W, 3), got {got}")
        pixels = np.ascontiguousarray(self.pixels).view()
        pixels.flags.writeable = False
        object.__setattr__(self, "pixels", pixels)

    @property
    def height(self) -> int:
        """Rows."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns."""
        return self.pixels.shape[1]

    @property
    def digest(self) -> str:
        """SHA-256 over shape and pixels, hexadecimal; the key for everything computed from this picture.

        Worked out when first asked for: it costs about as much as unpacking the picture did.
        """
        if not self._digest:
            sha = hashlib.sha256(np.array(self.pixels.shape, dtype="<i8").tobytes())
            sha.update(self.pixels.data)
            object.__setattr__(self, "_digest", sha.hexdigest())
        return self._digest


def decode(data: bytes, name: str = "", *, limits: Limits = LIMITS) -> RgbImage:
    """Make an upright RGB picture of the bytes of a PNG, JPEG, WebP, GIF or BMP file.

    The format is told by content, never by name. The first frame of an animation is taken. Transparent parts
    are shown on white. Deeper samples are scaled to 8 bits, colours converted to sRGB where a profile asks
    for it. The notes of the result say which of these happened.

    Args:
        data: A whole file.
        name: What the file is called; only its last part is kept.
        limits: What the picture may cost.

    Raises:
        InputRejected: The bytes are no such picture, damaged, cut off, or beyond the limits. Nothing else is
            raised, whatever the bytes.
    """
    clock = _Clock(limits.max_cpu_s)
    if len(data) > limits.max_bytes:
        raise InputRejected(
            f"Picture file is {len(data) / 1e6:.1f} MB; the lab takes {ACCEPTED} up to "
            f"{limits.max_bytes / 1e6:g} MB. Scale it down or save it as JPEG and upload it again."
        )
    try:
        packed = containers.read(data)
        _check(packed, limits)
        clock.subject = f"{packed.kind} picture of {packed.width} × {packed.height} px"
        pixels, notes = _Canvas(packed, clock).paint()
    except InputRejected:
        raise
    except MemoryError:
        raise InputRejected(
            f"There is not enough memory to unpack this picture; the lab takes {ACCEPTED}. "
            "Scale it down and upload it again, or try later."
        ) from None
    except Exception:  # noqa: BLE001  Bytes from strangers make the libraries raise anything at all.
        raise damaged(_kind(data)) from None
    return RgbImage(pixels, notes, _last_part(name))


def _kind(data: bytes) -> str:
    return {b"\x89P": "PNG", b"\xff\xd8": "JPEG", b"RI": "WebP", b"GI": "GIF"}.get(data[:2], "BMP")


def _last_part(name: str) -> str:
    """What follows the last slash of a file name, printable characters only, at most 100."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(char for char in last if char.isprintable()).strip()[:100]


class _Clock:
    """Processor time of this thread; other sessions do not count against a picture."""

    def __init__(self, seconds: float) -> None:
        self._end = time.thread_time() + seconds
        self._seconds = seconds
        self.subject = "picture"

    def check(self) -> None:
        if time.thread_time() > self._end:
            raise _too_costly(f"This {self.subject} takes too long to unpack")


class _TimedStream(io.BytesIO):
    """A file in memory that looks at the clock whenever it is read from."""

    def __init__(self, data: bytes, clock: _Clock) -> None:
        super().__init__(data)
        self._clock = clock

    def read(self, size: int | None = -1, /) -> bytes:
        self._clock.check()
        return super().read(size)


def _too_costly(what: str) -> InputRejected:
    return InputRejected(
        f"{what}; the lab takes {ACCEPTED} that unpack within a second. "
        "Scale it down or save it as an ordinary JPEG and upload it again."
    )


# What unpacking may need beside the picture and the result (7 bytes a pixel), so that all stays below 400 MB.
_MAX_MEMORY = 390_000_000
_MAX_PASSED_PIXELS = 800_000_000  # 16 scans over 50 megapixels; usual are 10.
_MAX_RUN_LENGTH_PIXELS = 2_000_000  # Pillow unpacks these in Python, 0.3 µs a step.


def _check(packed: Packed, limits: Limits) -> None:
    """Refuse what would cost too much, before it does.

    Raises:
        InputRejected: No pixels, too many pixels, too much memory or too many passes.
    """
    num_pixels = packed.height * packed.width
    size = f"{packed.width} × {packed.height} px"
    if num_pixels == 0:
        raise InputRejected(
            f"This {packed.kind} picture is {size} and so holds no pixels; the lab takes {ACCEPTED} "
            "of at least 1 × 1 px. Save it again from a picture program and upload the new file."
        )
    if num_pixels > limits.max_pixels:
        raise InputRejected(
            f"Picture is {size} ({num_pixels / 1e6:.1f} megapixels); the lab takes {ACCEPTED} up to "
            f"{limits.max_pixels / 1e6:g} megapixels. Scale it down and upload it again."
        )
    if packed.kind == "JPEG":
        if packed.passes > MAX_SCANS or packed.passes * num_pixels > _MAX_PASSED_PIXELS:
            scans = f"over {MAX_SCANS}" if packed.passes > MAX_SCANS else str(packed.passes)
            raise _too_costly(f"This JPEG picture of {size} is stored in {scans} passes")
        if 4 * num_pixels + packed.working_bytes > _MAX_MEMORY:
            raise _too_costly(f"This progressive JPEG picture of {size} needs too much memory")
    if packed.kind == "WebP" and _webp_seconds(packed) > limits.max_cpu_s:
        raise _too_costly(f"This WebP picture of {size} takes too long to unpack")
    if packed.coding == "run lengths" and max(num_pixels, len(packed.stream)) > _MAX_RUN_LENGTH_PIXELS:
        raise _too_costly(f"This BMP picture of {size} is stored in run lengths, which take long")


def _webp_seconds(packed: Packed) -> float:
    """Processor time a WebP will take, since nothing looks at the clock while OpenCV unpacks one.

    Measured on one core of the machine the limits were set on, with pictures of 50 megapixels from flat to noise:
    lossy 12 ns a pixel and 45 ns a byte, lossless 4 and 65. Opacity is a plane of its own and laid on white.
    """
    pixel_ns, byte_ns = (4, 65) if packed.coding == "lossless" else (12, 45)
    if packed.has_alpha:
        pixel_ns += 6 if packed.coding == "lossless" else 10
    return (packed.height * packed.width * pixel_ns + len(packed.stream) * byte_ns) * 1e-9


class _Canvas:
    """The upright picture while it is painted, band by band."""

    def __init__(self, packed: Packed, clock: _Clock) -> None:
        self._packed = packed
        self._clock = clock
        self._notes: list[str] = []
        self._see_through = False
        self._frame = packed.frame or (0, 0, packed.height, packed.width)

    def paint(self) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """The pixels, shape (H, W, 3), and the notes."""
        packed = self._packed
        self._note_frames()
        bands = self._webp_bands() if packed.kind == "WebP" else self._pillow_bands()
        top, left, height, width = self._frame
        covers_all = (height, width) == (packed.height, packed.width)

        canvas_height, canvas_width = packed.height, packed.width
        if packed.orientation >= 5:
            canvas_height, canvas_width = canvas_width, canvas_height
        first = next(bands)  # Unpacks; only then is memory taken for the result.
        if first.shape[:2] == (packed.height, packed.width) and packed.orientation == 1:
            return self._finished(first)
        canvas = np.empty((canvas_height, canvas_width, 3), dtype=np.uint8)
        if not covers_all:
            canvas[:] = 255
            self._see_through = True
        # The canvas as it lies before it is turned upright: bands are written here and end up in their place.
        stored = _as_stored(canvas, packed.orientation)
        row = top
        for band in itertools.chain([first], bands):
            self._clock.check()
            place = stored[row : row + band.shape[0], left : left + width]
            # OpenCV turns a band quicker than NumPy writes to a turned view.
            _as_stored(place, _UNDOING[packed.orientation])[:] = _upright(band, packed.orientation)
            row += band.shape[0]
        return self._finished(canvas)

    def _finished(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        if self._packed.orientation != 1:
            self._notes.append("turned upright")
        if self._see_through:
            self._notes.append("transparent parts shown on white")
        return pixels, tuple(self._notes)

    def _note_frames(self) -> None:
        if self._packed.frames is None:
            self._notes.append("first frame of very many")
        elif self._packed.frames > 1:
            self._notes.append(f"first frame of {self._packed.frames}")

    def _pillow_bands(self) -> Iterator[NDArray[np.uint8]]:
        packed = self._packed
        _, _, height, width = self._frame
        image = _PLUGINS[packed.kind](_TimedStream(packed.stream, self._clock))
        if image.size != (width, height):
            raise damaged(packed.kind)
        # Pieces of 16 kB unpack to 16 MB at most, so that the clock is looked at often enough.
        image.decodermaxblock = 1 << 14 if packed.kind == "PNG" else 1 << 16
        image.load()
        if packed.palette is not None:
            image.putpalette(self._palette())
        convert = self._conversion(image.mode)
        rows = self._band_rows(width)
        for top in range(0, height, rows):
            yield convert(image.crop((0, top, width, min(top + rows, height))))

    def _band_rows(self, width: int) -> int:
        return max(1, (_TURNED_BAND_PIXELS if self._packed.orientation >= 5 else _BAND_PIXELS) // width)

    def _palette(self) -> bytes:
        """The colour table laid on white, filled up to 256 entries."""
        packed = self._packed
        assert packed.palette is not None
        table = np.zeros((256, 3), dtype=np.uint16)
        given = np.frombuffer(packed.palette, dtype=np.uint8)
        given = given[: len(given) // 3 * 3].reshape(-1, 3)
        table[: len(given)] = given
        alpha = np.full((256, 1), 255, dtype=np.uint16)
        given = np.frombuffer(packed.palette_alpha, dtype=np.uint8)[:256]
        alpha[: len(given), 0] = given
        self._see_through = bool((given < 255).any())
        return ((table * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8).tobytes()

    def _conversion(self, mode: str) -> Callable[[Image.Image], NDArray[np.uint8]]:
        """How a band of Pillow mode `mode` becomes (h, W, 3) uint8."""
        packed = self._packed
        num_pixels = packed.height * packed.width
        if packed.depth == 16:
            kind = "greys" if packed.channels <= 2 else "colours"
            self._notes.append(f"16-bit {kind} scaled to 8 bits")
        # Opacity rides along untouched, so the profile sees the colours alone.
        plain_mode = {"RGBA": "RGB", "LA": "L", "P": "RGB", "1": "L", "I;16": "L"}.get(mode, mode)
        conversion = colour.to_srgb(packed.profile, plain_mode, num_pixels)
        if conversion.note:
            self._notes.append(conversion.note)
        transform = conversion.transform
        match mode:
            case "RGB" | "L" | "1" | "P" | "CMYK":
                if packed.transparent is not None:
                    return lambda band: self._keyed(np.asarray(band), _to_rgb(band, plain_mode, transform))
                return lambda band: _to_rgb(band, plain_mode, transform)
            case "RGBA" | "LA":
                return lambda band: self._on_white(band, plain_mode, transform)
            case "I;16":
                return lambda band: self._deep_grey(band, transform)
        raise damaged(packed.kind)

    def _on_white(self, band: Image.Image, plain_mode: str, transform: _Transform) -> NDArray[np.uint8]:
        alpha = band.getchannel("A")
        rgb = _rgb_image(band.convert(plain_mode), plain_mode, transform)
        if alpha.getextrema() == (255, 255):
            return _array(rgb)
        self._see_through = True
        paper = Image.new("RGB", band.size, "white")
        paper.paste(rgb, mask=alpha)
        return _array(paper)

    def _deep_grey(self, band: Image.Image, transform: _Transform) -> NDArray[np.uint8]:
        # Pillow's own way from 16 bits to 8 cuts everything above 255 off to white.
        samples = np.asarray(band)
        grey = Image.fromarray(cv2.convertScaleAbs(samples, alpha=255 / 65535))
        return self._keyed(samples, _to_rgb(grey, "L", transform))

    def _keyed(self, samples: NDArray[np.generic], rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Show the one transparent colour as white; `samples` as unpacked, (h, W) or (h, W, 3)."""
        key = self._packed.transparent
        if key is None:
            return rgb
        depth = self._packed.depth
        if len(key) == 3:
            # Of 16-bit colours Pillow keeps the upper half, so the key is compared by its upper half too.
            hit = (samples == np.array(key) >> (depth - 8)).all(axis=2)
        elif samples.dtype == bool or depth == 16:
            hit = samples == key[0]
        else:
            hit = samples == key[0] * 255 // ((1 << depth) - 1)
        if hit.any():
            self._see_through = True
            rgb = rgb.copy()
            rgb[hit] = 255
        return rgb

    def _webp_bands(self) -> Iterator[NDArray[np.uint8]]:
        # Pillow unpacks WebP as an animation: three copies at 4 bytes a pixel, 800 MB for 50 megapixels.
        packed = self._packed
        _, _, height, width = self._frame
        flags = cv2.IMREAD_UNCHANGED if packed.has_alpha else cv2.IMREAD_COLOR_RGB
        data = np.frombuffer(packed.stream, dtype=np.uint8)
        pixels = cv2.imdecode(data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is None or pixels.shape[:2] != (height, width):
            raise damaged(packed.kind)
        has_alpha = pixels.shape[2] == 4
        convert = self._conversion("RGBA" if has_alpha else "RGB")
        if not packed.has_alpha and packed.profile is None:
            yield pixels.astype(np.uint8, copy=False)  # All in one band: there is nothing to convert.
            return
        reorder = {True: cv2.COLOR_BGRA2RGBA, False: cv2.COLOR_BGR2RGB}[has_alpha]
        rows = self._band_rows(width)
        for top in range(0, height, rows):
            band = pixels[top : top + rows]
            yield convert(Image.fromarray(cv2.cvtColor(band, reorder) if packed.has_alpha else band))


_PLUGINS = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}


def _rgb_image(band: Image.Image, mode: str, transform: _Transform) -> Image.Image:
    if transform is None:
        return band if band.mode == "RGB" else band.convert("RGB")
    converted = transform.apply(band if band.mode == mode else band.convert(mode))
    assert isinstance(converted, Image.Image)
    return converted


def _to_rgb(band: Image.Image, mode: str, transform: _Transform) -> NDArray[np.uint8]:
    return _array(_rgb_image(band, mode, transform))


def _array(band: Image.Image) -> NDArray[np.uint8]:
    return np.frombuffer(band.tobytes(), dtype=np.uint8).reshape(band.height, band.width, 3)


def _as_stored(upright: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A view of the upright canvas (H, W, 3) in which pixel (row, column) is the stored one.

    EXIF names the sides on which the stored row 0 and column 0 lie in the upright picture: 1 top left, 2 top
    right, 3 bottom right, 4 bottom left, and 5 to 8 left top, right top, right bottom, left bottom.
    """
    match orientation:
        case 2:
            return upright[:, ::-1]
        case 3:
            return upright[::-1, ::-1]
        case 4:
            return upright[::-1]
        case 5:
            return upright.swapaxes(0, 1)
        case 6:  # stored rows are upright columns, the first of them rightmost
            return upright[:, ::-1].swapaxes(0, 1)
        case 7:
            return upright[::-1, ::-1].swapaxes(0, 1)
        case 8:
            return upright[::-1].swapaxes(0, 1)
    return upright


# The orientation whose view takes that of another back: a quarter turn by the other quarter turn.
_UNDOING = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


def _upright(stored: NDArray[np.uint8], orientation: int) -> np.ndarray:
    """Stored pixels (H, W, 3) turned upright, copied."""
    match orientation:
        case 2:
            return cv2.flip(stored, 1)
        case 3:
            return cv2.rotate(stored, cv2.ROTATE_180)
        case 4:
            return cv2.flip(stored, 0)
        case 5:
            return cv2.transpose(stored)
        case 6:
            return cv2.rotate(stored, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            return cv2.transpose(cv2.rotate(stored, cv2.ROTATE_180))
        case 8:
            return cv2.rotate(stored, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return stored
