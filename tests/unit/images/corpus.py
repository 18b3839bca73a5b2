"""Odd and broken pictures, built in code, each with the answer it must get.

Colours expected are worked out here from the numbers that went into a file, never by decoding it.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

HEIGHT, WIDTH = 12, 20


@dataclass(frozen=True, slots=True)
class Case:
    """A file and what must become of it.

    Attributes:
        name: Says what is odd about it.
        data: The file.
        shape: (H, W) of the picture, or None when it must be refused, or () when either is right.
        mean: Mean colour, or None when it is not known beforehand.
        says: Part of a note or of the refusal.
        within: How far the mean may be off; lossy formats need room.
    """

    name: str
    data: bytes
    shape: tuple[int, ...] | None
    mean: tuple[float, ...] | None = None
    says: str = ""
    within: float = 1.0


# Building blocks


def picture() -> np.ndarray:
    """Four quarters of different colours, so that no two orientations look alike."""
    pixels = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    top, left = HEIGHT // 2, WIDTH // 2
    pixels[:top, :left] = 250, 10, 20
    pixels[:top, left:] = 10, 200, 30
    pixels[top:, :left] = 20, 40, 220
    pixels[top:, left:] = 240, 230, 60
    return pixels


def mean_of(pixels: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in pixels.reshape(-1, 3).mean(axis=0))


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, payload: bytes, checksum: int | None = None) -> bytes:
    value = zlib.crc32(name + payload) if checksum is None else checksum
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", value)


PNG = b"\x89PNG\r\n\x1a\n"


def ihdr(width: int, height: int, depth: int, colour: int, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def png(rows: bytes, width: int, height: int, depth: int, colour: int, before: bytes = b"") -> bytes:
    """`rows` without filter bytes."""
    stride = len(rows) // height
    filtered = b"".join(b"\x00" + rows[at : at + stride] for at in range(0, len(rows), stride))
    pixels = chunk(b"IDAT", zlib.compress(filtered))
    return PNG + ihdr(width, height, depth, colour) + before + pixels + chunk(b"IEND", b"")


def exif(orientation: int, order: str = "MM", kind: int = 3) -> bytes:
    mark = ">" if order == "MM" else "<"
    value = struct.pack(mark + {1: "B3x", 3: "H2x", 4: "I"}[kind], orientation)
    entry = struct.pack(mark + "HHI", 274, kind, 1) + value
    return order.encode() + struct.pack(mark + "HIH", 42, 8, 1) + entry + bytes(4)


def jpeg_segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def into_jpeg(data: bytes, *segments: bytes) -> bytes:
    return data[:2] + b"".join(segments) + data[2:]


def gif(
    screen: tuple[int, int],
    frame: tuple[int, int, int, int],
    colours: list[tuple[int, int, int]],
    index: int = 1,
    transparent: int | None = None,
    frames: int = 1,
    before: bytes = b"",
) -> bytes:
    """Frames of one colour: `screen` is (W, H), `frame` is (left, top, W, H)."""
    table = b"".join(bytes(colour) for colour in colours).ljust(12, b"\x00")
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x81, 0, 0) + table
    control = b""
    if transparent is not None:
        control = b"!\xf9\x04" + struct.pack("<BHB", 1, 0, transparent) + b"\x00"
    # Codes of 3 bits with a clear code before every pixel need no code table.
    bits = "".join(f"{code:03b}"[::-1] for _ in range(frame[2] * frame[3]) for code in (4, index)) + "101"
    packed = bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))
    blocks = b"".join(bytes([len(packed[at : at + 255])]) + packed[at : at + 255] for at in range(0, len(packed), 255))
    image = control + b"," + struct.pack("<HHHHB", *frame, 0) + b"\x02" + blocks + b"\x00"
    return head + before + image * frames + b";"


def bmp(width: int, height: int, bits: int, rows: bytes, compression: int = 0, table: bytes = b"") -> bytes:
    offset = 14 + 40 + len(table)
    head = struct.pack("<2sIHHI", b"BM", offset + len(rows), 0, 0, offset)
    colours = len(table) // 4 if bits <= 8 else 0
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(rows), 0, 0, colours, 0)
    return head + info + table + rows


def riff(*chunks: tuple[bytes, bytes], size: int | None = None) -> bytes:
    body = b"".join(
        name + struct.pack("<I", len(payload)) + payload + b"\x00" * (len(payload) & 1) for name, payload in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body) if size is None else size) + b"WEBP" + body


def webp_payload(data: bytes) -> tuple[bytes, bytes]:
    """Name and payload of the first chunk of a simple WebP."""
    length = int.from_bytes(data[16:20], "little")
    return data[12:16], data[20 : 20 + length]


def sound() -> dict[str, bytes]:
    """One sound file of each format."""
    image = Image.fromarray(picture())
    return {
        "PNG": save(image, "PNG"),
        "JPEG": save(image, "JPEG", quality=95, subsampling=0),
        "progressive JPEG": save(image, "JPEG", quality=95, progressive=True),
        "WebP": save(image, "WEBP", quality=95),
        "lossless WebP": save(image, "WEBP", lossless=True),
        "GIF": save(image.quantize(4), "GIF"),
        "BMP": save(image, "BMP"),
    }


# The cases


def cases() -> Iterator[Case]:
    yield from _modes()
    yield from _deep_and_keyed()
    yield from _orientations()
    yield from _profiles()
    yield from _animations()
    yield from _headers()
    yield from _foreign()
    yield from _truncated()
    yield from _flipped()
    yield from _odd_but_sound()


def _modes() -> Iterator[Case]:
    pixels = picture()
    image = Image.fromarray(pixels)
    size = (HEIGHT, WIDTH)
    for kind, data in sound().items():
        yield Case(f"{kind} of four colours", data, size, mean_of(pixels), within=8.0)
    grey = Image.new("L", (WIDTH, HEIGHT), 77)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP"):
        yield Case(f"grey {kind}", save(grey, kind), size, (77, 77, 77), within=2.0)
        yield Case(f"1 × 1 {kind}", save(Image.new("RGB", (1, 1), (9, 99, 199)), kind), (1, 1), (9, 99, 199), within=9)
        wide = Image.new("RGB", (3000, 1), (50, 60, 70))
        yield Case(f"one row as {kind}", save(wide, kind), (1, 3000), (50, 60, 70), within=4)
        tall = Image.new("RGB", (1, 3000), (50, 60, 70))
        yield Case(f"one column as {kind}", save(tall, kind), (3000, 1), (50, 60, 70), within=4)
    bilevel = Image.fromarray(np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 4 == 0)
    for kind in ("PNG", "GIF", "BMP"):
        yield Case(f"bilevel {kind}", save(bilevel, kind), size, (63.75,) * 3)
    half = 0.5 * 200 + 0.5 * 255
    for alpha, mean in ((0, 255.0), (255, 200.0), (128, 200 * 128 / 255 + 255 * 127 / 255)):
        note = "" if alpha == 255 else "transparent parts shown on white"
        rgba = Image.new("RGBA", (WIDTH, HEIGHT), (200, 200, 200, alpha))
        yield Case(f"PNG of opacity {alpha}", save(rgba, "PNG"), size, (mean,) * 3, note)
        yield Case(f"LA PNG of opacity {alpha}", save(rgba.convert("LA"), "PNG"), size, (mean,) * 3, note)
        yield Case(f"WebP of opacity {alpha}", save(rgba, "WEBP", lossless=True, exact=True), size, (mean,) * 3, note)
        yield Case(f"lossy WebP of opacity {alpha}", save(rgba, "WEBP", exact=True), size, (mean,) * 3, note, 3)
    palette = Image.new("P", (WIDTH, HEIGHT), 1)
    palette.putpalette([0, 0, 0, 200, 200, 200])
    palette.paste(0, (0, 0, WIDTH // 2, HEIGHT))
    yield Case("palette PNG", save(palette, "PNG"), size, (100,) * 3)
    note = "transparent parts shown on white"
    yield Case("palette PNG, one entry clear", save(palette, "PNG", transparency=0), size, (half,) * 3, note)
    table = bytes([255, 128])
    mixed = (0 + (200 * 128 + 255 * 127) / 255) / 2
    yield Case("palette PNG, one entry half clear", save(palette, "PNG", transparency=table), size, (mixed,) * 3, note)
    yield Case("palette GIF, one entry clear", save(palette, "GIF", transparency=0), size, (half,) * 3, note)
    for cmyk, mean in (((0, 0, 0, 0), (255,) * 3), ((255, 0, 0, 0), (0, 255, 255)), ((0, 0, 0, 255), (0,) * 3)):
        data = save(Image.new("CMYK", (WIDTH, HEIGHT), cmyk), "JPEG", quality=95)
        yield Case(f"CMYK JPEG {cmyk}", data, size, mean, within=4)
    for subsampling in (0, 1, 2):
        for progressive in (False, True):
            data = save(image, "JPEG", quality=95, subsampling=subsampling, progressive=progressive)
            yield Case(f"JPEG subsampled {subsampling}, {progressive=}", data, size, mean_of(pixels), within=8)
    yield Case("JPEG kept as RGB", save(image, "JPEG", quality=95, keep_rgb=True), size, mean_of(pixels), within=4)
    for bits, table_size in ((1, 2), (4, 16), (8, 256)):
        table = bytes(value for i in range(table_size) for value in (30, 20, 10 + (i == 1), 0))
        rows = bytes(((WIDTH * bits + 31) // 32) * 4 * HEIGHT)
        yield Case(f"{bits}-bit BMP", bmp(WIDTH, HEIGHT, bits, rows, table=table), size, (10, 20, 30))
    stripe = struct.pack("<H", 0b0_11111_00000_00000) * WIDTH
    yield Case("16-bit BMP", bmp(WIDTH, HEIGHT, 16, stripe * HEIGHT), size, (255, 0, 0))
    yield Case("32-bit BMP", bmp(WIDTH, HEIGHT, 32, bytes([30, 20, 10, 0]) * WIDTH * HEIGHT), size, (10, 20, 30))
    yield Case("top-down BMP", bmp(WIDTH, -HEIGHT, 24, bytes([30, 20, 10]) * WIDTH * HEIGHT), size, (10, 20, 30))
    table = bytes([0, 0, 0, 0, 30, 20, 10, 0]).ljust(1024, b"\x00")
    run = bytes([WIDTH, 1, 0, 0]) * HEIGHT + b"\x00\x01"
    yield Case("run-length BMP", bmp(WIDTH, HEIGHT, 8, run, 1, table), size, (10, 20, 30))
    yield Case("huge run-length BMP", bmp(5000, 5000, 8, run, 1, table), None, says="run lengths")
    yield Case("BMP around a JPEG", bmp(WIDTH, HEIGHT, 0, sound()["JPEG"], 4), None)


def _deep_and_keyed() -> Iterator[Case]:
    size = (4, 256)
    ramp = (np.arange(256) * 257).astype(">u2")
    rows = np.tile(ramp, (4, 1)).tobytes()
    note = "16-bit greys scaled to 8 bits"
    yield Case("16-bit grey ramp", png(rows, 256, 4, 16, 0), size, (127.5,) * 3, note)
    dim = np.full((4, 256), 300, dtype=">u2").tobytes()
    yield Case("16-bit grey, nearly black", png(dim, 256, 4, 16, 0), size, (300 * 255 / 65535,) * 3, note)
    key = chunk(b"tRNS", struct.pack(">H", 300))
    yield Case("16-bit grey, all clear", png(dim, 256, 4, 16, 0, key), size, (255,) * 3, "shown on white")
    colour = np.tile(np.array([0x1234, 0x8000, 0xFFFF], dtype=">u2"), (4, 256)).tobytes()
    yield Case("16-bit colours", png(colour, 256, 4, 16, 2), size, (0x12, 0x80, 0xFF), "16-bit colours")
    key = chunk(b"tRNS", struct.pack(">HHH", 0x1234, 0x8000, 0xFFFF))
    yield Case("16-bit colours, all clear", png(colour, 256, 4, 16, 2, key), size, (255,) * 3, "shown on white")
    clear = np.tile(np.array([0x1234, 0x8000, 0xFFFF, 0], dtype=">u2"), (4, 256)).tobytes()
    yield Case("16-bit colours of opacity 0", png(clear, 256, 4, 16, 6), size, (255,) * 3, "shown on white")
    deep = np.tile(np.array([0x4000, 0xFFFF], dtype=">u2"), (4, 256)).tobytes()
    yield Case("16-bit grey with opacity", png(deep, 256, 4, 16, 4), size, (0x40,) * 3, note)
    for depth in (1, 2, 4, 8):
        most = (1 << depth) - 1
        rows = bytes(256 * depth // 8 * 4)
        white = bytes([255]) * len(rows)
        for name, content, level in (("black", rows, 0), ("white", white, most)):
            mean = (255.0 * (level > 0),) * 3
            yield Case(f"{depth}-bit grey, {name}", png(content, 256, 4, depth, 0), size, mean)
            key = chunk(b"tRNS", struct.pack(">H", level))
            keyed = png(content, 256, 4, depth, 0, key)
            yield Case(f"{depth}-bit grey, {name} clear", keyed, size, (255,) * 3, "shown on white")
            other = chunk(b"tRNS", struct.pack(">H", most - level))
            yield Case(f"{depth}-bit grey, {name}, other clear", png(content, 256, 4, depth, 0, other), size, mean)
        if depth < 8:
            table = chunk(b"PLTE", bytes([10, 20, 30]) + bytes([200, 100, 50]))
            yield Case(f"{depth}-bit palette", png(rows, 256, 4, depth, 3, table), size, (10, 20, 30))
    pixels = bytes([9, 8, 7]) * 256 * 4
    key = chunk(b"tRNS", struct.pack(">HHH", 9, 8, 7))
    yield Case("one colour clear", png(pixels, 256, 4, 8, 2, key), size, (255,) * 3, "shown on white")
    key = chunk(b"tRNS", struct.pack(">HHH", 9, 8, 6))
    yield Case("another colour clear", png(pixels, 256, 4, 8, 2, key), size, (9, 8, 7))
    yield Case("palette missing", png(bytes(1024), 256, 4, 8, 3), None, says="damaged")
    table = chunk(b"PLTE", bytes([1, 2, 3]))
    yield Case("index beyond the palette", png(bytes([7]) * 1024, 256, 4, 8, 3, table), size, (0, 0, 0))


def _orientations() -> Iterator[Case]:
    image = Image.fromarray(picture())
    plain = save(image, "JPEG", quality=95, subsampling=0)
    for orientation in range(1, 9):
        shape = (WIDTH, HEIGHT) if orientation >= 5 else (HEIGHT, WIDTH)
        note = "turned upright" if orientation > 1 else ""
        mean = mean_of(picture())
        for order in ("MM", "II"):
            for kind in (3, 4):
                block = jpeg_segment(0xE1, b"Exif\x00\x00" + exif(orientation, order, kind))
                name = f"JPEG, orientation {orientation} {order} type {kind}"
                yield Case(name, into_jpeg(plain, block), shape, mean, note, 3)
        data = save(image, "PNG")
        tagged = data[:33] + chunk(b"eXIf", exif(orientation)) + data[33:]
        yield Case(f"PNG, orientation {orientation}", tagged, shape, mean, note)
        late = data[:-12] + chunk(b"eXIf", exif(orientation)) + data[-12:]
        yield Case(f"PNG, orientation {orientation} behind the pixels", late, shape, mean, note)
        name, payload = webp_payload(save(image, "WEBP", lossless=True))
        extended = struct.pack("<I", 8) + (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
        data = riff((b"VP8X", extended), (name, payload), (b"EXIF", exif(orientation)))
        yield Case(f"WebP, orientation {orientation}", data, shape, mean, note)
    for wrong in (0, 9, 65535):
        block = jpeg_segment(0xE1, b"Exif\x00\x00" + exif(wrong))
        yield Case(f"orientation {wrong}", into_jpeg(plain, block), (HEIGHT, WIDTH), mean_of(picture()), within=3)
    sound_block = exif(6)
    for length in range(0, len(sound_block), 3):
        block = jpeg_segment(0xE1, b"Exif\x00\x00" + sound_block[:length])
        yield Case(f"EXIF cut to {length} bytes", into_jpeg(plain, block), ())
    wild = b"MM" + struct.pack(">HIH", 42, 0xFFFFFFF0, 1)
    yield Case("EXIF table far away", into_jpeg(plain, jpeg_segment(0xE1, b"Exif\x00\x00" + wild)), (HEIGHT, WIDTH))


def _profiles() -> Iterator[Case]:
    image = Image.new("RGB", (WIDTH, HEIGHT), (200, 100, 50))
    size = (HEIGHT, WIDTH)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for kind in ("PNG", "JPEG", "WEBP"):
        exact = {"lossless": True} if kind == "WEBP" else {}
        data = save(image, kind, icc_profile=srgb, **exact)
        yield Case(f"{kind} with sRGB profile", data, size, (200, 100, 50), within=3)
        data = save(image, kind, icc_profile=lab, **exact)
        yield Case(f"{kind} with Lab profile", data, size, (200, 100, 50), "another kind of picture ignored", 3)
        for length in (1, 40, 128, 300):
            data = save(image, kind, icc_profile=srgb[:length], **exact)
            says = "broken colour profile ignored"
            yield Case(f"{kind}, profile cut to {length}", data, size, (200, 100, 50), says, 3)
    data = save(image, "PNG")
    broken = data[:33] + chunk(b"iCCP", b"x\x00\x00not zlib") + data[33:]
    yield Case("PNG, profile not packed", broken, size, (200, 100, 50), "broken colour profile")
    bomb = data[:33] + chunk(b"iCCP", b"x\x00\x00" + zlib.compress(bytes(30_000_000))) + data[33:]
    yield Case("PNG, profile unpacks to 30 MB", bomb, size, (200, 100, 50), "broken colour profile")
    part = jpeg_segment(0xE2, b"ICC_PROFILE\x00" + bytes([2, 2]) + srgb)
    yield Case("JPEG, first part of profile missing", into_jpeg(save(image, "JPEG"), part), size, says="broken")
    grey = save(Image.new("L", (WIDTH, HEIGHT), 99), "PNG", icc_profile=srgb)
    yield Case("grey PNG with colour profile", grey, size, (99,) * 3, "another kind of picture")


def _animations() -> Iterator[Case]:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), (200, 30 * i, 10)) for i in range(5)]
    size = (HEIGHT, WIDTH)
    for kind in ("GIF", "PNG", "WEBP"):
        data = save(frames[0], kind, save_all=True, append_images=frames[1:])
        yield Case(f"{kind} of five frames", data, size, (200, 0, 10), "first frame of 5", 9)
    small = [Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 0)) for _ in range(2)]
    small[0].putpixel((5, 5), (255, 0, 0, 255))
    small[1].putpixel((9, 9), (0, 255, 0, 255))
    data = save(small[0], "WEBP", save_all=True, append_images=small[1:], lossless=True)
    nearly_white = (255, 255 - 255 / (HEIGHT * WIDTH), 255 - 255 / (HEIGHT * WIDTH))
    yield Case("WebP, small first frame", data, size, nearly_white, "shown on white")
    palette = [(0, 0, 0), (200, 100, 50)]
    whole = (0, 0, 4, 4)
    yield Case("GIF by hand", gif((4, 4), whole, palette), (4, 4), (200, 100, 50))
    yield Case("GIF of 300 frames", gif((4, 4), whole, palette, frames=300), (4, 4), (200, 100, 50), "frame of 300")
    many = gif((1, 1), (0, 0, 1, 1), palette, frames=150_000)
    yield Case("GIF of very many frames", many, (1, 1), (200, 100, 50), "first frame of very many")
    quarter = (255 * 15 / 16 + 200 / 16, 255 * 15 / 16 + 100 / 16, 255 * 15 / 16 + 50 / 16)
    yield Case("GIF, tiny frame on a screen", gif((4, 4), (1, 2, 1, 1), palette), (4, 4), quarter, "shown on white")
    yield Case("GIF, all clear", gif((4, 4), whole, palette, transparent=1), (4, 4), (255,) * 3, "shown on white")
    yield Case("GIF, screen of no size", gif((0, 0), whole, palette), (4, 4), (200, 100, 50))
    yield Case("GIF, frame beyond the screen", gif((2, 2), whole, palette), (4, 4), (200, 100, 50))
    yield Case("GIF, frame far beyond the screen", gif((2, 2), (65000, 65000, 4, 4), palette), None, says="megapixels")
    yield Case("GIF, huge screen", gif((65535, 65535), (0, 0, 1, 1), palette), None, says="65535 × 65535")
    yield Case("GIF without frames", gif((4, 4), whole, palette, frames=0), None, says="damaged")
    note = b"!\xfe\x03abc\x00"
    yield Case("GIF, 1,000 comments", gif((4, 4), whole, palette, before=note * 1000), (4, 4), (200, 100, 50))
    yield Case("GIF, 300,000 comments", gif((4, 4), whole, palette, before=note * 300_000), None, says="pieces")


def _headers() -> Iterator[Case]:
    for width, height in ((0, 5), (5, 0), (0, 0)):
        size = f"{width} × {height}"
        yield Case(f"PNG of {size}", PNG + ihdr(width, height, 8, 2) + chunk(b"IDAT", b""), None)
        yield Case(f"BMP of {size}", bmp(width, height, 24, b""), None, says="no pixels")
        yield Case(f"GIF of {size}", gif((0, 0), (0, 0, width, height), [(0, 0, 0)]), None)
        jpeg = bytearray(sound()["JPEG"])
        at = jpeg.index(b"\xff\xc0")
        jpeg[at + 5 : at + 9] = struct.pack(">HH", height, width)
        yield Case(f"JPEG of {size}", bytes(jpeg), None, says="no pixels")
    for width, height in ((7072, 7072), (50_000_001, 1), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1)):
        pixels = chunk(b"IDAT", zlib.compress(b""))
        yield Case(f"PNG claims {width} × {height}", PNG + ihdr(width, height, 8, 2) + pixels, None, says="megapixels")
        yield Case(f"BMP claims {width} × {height}", bmp(width, height, 24, b""), None, says="megapixels")
    jpeg = bytearray(sound()["JPEG"])
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    yield Case("JPEG claims 65500 × 65500", bytes(jpeg), None, says="megapixels")
    yield Case(
        "PNG larger than its pixels", png(bytes(30), 10, 1, 8, 2).replace(ihdr(10, 1, 8, 2), ihdr(99, 99, 8, 2)), None
    )
    data = sound()["PNG"]
    for depth, colour in ((3, 0), (16, 3), (4, 2), (1, 6), (8, 1), (8, 7), (0, 0), (255, 255)):
        name = f"PNG of depth {depth}, colour type {colour}"
        yield Case(name, PNG + ihdr(20, 12, depth, colour) + data[33:], None, says="damaged")
    vp8 = webp_payload(sound()["WebP"])
    yield Case("WebP canvas unlike its picture", riff((b"VP8X", bytes(4) + b"\xff\xff\x3f\xff\xff\x3f"), vp8), None)
    yield Case("WebP claims more bytes", riff(vp8, size=10_000), None, says="damaged or cut off")
    yield Case("WebP without a picture", riff((b"EXIF", exif(1))), None)
    yield Case("WebP chunk beyond the end", riff(vp8)[:-1], None)
    yield Case("BMP of unknown header", b"BM" + bytes(12) + struct.pack("<I", 77) + bytes(100), None)
    for marker, what in ((0xC3, "lossless"), (0xC9, "arithmetic"), (0xC5, "layered")):
        data = sound()["JPEG"].replace(b"\xff\xc0", bytes([0xFF, marker]))
        yield Case(f"JPEG, {what}", data, None, says=what)
    for channels in (0, 2, 5):
        jpeg = bytearray(sound()["JPEG"])
        jpeg[at + 9] = channels
        yield Case(f"JPEG of {channels} channels", bytes(jpeg), None, says="damaged")
    jpeg = bytearray(sound()["JPEG"])
    jpeg[at + 4] = 12
    yield Case("JPEG of 12 bits", bytes(jpeg), None, says="12-bit")
    progressive = sound()["progressive JPEG"]
    start = progressive.rindex(b"\xff\xda")
    scans = progressive[:start] + progressive[start:-2] * 120 + b"\xff\xd9"
    yield Case("JPEG of over 100 scans", scans, None, says="over 100 passes")


def _foreign() -> Iterator[Case]:
    image = Image.fromarray(picture())
    yield Case("empty", b"", None, says="empty")
    for kind, says in (("TIFF", "TIFF"), ("ICO", "icon"), ("JPEG2000", "JPEG 2000"), ("AVIF", "AVIF")):
        yield Case(kind, save(image, kind), None, says=says)
    for kind in ("PPM", "TGA", "PCX", "SGI", "DDS"):
        yield Case(kind, save(image, kind), None)
    for data, says in (
        (b"%PDF-1.7 ...", "PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "SVG"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"\x00\x00\x00\x18ftypheic", "HEIC"),
        (b"\x00\x00\x00\x18ftypisom", "film"),
        (b"8BPS\x00\x01", "Photoshop"),
        (b"PK\x03\x04", "ZIP"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
        (b"hello world", "text"),
        (bytes(1000), "blanks"),
        (b"II*\x00" + bytes(50), "TIFF"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    ):
        yield Case(f"{says} at {len(data)} bytes", data, None, says=says)
    rng = np.random.default_rng(1)
    for length in (1, 2, 3, 8, 100, 1000, 100_000):
        yield Case(f"{length} random bytes", b"\x01" + rng.bytes(length), None)
    for start in (PNG, b"\xff\xd8\xff", b"GIF89a", b"BM", b"RIFF\x40\x00\x00\x00WEBP", b"RIFF\x40\x00\x00\x00WAVE"):
        yield Case(f"{start!r} alone", start, None)
        yield Case(f"{start!r} and noise", start + rng.bytes(5000), None)
        yield Case(f"{start!r} and zeros", start + bytes(5000), None)


def _truncated() -> Iterator[Case]:
    for kind, data in sound().items():
        # The last twelve bytes of a PNG are its end mark: without it every pixel is still there.
        needed = len(data) - 12 if kind == "PNG" else len(data)
        for part in range(20):
            yield Case(f"{kind} cut at {5 * part} %", data[: needed * part // 20], None)
        yield Case(f"{kind} cut by one byte", data[:-1], ())


def _flipped() -> Iterator[Case]:
    rng = np.random.default_rng(2)
    for kind, data in sound().items():
        for number in range(8):
            damaged = bytearray(data)
            for at in rng.integers(0, len(data), 1 + number):
                damaged[at] ^= int(rng.integers(1, 256))
            yield Case(f"{kind}, flipped bytes {number}", bytes(damaged), ())


def _odd_but_sound() -> Iterator[Case]:
    pixels = picture()
    size, mean = (HEIGHT, WIDTH), mean_of(pixels)
    data = sound()["PNG"]
    yield Case("PNG with a wrong checksum in text", data[:33] + chunk(b"tEXt", b"a\x00b", 7) + data[33:], size, mean)
    yield Case("PNG with an unknown spare chunk", data[:33] + chunk(b"abCd", b"?") + data[33:], size, mean)
    yield Case("PNG with an unknown critical chunk", data[:33] + chunk(b"ABCD", b"?") + data[33:], None)
    yield Case(
        "PNG with a text bomb",
        data[:33] + chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(10**7))) + data[33:],
        size,
        mean,
    )
    spare = chunk(b"tEXt", b"a\x00b")
    yield Case("PNG with 50,000 texts", data[:33] + spare * 50_000 + data[33:], size, mean)
    yield Case("PNG with 500,000 texts", data[:33] + spare * 500_000 + data[33:], None, says="pieces")
    yield Case("PNG without an end mark", data[:-12], size, mean)
    yield Case("PNG with two headers", data[:33] + data[8:33] + data[33:], None)
    yield Case("PNG, no header", PNG + data[33:], None)
    body = bytearray(data)
    body[45] ^= 1
    yield Case("PNG with a wrong checksum in pixels", bytes(body), None)
    apart = zlib.decompress(data[data.index(b"IDAT") + 4 : -16])
    packed = zlib.compress(apart)
    pieces = b"".join(chunk(b"IDAT", packed[at : at + 1]) for at in range(len(packed)))
    yield Case("PNG of pieces of one byte", data[:33] + pieces + chunk(b"IEND", b""), size, mean)
    bad_filter = zlib.compress(bytes([9]) + apart[1:])
    yield Case("PNG with a wrong row filter", data[:33] + chunk(b"IDAT", bad_filter) + chunk(b"IEND", b""), ())
    wrong_sum = packed[:-1] + bytes([packed[-1] ^ 1])
    yield Case("PNG with a wrong zlib sum", data[:33] + chunk(b"IDAT", wrong_sum) + chunk(b"IEND", b""), ())
    for kind, content in sound().items():
        yield Case(f"{kind} and garbage behind", content + b"garbage" * 50, size, mean, within=8)
        yield Case(f"{kind} and a ZIP behind", content + b"PK\x03\x04" + bytes(200), size, mean, within=8)
        yield Case(f"{kind} and a script behind", content + b"<script>alert(1)</script>", size, mean, within=8)
        yield Case(f"{kind} behind garbage", b"garbage" + content, None)
    jpeg = sound()["JPEG"]
    yield Case("JPEG with filling", into_jpeg(jpeg, b"\xff" * 100_000), size, mean, within=8)
    yield Case("JPEG with 2,000 comments", into_jpeg(jpeg, jpeg_segment(0xFE, b"hi") * 2000), size, mean, within=8)
    yield Case("JPEG with 300,000 comments", into_jpeg(jpeg, jpeg_segment(0xFE, b"") * 300_000), None, says="pieces")
    thumbnail = jpeg_segment(0xE1, b"Exif\x00\x00" + exif(1) + jpeg)
    yield Case("JPEG with a thumbnail", into_jpeg(jpeg, thumbnail), size, mean, within=8)
    yield Case("JPEG with many EXIF blocks", into_jpeg(jpeg, thumbnail * 200), size, mean, within=8)
    second = Image.new("RGB", (8, 8))
    mpo = save(Image.fromarray(pixels), "MPO", save_all=True, append_images=[second], quality=95)
    yield Case("MPO", mpo, size, mean, within=8)
    restarts = save(Image.fromarray(pixels), "JPEG", quality=95, restart_marker_blocks=1)
    yield Case("JPEG with restarts", restarts, size, mean, within=8)
