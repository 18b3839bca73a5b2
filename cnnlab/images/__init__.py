"""Pictures in and out: from uploaded bytes to what a model is fed, and back to what a page shows."""

from cnnlab.images.decoding import LIMITS, Limits, RgbImage, decode
from cnnlab.images.encoding import to_jpeg, to_png
from cnnlab.images.preprocessing import IMAGENET, UNIT, Preprocessing, to_tensor
from cnnlab.images.samples import SAMPLES, Sample, load_sample
from cnnlab.images.transforms import centre_crop, fit_within, resize, to_grey

__all__ = [
    "IMAGENET",
    "LIMITS",
    "SAMPLES",
    "UNIT",
    "Limits",
    "Preprocessing",
    "RgbImage",
    "Sample",
    "centre_crop",
    "decode",
    "fit_within",
    "load_sample",
    "resize",
    "to_grey",
    "to_jpeg",
    "to_png",
    "to_tensor",
]
