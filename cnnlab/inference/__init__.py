"""Trained nets at work: shared by all who ask, looked into without a trace, and what they say of a picture."""

from cnnlab.inference.cache import CacheFacts, Loan, ModelCache, ModelKey
from cnnlab.inference.capturing import capturing, ready, share, watch_layers
from cnnlab.inference.predicting import Prediction, Ranked, StageTimes, predict

__all__ = [
    "CacheFacts",
    "Loan",
    "ModelCache",
    "ModelKey",
    "Prediction",
    "Ranked",
    "StageTimes",
    "capturing",
    "predict",
    "ready",
    "share",
    "watch_layers",
]
