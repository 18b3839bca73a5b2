"""Pictures to begin with: photographs and digits that come with scikit-image and scikit-learn, and drawn patterns.

The photographs are read from the packages' files without importing the packages, which would take a second. Every
sample is at most 640 px on its longer side.
"""

import functools
import gzip
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cnnlab.errors import InputRejected, Unsupported
from cnnlab.images import transforms
from cnnlab.images.decoding import RgbImage, decode

_LONGEST = 640
_SIDE = 256  # of the drawn patterns
_DIGIT_SCALE = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture the lab offers.

    Attributes:
        label: What people see in a list.
        group: Where it comes from.
        about: One sentence: what it is good for seeing.
        credit: Source and licence.
        load: Makes the picture. `load_sample` does so once.
    """

    label: str
    group: Literal["photograph", "digit", "drawn"]
    about: str
    credit: str
    load: Callable[[], RgbImage]


def load_sample(key: str) -> RgbImage:
    """The sample picture `key`, made once per process.

    Raises:
        InputRejected: There is no such sample.
        Unsupported: The package it comes with is not installed.
    """
    if key not in SAMPLES:
        raise InputRejected(f"There is no sample picture {key!r}; choose one of {', '.join(SAMPLES)}.")
    return _loaded(key)


@functools.cache
def _loaded(key: str) -> RgbImage:
    sample = SAMPLES[key]
    image = sample.load()
    return replace(image, name=sample.label, pixels=transforms.fit_within(image.pixels, _LONGEST))


def _package_file(package: str, distribution: str, path: str) -> bytes:
    """Bytes of a file inside an installed package.

    Raises:
        Unsupported: The package, or the file in it, is not there.
    """
    spec = importlib.util.find_spec(package)
    for folder in spec.submodule_search_locations or () if spec else ():
        file = Path(folder, path)
        if file.is_file():
            return file.read_bytes()
    raise Unsupported(
        f"This picture comes with {distribution}, which is not installed here in full. Run: pip install {distribution}"
    )


def _photograph(label: str, about: str, credit: str, file: str, package: str = "skimage") -> Sample:
    distribution = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[package]

    def load() -> RgbImage:
        return decode(_package_file(package, distribution, file), file)

    return Sample(label, "photograph", about, f"{credit}; comes with {distribution}", load)


def _digit(row: int, about: str) -> Sample:
    """Row `row` of the digits table: 64 levels 0 to 16, row by row, and the digit itself."""

    def load() -> RgbImage:
        table = gzip.decompress(_package_file("sklearn", "scikit-learn", "datasets/data/digits.csv.gz"))
        line = table.decode("ascii").splitlines()[row]
        levels = np.array(line.split(",")[:64], dtype=np.float64).reshape(8, 8)
        grey = np.round(levels * (255 / 16)).astype(np.uint8)
        grey = grey.repeat(_DIGIT_SCALE, axis=0).repeat(_DIGIT_SCALE, axis=1)
        return RgbImage(_three_channels(grey))

    return Sample(
        f"Handwritten {row}",
        "digit",
        f"{about} 8 × 8 true pixels, each shown as a square of {_DIGIT_SCALE} × {_DIGIT_SCALE}.",
        "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI, CC BY 4.0; comes with scikit-learn",
        load,
    )


def _drawn(label: str, about: str, draw: Callable[[], NDArray[np.floating]]) -> Sample:
    """A pattern of ours; `draw` yields greys of shape (H, W) in [0, 1]."""

    def load() -> RgbImage:
        return RgbImage(_three_channels(np.round(draw() * 255).astype(np.uint8)))

    return Sample(label, "drawn", about, "Drawn by CNN Lab", load)


def _three_channels(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[:, :, None], 3, axis=2)


def _grid() -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Rows and columns counted from the middle, -127.5 to 127.5."""
    from_middle = np.arange(_SIDE) - (_SIDE - 1) / 2
    rows, columns = np.meshgrid(from_middle, from_middle, indexing="ij")
    return rows, columns


def checkerboard() -> NDArray[np.floating]:
    """Squares of 32 px, white at the top left."""
    rows, columns = np.indices((_SIDE, _SIDE)) // 32
    return ((rows + columns + 1) % 2).astype(np.float64)


def gradient() -> NDArray[np.floating]:
    """From black at the left to white at the right, one level a column."""
    return np.tile(np.arange(_SIDE) / (_SIDE - 1), (_SIDE, 1))


