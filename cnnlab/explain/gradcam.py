r"""Grad-CAM: channels weighted by the mean of their gradients.

Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV 2017,
equations 1 and 2:

    α_k = 1/Z Σ_ij ∂y/∂A^k_ij        L = ReLU(Σ_k α_k A^k)

Departure: the score y is the logit, also where the net would end in a softmax.
"""

from torch import Tensor

from cnnlab.explain.method import Method, at_once
from cnnlab.explain.passes import Pass
from cnnlab.explain.targets import Target


def channel_weights(seen: Pass, target: Target, layer: str) -> Tensor:
    """α of equation 1 for each channel, (N, K): how much the score rises with the channel, on average."""
    return seen.gradients(target, layer).mean(dim=(2, 3))


def _map(seen: Pass, target: Target, layer: str) -> Tensor:
    weights_nk = channel_weights(seen, target, layer)
    return (weights_nk[:, :, None, None] * seen.maps(layer)).sum(1).relu()


GRADCAM = Method(
    label="Grad-CAM",
    about="Adds up the layer's maps, each weighted by how much the class's logit rises with it.",
    equation=r"L = \mathrm{ReLU}\Big(\sum_k \alpha_k A^k\Big),\quad "
    r"\alpha_k = \frac{1}{Z}\sum_{i,j}\frac{\partial y^c}{\partial A^k_{ij}}",
    paper="Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, "
    "ICCV 2017",
    url="https://arxiv.org/abs/1610.02391",
    caution="As coarse as the layer's maps; averaging the gradients can point to places the net did not use.",
    grid="layer",
    is_class_specific=True,
    is_signed=False,
    is_slow=False,
    stream=at_once(_map),
)
