r"""XGrad-CAM: channels weighted by the mean of their gradients, where the channel is strong counting more.

Fu et al., Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs, BMVC 2020:

    α_k = Σ_ij (A^k_ij / Σ_ab A^k_ab) ∂y/∂A^k_ij        L = Σ_k α_k A^k

so that the map adds up to Σ A · ∂y/∂A (conservation), and keeps what speaks against the class.
Departure: a channel whose values cancel out, which takes a layer that makes negative ones, has no such weight and is
left out.
"""

from torch import Tensor

from cnnlab.explain.method import Method, at_once
from cnnlab.explain.passes import Pass
from cnnlab.explain.targets import Target

# Of the sum of magnitudes: below this, what is left of a float32 sum is rounding.
_CANCELLED = 1e-5


def _map(seen: Pass, target: Target, layer: str) -> Tensor:
    maps_nkhw = seen.maps(layer)
    evidence_nk = (seen.gradients(target, layer) * maps_nkhw).sum((2, 3), keepdim=True)
    sums_nk = maps_nkhw.sum((2, 3), keepdim=True)
    is_cancelled = sums_nk.abs() <= _CANCELLED * maps_nkhw.abs().sum((2, 3), keepdim=True)
    weights_nk = (evidence_nk / sums_nk.masked_fill(is_cancelled, 1)).masked_fill(is_cancelled, 0)
    return (weights_nk * maps_nkhw).sum(1)


XGRADCAM = Method(
    label="XGrad-CAM",
    about="As Grad-CAM, but gradients count by how active the channel is at their place.",
    equation=r"L = \sum_k \alpha_k A^k,\quad "
    r"\alpha_k = \sum_{i,j} \frac{A^k_{ij}}{\sum_{a,b} A^k_{ab}} \frac{\partial y^c}{\partial A^k_{ij}}",
    paper="Fu, Hu, Dong, Guo, Gao and Li, Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of "
    "CNNs, BMVC 2020",
    url="https://arxiv.org/abs/2008.02312",
    caution="One weight for a whole channel: where a channel speaks for the class here and against it there, both "
    "places get the same. Made for layers that end in ReLU.",
    grid="layer",
    is_class_specific=True,
    is_signed=True,
    is_slow=False,
    stream=at_once(_map),
)
