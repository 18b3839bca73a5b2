"""Pictures to learn from: published sets, drawn ones, people's own; and what is done to them while a net learns."""

from cnnlab.data.archives import SET_LIMITS, SetLimits, Skipped
from cnnlab.data.augmentation import AUGMENTATIONS, Augment, Augmentation, Parameter, Step
from cnnlab.data.dataset import Dataset, Progress, Splits, channel_statistics
from cnnlab.data.entry import Choice, DatasetEntry
from cnnlab.data.feeding import Feed
from cnnlab.data.files import RemoteFile
from cnnlab.data.labelling import RULES, Labelling
from cnnlab.data.loading import DATASETS, load_dataset
from cnnlab.data.pictures import Decoded, PictureSet, Preview

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "RULES",
    "SET_LIMITS",
    "Augment",
    "Augmentation",
    "Choice",
    "Dataset",
    "DatasetEntry",
    "Decoded",
    "Feed",
    "Labelling",
    "Parameter",
    "PictureSet",
    "Preview",
    "Progress",
    "RemoteFile",
    "SetLimits",
    "Skipped",
    "Splits",
    "Step",
    "channel_statistics",
    "load_dataset",
]
