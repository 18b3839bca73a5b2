"""What a picture file says about itself, read without unpacking a pixel.

The five formats are walked here, chunk by chunk, and each yields a `Packed`: size, orientation, colour
profile, transparency, and a tidied copy of the file that holds the first picture and nothing else. The
libraries that unpack pixels see the tidied copy alone. Text, thumbnails, comments, further frames and a
million empty chunks, on which they would spend time and memory, never reach them.

Every walk is bounded: it costs a fixed number of steps, whatever the bytes claim.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from cnnlab.errors import InputRejected

ACCEPTED = "PNG, JPEG, WebP, GIF and BMP"

MAX_CHUNKS = 100_000  # A 20 MB PNG written with the usual 8 kB chunks has 2,500.
MAX_SCANS = 100  # A progressive JPEG has about 10. Each scan is a pass over the whole picture.
MAX_PROFILE_BYTES = 4_000_000  # CMYK printing profiles reach 2 MB.


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """One still picture, not unpacked yet.

    Attributes:
        kind: One of the five formats, as people write it.
        height: Height of the canvas in pixels, before it is turned upright.
        width: Width of the canvas.
        frame: Where the stored pixels lie on the canvas: top, left, height, width. The rest is transparent.
        stream: A minimal file of the same format that holds these pixels only.
        depth: Bits per sample.
        channels: Samples per pixel as stored (a palette index is one).
        palette: RGB triples for stored indices, or None.
        palette_alpha: Opacity of the first palette entries.
        transparent: The one stored colour that stands for "nothing here", in samples as stored.
        has_alpha: An opacity is stored with every pixel.
        orientation: EXIF orientation, 1 to 8.
        profile: ICC profile, or None.
        frames: Number of pictures in the file, or None if there are too many to count.
        passes: How often unpacking goes over the whole picture.
        working_bytes: What unpacking needs beside the unpacked pixels.
        coding: The way of storing where limits depend on it: "progressive", "interlaced", "lossless", "run lengths"
            or "".
    """

    kind: str
    height: int
    width: int
    stream: bytes
    frame: tuple[int, int, int, int] | None = None
    depth: int = 8
    channels: int = 3
    palette: bytes | None = None
    palette_alpha: bytes = b""
    transparent: tuple[int, ...] | None = None
    has_alpha: bool = False
    orientation: int = 1
    profile: bytes | None = None
    frames: int | None = 1
    passes: int = 1
    working_bytes: int = 0
    coding: str = ""


def read(data: bytes) -> Packed:
    """Recognise a picture by its first bytes and read its structure.

    Raises:
        InputRejected: It is none of the five formats, or its structure is broken.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _gif(data)
    if data.startswith(b"BM"):
        return _bmp(data)
    raise InputRejected(
        f"{_describe(data)}; the lab takes {ACCEPTED} pictures. Save it as PNG or JPEG and upload it again."
    )


def damaged(kind: str) -> InputRejected:
    """The refusal for a picture of a known format whose content does not hold together."""
    return InputRejected(
        f"This is a {kind} picture, but it is damaged or cut off; the lab takes whole {ACCEPTED} pictures. "
        "Open it in a picture program, save it again and upload the new file."
    )


def unusual(kind: str, how: str) -> InputRejected:
    """The refusal for a picture that is whole, but stored in a way the lab does not unpack."""
    return InputRejected(
        f"This is a {kind} picture stored as {how}; the lab takes the common kinds of {ACCEPTED}. "
        "Save it as a plain PNG or JPEG and upload it again."
    )


