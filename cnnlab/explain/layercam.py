r"""LayerCAM: every cell times its own gradient where that is positive, added up over the channels.

Jiang et al., LayerCAM: Exploring Hierarchical Class Activation Maps for Localization, IEEE Transactions on Image
Processing 30, 2021, equations 5 to 7:

    w^k_ij = ReLU(∂y/∂A^k_ij)        L = ReLU(Σ_k w^k ⊙ A^k)

Departures: none. The paper also scales maps of early layers by tanh before it joins them; here each stays alone.
"""

from torch import Tensor

from cnnlab.explain.method import Method, at_once
from cnnlab.explain.passes import Pass
from cnnlab.explain.targets import Target


def _map(seen: Pass, target: Target, layer: str) -> Tensor:
    return (seen.gradients(target, layer).relu() * seen.maps(layer)).sum(1).relu()


LAYERCAM = Method(
    label="LayerCAM",
    about="Multiplies each cell with its own gradient where that is positive; also works on early, finer layers.",
    equation=r"L = \mathrm{ReLU}\Big(\sum_k \mathrm{ReLU}\Big(\frac{\partial y^c}{\partial A^k}\Big) \odot A^k\Big)",
    paper="Jiang, Zhang, Hou, Cheng and Wei, LayerCAM: Exploring Hierarchical Class Activation Maps for "
    "Localization, IEEE Transactions on Image Processing, 2021",
    url="https://doi.org/10.1109/TIP.2021.3089943",
    caution="What speaks against the class is left out, so it marks other objects too, and most of the picture stays "
    "when the weights are random.",
    grid="layer",
    is_class_specific=True,
    is_signed=False,
    is_slow=False,
    stream=at_once(_map),
)
