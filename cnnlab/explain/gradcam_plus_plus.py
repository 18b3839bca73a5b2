r"""Grad-CAM++: channels weighted by their positive gradients, each cell by how little it takes to lift the score there.

Chattopadhay et al., Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep Convolutional Networks, WACV
2018, equations 7, 12 and 19. The score is Y = exp(y), of which the second and third derivatives follow from the
gradient g = ∂y/∂A alone, where the layers behind are piecewise linear. Their factor exp(y) drops out of α, and with
only positive gradients counting so does one g²:

    α_ij = g_ij² / (2 g_ij² + Σ_ab A_ab · g_ij³) = 1 / (2 + g_ij Σ_ab A_ab)        w_k = Σ_ij α_ij ReLU(g_ij)
    L = ReLU(Σ_k w_k A^k)

Departures: the common factor exp(y) is left out of w, which would overflow and changes no map but in scale. A layer
that makes negative values has its sum Σ A taken as 0 where it is negative: the paper has ReLU there, and otherwise α
has a pole. No epsilon is added, so gradients may be as small as they like: the map then has the shape that α = ½
gives. It does depend on the scale of the logits, as exp(y) does: ten times the logits moved maps of the lab's nets by
0.1 to 0.3 of their range.
"""

from torch import Tensor

from cnnlab.explain.method import Method, at_once
from cnnlab.explain.passes import Pass
from cnnlab.explain.targets import Target


def _map(seen: Pass, target: Target, layer: str) -> Tensor:
    maps_nkhw = seen.maps(layer)
    rising_nkhw = seen.gradients(target, layer).relu()
    sums_nk = maps_nkhw.sum((2, 3), keepdim=True).relu()
    weights_nk = (rising_nkhw / (2 + rising_nkhw * sums_nk)).sum((2, 3), keepdim=True)
    return (weights_nk * maps_nkhw).sum(1).relu()


GRADCAM_PLUS_PLUS = Method(
    label="Grad-CAM++",
    about="As Grad-CAM, but only gradients that speak for the class count, and cells that stand alone count more.",
    equation=r"L = \mathrm{ReLU}\Big(\sum_k w_k A^k\Big),\quad "
    r"w_k = \sum_{i,j} \frac{\mathrm{ReLU}(g^k_{ij})}{2 + g^k_{ij} \sum_{a,b} A^k_{ab}},\quad "
    r"g = \frac{\partial y^c}{\partial A}",
    paper="Chattopadhay, Sarkar, Howlader and Balasubramanian, Grad-CAM++: Generalized Gradient-based Visual "
    "Explanations for Deep Convolutional Networks, WACV 2018",
    url="https://arxiv.org/abs/1710.11063",
    caution="What speaks against the class is left out, so maps of different classes look more alike than they should, "
    "and most of the picture stays when the weights are random.",
    grid="layer",
    is_class_specific=True,
    is_signed=False,
    is_slow=False,
    stream=at_once(_map),
)