def impulse() -> NDArray[np.floating]:
    """One white pixel at row 128, column 128."""
    picture = np.zeros((_SIDE, _SIDE))
    picture[_SIDE // 2, _SIDE // 2] = 1
    return picture


def circle() -> NDArray[np.floating]:
    """A white disc of radius 80 px; the rim fades over one pixel."""
    rows, columns = _grid()
    return np.clip(80.5 - np.hypot(rows, columns), 0, 1)


def stripes() -> NDArray[np.floating]:
    """Upright stripes, 8 px white and 8 px black."""
    return np.tile((np.arange(_SIDE) // 8 + 1) % 2, (_SIDE, 1)).astype(np.float64)


def zone_plate() -> NDArray[np.floating]:
    """Rings that grow finer outwards: (1 + sin(π r² / 256)) / 2 with r the distance from the middle in pixels.

    The local frequency is r / 256 cycles a pixel, so at the middle of each side, r = 128, it reaches one half: the
    finest a grid of pixels can hold.
    """
    rows, columns = _grid()
    return (1 + np.sin(np.pi * (rows**2 + columns**2) / _SIDE)) / 2


SAMPLES: dict[str, Sample] = {
    "cat": _photograph(
        "Cat",
        "A face with fur, whiskers and eyes: edges of every direction, and a class that ImageNet models know.",
        "Chelsea the cat, photograph by Stefan van der Walt, CC0",
        "data/chelsea.png",
    ),
    "astronaut": _photograph(
        "Astronaut",
        "A portrait before a busy background: watch which part a model attends to.",
        "Eileen Collins, photograph by NASA, public domain",
        "data/astronaut.png",
    ),
    "coffee": _photograph(
        "Coffee cup",
        "One round thing, warm colours and soft shadows: good for class maps, since cup and spoon are classes.",
        "Photograph by Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0",
        "data/coffee.png",
    ),
    "rocket": _photograph(
        "Rocket",
        "A small bright thing on a large even sky: shows how little of a picture a model may need.",
        "Launch of DSCOVR, photograph by SpaceX, public domain",
        "data/rocket.jpg",
    ),
    "flower": _photograph(
        "Flower",
        "Strong colour before a blurred background: shows the difference that single colour channels make.",
        "Photograph by vultilion, CC BY 2.0",
        "datasets/images/flower.jpg",
        "sklearn",
    ),
    "temple": _photograph(
        "Temple",
        "Straight roofs, columns and trees: lines at many angles and scales.",
        "Photograph by danielbuechele, CC BY 2.0",
        "datasets/images/china.jpg",
        "sklearn",
    ),
    "camera": _photograph(
        "Man with camera",
        "A classic grey test picture: dark figure, fine tripod, even sky.",
        "Photograph by Lav Varshney, CC0",
        "data/camera.png",
    ),
    "coins": _photograph(
        "Coins",
        "Many round things in uneven light: good for edges, thresholds and counting.",
        "Greek coins from Pompeii, Brooklyn Museum Archives, no known copyright restrictions",
        "data/coins.png",
    ),
    "brick": _photograph(
        "Brick wall",
        "A regular texture of level and upright joints: kernels for the two directions answer at different places.",
        "Bricks25 from CC0Textures, CC0",
        "data/brick.png",
    ),
    "grass": _photograph(
        "Grass",
        "A texture with no shape at all: shows what a model sees when there is nothing to recognise.",
        "Grass 01 by linolafett, CC0",
        "data/grass.png",
    ),
    "text": _photograph(
        "Printed text",
        "Thin dark strokes on paper of uneven light: edges, corners and a slow gradient in one.",
        "Corner.png on Wikipedia, public domain",
        "data/text.png",
    ),
    "digit_0": _digit(0, "A closed ring: every edge direction in few pixels."),
    "digit_1": _digit(1, "Nearly one upright stroke: answers to one direction alone."),
    "digit_4": _digit(4, "Crossing strokes: corners and junctions."),
    "digit_7": _digit(7, "A level and a slanted stroke meeting in a corner."),
    "checkerboard": _drawn("Checkerboard", "Edges and corners at known places, with nothing in between.", checkerboard),
    "gradient": _drawn("Gradient", "The same small slope everywhere: a derivative kernel answers evenly.", gradient),
    "impulse": _drawn("Single point", "One white pixel: the answer to it is the kernel itself.", impulse),
    "circle": _drawn("Circle", "An edge of every direction, equally strong: shows what a kernel prefers.", circle),
    "stripes": _drawn("Stripes", "One direction and one width: strides of 16 px make them vanish.", stripes),
    "zone_plate": _drawn(
        "Zone plate", "All finenesses from the middle to the rim: false rings appear when detail is lost.", zone_plate
    ),
}
