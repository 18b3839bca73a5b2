"""Real photographs, as people have them."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cnnlab.images import decode


def test_photographs_are_decoded_pixel_for_pixel_as_pillow_does(photographs: Path) -> None:
    with zipfile.ZipFile(photographs) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        assert len(names) > 1000
        for name in names[::20]:
            data = archive.read(name)
            wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
            assert (decode(data, name).pixels == wanted).all(), name
