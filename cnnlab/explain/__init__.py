"""What in a picture a net's answer rests on: thirteen methods of one signature, and what tells whether to trust them.

METHODS["gradcam"].run(model, x, class_index, "layer4")     # (N, h, w), unscaled
"""

from cnnlab.explain.gradcam import GRADCAM
from cnnlab.explain.method import Method, Partial
from cnnlab.explain.passes import Pass, look
from cnnlab.explain.targets import Contrast, Target

METHODS: dict[str, Method] = {
    "gradcam": GRADCAM,
}
"""Key in links → method, in the order in which they are offered."""

__all__ = ["METHODS", "Contrast", "Method", "Partial", "Pass", "Target", "look"]
