r"""HiResCAM: every cell times its own gradient, added up over the channels.

Draelos and Carin, Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks,
arXiv:2011.08891, 2020, section 3:

    L = Σ_k ∂y/∂A^k ⊙ A^k

Where one linear layer follows, the map adds up to the logit less its bias: it is then exactly what each place
contributes. Departures: none; like the paper, it keeps what speaks against the class (negative).
"""

from torch import Tensor

from cnnlab.explain.method import Method, at_once
from cnnlab.explain.passes import Pass
from cnnlab.explain.targets import Target


def _map(seen: Pass, target: Target, layer: str) -> Tensor:
    return (seen.gradients(target, layer) * seen.maps(layer)).sum(1)


HIRESCAM = Method(
    label="HiResCAM",
    about="Multiplies each cell of the layer with its own gradient and adds up the channels.",
    equation=r"L = \sum_k \frac{\partial y^c}{\partial A^k} \odot A^k",
    paper="Draelos and Carin, Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural "
    "networks, 2020",
    url="https://arxiv.org/abs/2011.08891",
    caution="Exact where one linear layer follows the maps; with more layers behind, a first-order guess.",
    grid="layer",
    is_class_specific=True,
    is_signed=True,
    is_slow=False,
    stream=at_once(_map),
)