# How files begin that people take for pictures the lab would open. The first match is said.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"II*\x00", "a TIFF or camera raw picture"),
    (b"MM\x00*", "a TIFF or camera raw picture"),
    (b"II+\x00", "a TIFF picture"),
    (b"MM\x00+", "a TIFF picture"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (b"8BPS", "a Photoshop document"),
    (b"\x00\x00\x01\x00", "an icon (ICO)"),
    (b"\x00\x00\x02\x00", "a cursor (CUR)"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"qoif", "a QOI picture"),
    (b"DDS ", "a DDS texture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"SIMPLE  =", "a FITS picture"),
    (b"gimp xcf", "a GIMP document"),
    (b"\x8aMNG", "an MNG animation"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"RIFF", "a sound or a film"),
    (b"\x1aE\xdf\xa3", "a film"),
)
_FILE_TYPES: dict[bytes, str] = {
    b"avif": "an AVIF picture",
    b"avis": "an AVIF animation",
    b"heic": "a HEIC picture",
    b"heix": "a HEIC picture",
    b"hevc": "a HEIC animation",
    b"mif1": "a HEIC or AVIF picture",
    b"msf1": "a HEIC or AVIF animation",
    b"crx ": "a camera raw picture",
}


def _describe(data: bytes) -> str:
    """The first half of a refusal: what these bytes seem to be."""
    if not data:
        return "The file is empty"
    for start, what in _SIGNATURES:
        if data.startswith(start):
            return f"This looks like {what}"
    if data[4:8] == b"ftyp":
        return f"This looks like {_FILE_TYPES.get(data[8:12], 'a film')}"
    if data[128:132] == b"DICM":
        return "This looks like a DICOM picture"
    if re.match(rb"P[1-7]\s", data):
        return "This looks like a portable anymap (PNM)"
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<svg") or (head.startswith((b"<?xml", b"<!--")) and b"<svg" in head):
        return "This looks like an SVG drawing"
    if head.startswith((b"<!doctype html", b"<html")):
        return "This looks like a web page"
    if not any(head.strip(b"\x00")):
        return "The file holds nothing but blanks"
    if all(9 <= byte <= 13 or 32 <= byte < 127 for byte in head):
        return "This looks like text"
    return "This is not a picture in a format the lab knows"


def _orientation(exif: bytes) -> int:
    """EXIF orientation 1 to 8; 1 when there is none or the block is broken.

    The block is a TIFF header and a table of 12-byte entries. Only tag 274 of the first table is looked for,
    so a block with loops or wild offsets costs no more than a sound one.
    """
    exif = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 14:
        return 1
    (table,) = struct.unpack_from(order + "I", exif, 4)
    if table + 2 > len(exif):
        return 1
    (count,) = struct.unpack_from(order + "H", exif, table)
    for at in range(table + 2, min(table + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHI4s", exif, at)
        if tag == 274:
            layout = {1: "B", 3: "H", 4: "I"}.get(kind)
            number = struct.unpack_from(order + layout, value)[0] if layout else 1
            return number if 1 <= number <= 8 else 1
    return 1


# PNG


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Name, payload and "its checksum is right" of each chunk up to IEND that matters for the pixels."""
    at = 8
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            # The pixels may all be there: only what follows them can be missing without harm.
            if not name[:1].islower() and name != b"IEND":
                raise damaged("PNG")
            return
        if name == b"IEND":
            return
        if name in _PNG_NEEDED:
            payload = data[at + 8 : end - 4]
            (checksum,) = struct.unpack_from(">I", data, end - 4)
            yield name, payload, zlib.crc32(payload, zlib.crc32(name)) == checksum
        elif name[:1].isupper():
            raise damaged("PNG")  # A critical chunk nobody knows: the rest cannot be understood without it.
        at = end
    raise unusual("PNG", f"more than {MAX_CHUNKS} pieces")


_PNG_NEEDED = frozenset((b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"iCCP", b"sRGB", b"eXIf", b"acTL"))
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def _png(data: bytes) -> Packed:
    found: dict[bytes, bytes] = {}
    pixels: list[bytes] = []
    for name, payload, intact in _png_chunks(data):
        if not found and name != b"IHDR":
            raise damaged("PNG")
        if not intact:
            if name[:1].isupper():
                raise damaged("PNG")
            continue  # An ancillary chunk with a wrong checksum is as good as absent.
        if name == b"IDAT":
            pixels.append(payload)
        elif name == b"IHDR" and found:
            raise damaged("PNG")
        else:
            found.setdefault(name, payload)

    header = found.get(b"IHDR", b"")
    if len(header) != 13 or not pixels:
        raise damaged("PNG")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if depth not in _PNG_DEPTHS.get(colour, ()):
        raise damaged("PNG")
    channels = _PNG_SAMPLES[colour]

    palette = None
    if colour == 3:
        palette = found.get(b"PLTE")
        if not palette or len(palette) % 3 or len(palette) > 768:
            raise damaged("PNG")
    transparency = found.get(b"tRNS", b"")
    transparent = None
    if colour in (0, 2) and len(transparency) == 2 * channels:
        transparent = struct.unpack(f">{channels}H", transparency)

    chunks = [(b"IHDR", header), (b"IDAT", b"".join(pixels)), (b"IEND", b"")]
    if palette:
        chunks.insert(1, (b"PLTE", palette))
    return Packed(
        kind="PNG",
        height=height,
        width=width,
        stream=b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(*chunk) for chunk in chunks),
        depth=depth,
        channels=channels,
        palette=palette,
        palette_alpha=transparency if colour == 3 else b"",
        transparent=transparent,
        has_alpha=colour in (4, 6),
        orientation=_orientation(found.get(b"eXIf", b"")),
        # An sRGB chunk says the colours are standard already and overrules a profile beside it.
        profile=None if b"sRGB" in found else _png_profile(found.get(b"iCCP", b"")),
        frames=max(1, int.from_bytes(found.get(b"acTL", b"")[:4], "big")),
        passes=7 if interlaced else 1,
        coding="interlaced" if interlaced else "",
    )


def _png_chunk(name: bytes, payload: bytes) -> bytes:
    checksum = zlib.crc32(payload, zlib.crc32(name))
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", checksum)


def _png_profile(chunk: bytes) -> bytes | None:
    """The profile in an iCCP chunk: name, zero byte, method, zlib stream. Broken ones come back empty."""
    _, separator, packed = chunk.partition(b"\x00")
    if not separator:
        return None
    try:
        profile = zlib.decompressobj().decompress(packed[1:], MAX_PROFILE_BYTES + 1)
    except zlib.error:
        return b""
    return profile if len(profile) <= MAX_PROFILE_BYTES else b""


# JPEG

# The last 0xFF of a filling and the marker. Matching the whole filling would take time with its length squared.
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_JPEG_FRAMES = {
    0xC0: "",
    0xC1: "",
    0xC2: "progressive",
    0xC3: "a lossless JPEG",
    0xC5: "a layered JPEG",
    0xC6: "a layered JPEG",
    0xC7: "a layered JPEG",
    0xC9: "an arithmetic-coded JPEG",
    0xCA: "an arithmetic-coded JPEG",
    0xCB: "an arithmetic-coded JPEG",
    0xCD: "a layered JPEG",
    0xCE: "a layered JPEG",
    0xCF: "a layered JPEG",
}


def _jpeg_segments(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment from `at` on: start at the 0xFF byte, end behind the payload.

    After a scan header the search for the next marker skips the scan itself, since 0xFF in a scan is
    followed by 0x00 or a restart marker.
    """
    while match := _MARKER.search(data, at):
        marker = match[1][0]
        start = match.end() - 2
        if marker == 0xD9:  # end of image
            return
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:  # restarts and the like have no payload
            at = match.end()
            continue
        length = int.from_bytes(data[match.end() : match.end() + 2], "big")
        at = match.end() + length
        if length < 2 or at > len(data):
            raise damaged("JPEG")
        yield marker, start, at


def _jpeg(data: bytes) -> Packed:
    kept = [b"\xff\xd8"]
    frame: tuple[int, bytes] | None = None
    exif = b""
    profile_parts: dict[int, bytes] = {}
    scan_at = None
    for count, (marker, start, end) in enumerate(_jpeg_segments(data, 2)):
        if count > MAX_CHUNKS:
            raise unusual("JPEG", f"more than {MAX_CHUNKS} pieces")
        payload = data[start + 4 : end]
        if marker == 0xDA:  # start of scan
            scan_at = start
            break
        if marker in _JPEG_FRAMES:
            if frame:
                raise damaged("JPEG")
            frame = marker, payload
        elif marker == 0xE1 and payload.startswith(b"Exif\x00\x00"):
            exif = exif or payload
        elif marker == 0xE2 and payload.startswith(b"ICC_PROFILE\x00") and len(payload) > 14:
            profile_parts.setdefault(payload[12], payload[14:])
        # Of the application segments only these two say how colours are to be read.
        is_colour_hint = (marker == 0xE0 and payload.startswith(b"JFIF\x00")) or (
            marker == 0xEE and payload.startswith(b"Adobe")
        )
        if is_colour_hint or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(data[start:end])

    if scan_at is None or frame is None or len(frame[1]) < 6:
        raise damaged("JPEG")
    marker, header = frame
    coding = _JPEG_FRAMES[marker]
    if coding not in ("", "progressive"):
        raise unusual("JPEG", coding)
    depth, height, width, channels = struct.unpack_from(">BHHB", header)
    if depth != 8:
        raise unusual("JPEG", f"a {depth}-bit JPEG")
    if channels not in (1, 3, 4) or len(header) < 6 + 3 * channels:
        raise damaged("JPEG")

    scans = _jpeg_scans(data, scan_at)
    return Packed(
        kind="JPEG",
        height=height,
        width=width,
        stream=b"".join(kept) + data[scan_at:],
        channels=channels,
        orientation=_orientation(exif),
        profile=_jpeg_profile(profile_parts),
        passes=scans,
        working_bytes=_jpeg_coefficients(height, width, header) if coding or scans > 1 else 0,
        coding=coding,
    )


def _jpeg_scans(data: bytes, scan_at: int) -> int:
    """Number of scans, counted to `MAX_SCANS` + 1."""
    # Two bytes that look like a scan header may lie in a table or a thumbnail behind the picture, so this
    # count is an upper bound. It is exact when it is 1, which spares nearly all pictures the walk.
    if data.count(b"\xff\xda", scan_at) == 1:
        return 1
    scans = 0
    for count, (marker, _, _) in enumerate(_jpeg_segments_of_scans(data, scan_at)):
        scans += marker == 0xDA
        if scans > MAX_SCANS or count > MAX_CHUNKS:
            return MAX_SCANS + 1
    return scans


def _jpeg_segments_of_scans(data: bytes, scan_at: int) -> Iterator[tuple[int, int, int]]:
    """As `_jpeg_segments`, ending quietly where the file ends: unpacking will show what is missing."""
    try:
        yield from _jpeg_segments(data, scan_at)
    except InputRejected:
        return


def _jpeg_coefficients(height: int, width: int, header: bytes) -> int:
    """Bytes of the coefficients a JPEG in several scans keeps until the last one: two per sample."""
    factors = [(header[7 + 3 * i] >> 4 or 1, header[7 + 3 * i] & 15 or 1) for i in range(header[5])]
    most = max(x for x, _ in factors) * max(y for _, y in factors)
    return int(2 * height * width * sum(x * y for x, y in factors) / most)


def _jpeg_profile(parts: dict[int, bytes]) -> bytes | None:
    if not parts:
        return None
    if sorted(parts) != list(range(1, len(parts) + 1)):
        return b""  # A part is missing.
    profile = b"".join(parts[number] for number in sorted(parts))
    return profile if len(profile) <= MAX_PROFILE_BYTES else b""


# WebP


def _riff_chunks(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the payload of each chunk; a chunk that reaches beyond `end` is damage."""
    for _ in range(MAX_CHUNKS):
        if at + 8 > end:
            return
        name, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > end:
            raise damaged("WebP")
        yield name, at + 8, at + 8 + length
        at += 8 + length + (length & 1)
    raise unusual("WebP", f"more than {MAX_CHUNKS} pieces")


def _webp(data: bytes) -> Packed:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise damaged("WebP")
    canvas: tuple[int, int] | None = None
    first: dict[bytes, bytes] = {}
    place: tuple[int, int] | None = None
    exif = profile = None
    frames = 0
    for name, start, stop in _riff_chunks(data, 12, end):
        if name == b"VP8X" and stop - start >= 10 and canvas is None:
            canvas = 1 + _u24(data, start + 7), 1 + _u24(data, start + 4)
        elif name == b"ICCP" and profile is None:
            profile = data[start:stop] if stop - start <= MAX_PROFILE_BYTES else b""
        elif name == b"EXIF" and exif is None:
            exif = data[start:stop]
        elif name == b"ANMF":
            frames += 1
            if not first and stop - start > 16:
                place = 2 * _u24(data, start + 3), 2 * _u24(data, start)
                for inner, inner_start, inner_stop in _riff_chunks(data, start + 16, stop):
                    if inner in (b"VP8 ", b"VP8L", b"ALPH"):
                        first.setdefault(inner, data[inner_start:inner_stop])
        elif name in (b"VP8 ", b"VP8L", b"ALPH") and not frames:
            first.setdefault(name, data[start:stop])

    lossless = first.get(b"VP8L")
    lossy = first.get(b"VP8 ")
    if lossless is not None and len(lossless) >= 5 and lossless[0] == 0x2F:
        bits = int.from_bytes(lossless[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        has_alpha = bool(bits >> 28 & 1)
        stream = _riff((b"VP8L", lossless))
    elif lossy is not None and len(lossy) >= 10 and lossy[3:6] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", lossy, 6))
        alpha = first.get(b"ALPH")
        has_alpha = alpha is not None
        stream = _riff((b"VP8 ", lossy))
        if alpha is not None and width and height:
            sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
            stream = _riff((b"VP8X", b"\x10\x00\x00\x00" + sides), (b"ALPH", alpha), (b"VP8 ", lossy))
    else:
        raise damaged("WebP")

    top, left = place or (0, 0)
    canvas_height, canvas_width = canvas or (height, width)
    if top + height > canvas_height or left + width > canvas_width:
        raise damaged("WebP")
    if place is None and (height, width) != (canvas_height, canvas_width):
        raise damaged("WebP")
    return Packed(
        kind="WebP",
        height=canvas_height,
        width=canvas_width,
        frame=(top, left, height, width),
        stream=stream,
        channels=4 if has_alpha else 3,
        has_alpha=has_alpha,
        orientation=_orientation(exif or b""),
        profile=profile,
        frames=max(1, frames),
        coding="lossless" if lossless is not None else "",
    )


def _u24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def _riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        name + struct.pack("<I", len(payload)) + payload + b"\x00" * (len(payload) & 1) for name, payload in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


# GIF


def _gif(data: bytes) -> Packed:
    if len(data) < 13:
        raise damaged("GIF")
    screen_width, screen_height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13
    palette = None
    if flags & 0x80:
        palette = data[at : at + (6 << (flags & 7))]
        at += len(palette)

    transparent = None
    frames = 0
    steps = MAX_CHUNKS
    first: tuple[int, int, int, int, int, bytes] | None = None  # left, top, width, height, flags, pixel data
    while at < len(data) and steps > 0:
        introducer = data[at]
        if introducer == 0x2C and at + 10 <= len(data):  # image
            left, top, width, height, local = struct.unpack_from("<HHHHB", data, at + 1)
            at += 10
            if local & 0x80:
                if first is None:
                    palette = data[at : at + (6 << (local & 7))]
                at += 6 << (local & 7)
            frames += 1
            if first is None:
                pixels_at = at
                at, steps = _gif_skip(data, at + 1, steps)
                first = left, top, width, height, local, data[pixels_at:at] if steps > 0 else data[pixels_at:]
            else:
                at, steps = _gif_skip(data, at + 1, steps)
        elif introducer == 0x21 and at + 2 <= len(data):  # extension
            if data[at + 1] == 0xF9 and first is None and at + 7 <= len(data):
                transparent = data[at + 6] if data[at + 3] & 1 else None
            at, steps = _gif_skip(data, at + 2, steps)
        else:
            break  # The trailer, or garbage behind the frames that did come.
        steps -= 1

    if first is None:
        if steps <= 0:
            raise unusual("GIF", f"more than {MAX_CHUNKS} pieces")
        raise damaged("GIF")
    if palette is None or len(palette) < 6:
        # Without a table browsers fall back to one of their own; greys keep the shapes visible.
        palette = bytes(value for value in range(256) for _ in range(3))
    left, top, width, height, local, pixels = first
    alpha = bytearray(b"\xff" * 256)
    if transparent is not None:
        alpha[transparent] = 0
    descriptor = struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, local & 0x40)
    return Packed(
        kind="GIF",
        # Frames that stick out of the screen widen it; a screen of 0 × 0 px is common in old files.
        height=max(screen_height, top + height),
        width=max(screen_width, left + width),
        frame=(top, left, height, width),
        stream=b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + descriptor + pixels + b";",
        channels=1,
        palette=palette,
        palette_alpha=bytes(alpha) if transparent is not None else b"",
        frames=frames if steps > 0 else None,
    )


def _gif_skip(data: bytes, at: int, steps: int) -> tuple[int, int]:
    """Go over a row of sub-blocks: where it ends, and the steps left."""
    while steps > 0 and at < len(data):
        length = data[at]
        at += 1 + length
        if not length:
            break
        steps -= 1
    return at, steps


# BMP


def _bmp(data: bytes) -> Packed:
    if len(data) < 26:
        raise damaged("BMP")
    (header_size,) = struct.unpack_from("<I", data, 14)
    coding = ""
    if header_size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    elif header_size in (40, 52, 56, 64, 108, 124) and len(data) >= 14 + header_size:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        height = abs(height)  # A negative height says that rows run from top to bottom.
        coding = {0: "", 1: "run lengths", 2: "run lengths", 3: "", 6: ""}.get(compression, "other")
    else:
        raise damaged("BMP")
    if coding == "other":
        raise unusual("BMP", "a wrapper around another format")
    if width < 0 or bits not in (1, 4, 8, 16, 24, 32):
        raise damaged("BMP")
    return Packed(kind="BMP", height=height, width=width, stream=data, coding=coding)
