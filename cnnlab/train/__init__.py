"""Training a net: a configuration in, events out."""

from cnnlab.train.config import OWN_PICTURES, TrainConfig
from cnnlab.train.control import Command, Control
from cnnlab.train.events import TrainEvent
from cnnlab.train.loop import Training, train

__all__ = ["OWN_PICTURES", "Command", "Control", "TrainConfig", "TrainEvent", "Training", "train"]
