"""Trained nets at work: shared by all who ask, looked into without a trace, and what they say of a picture."""

from cnnlab.inference.capturing import capturing, ready, share, watch_layers

__all__ = ["capturing", "ready", "share", "watch_layers"]
