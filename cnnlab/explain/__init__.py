"""What in a picture a net's answer rests on: thirteen methods of one signature, and what tells whether to trust them.

METHODS["gradcam"].run(model, x, class_index, "layer4")     # (N, h, w), unscaled
"""

from cnnlab.explain.ablationcam import ABLATIONCAM
from cnnlab.explain.eigencam import EIGENCAM
from cnnlab.explain.gradcam import GRADCAM
from cnnlab.explain.gradcam_plus_plus import GRADCAM_PLUS_PLUS
from cnnlab.explain.guided_backprop import GUIDED_BACKPROP
from cnnlab.explain.hirescam import HIRESCAM
from cnnlab.explain.integrated_gradients import INTEGRATED_GRADIENTS
from cnnlab.explain.layercam import LAYERCAM
from cnnlab.explain.method import Method, Partial
from cnnlab.explain.occlusion import OCCLUSION
from cnnlab.explain.passes import Pass, look
from cnnlab.explain.saliency import SALIENCY
from cnnlab.explain.scorecam import SCORECAM
from cnnlab.explain.smoothgrad import SMOOTHGRAD
from cnnlab.explain.targets import Contrast, Target
from cnnlab.explain.xgradcam import XGRADCAM

METHODS: dict[str, Method] = {
    "gradcam": GRADCAM,
    "gradcam_plus_plus": GRADCAM_PLUS_PLUS,
    "hirescam": HIRESCAM,
    "xgradcam": XGRADCAM,
    "layercam": LAYERCAM,
    "eigencam": EIGENCAM,
    "scorecam": SCORECAM,
    "ablationcam": ABLATIONCAM,
    "occlusion": OCCLUSION,
    "saliency": SALIENCY,
    "smoothgrad": SMOOTHGRAD,
    "integrated_gradients": INTEGRATED_GRADIENTS,
    "guided_backprop": GUIDED_BACKPROP,
}
"""Key in links → method, in the order in which they are offered."""

__all__ = ["METHODS", "Contrast", "Method", "Partial", "Pass", "Target", "look"]
