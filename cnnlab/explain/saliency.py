r"""Saliency: how strongly the logit reacts to each pixel.

Simonyan, Vedaldi and Zisserman, Deep Inside Convolutional Networks: Visualising Image Classification Models and
Saliency Maps, ICLR workshop 2014, section 3.1:

    w = ∂S_c/∂I        M_ij = max_k |w_ijk|

with the maximum over the channels k of the picture. Departures: none; S is the logit, as there.
"""

from torch import Tensor

from cnnlab.explain.method import Method, at_once
from cnnlab.explain.passes import Pass
from cnnlab.explain.targets import Target
from cnnlab.explain.variants import input_gradients


def strongest(gradients_nchw: Tensor) -> Tensor:
    """The largest magnitude over the channels, (N, H, W)."""
    return gradients_nchw.abs().amax(1)


def _map(seen: Pass, target: Target, layer: str) -> Tensor:
    del layer
    return strongest(input_gradients(seen.model, seen.x, target))


SALIENCY = Method(
    label="Saliency",
    about="Shows how much the class's logit changes when a pixel changes a little, up or down.",
    equation=r"M_{ij} = \max_k \left|\frac{\partial S_c}{\partial I_{ijk}}\right|",
    paper="Simonyan, Vedaldi and Zisserman, Deep Inside Convolutional Networks: Visualising Image Classification "
    "Models and Saliency Maps, ICLR workshop 2014",
    url="https://arxiv.org/abs/1312.6034",
    caution="Speaks of tiny changes only: what the net rests on but is sure of has no slope. Noisy, and it does not "
    "say whether a pixel speaks for or against.",
    grid="picture",
    is_class_specific=True,
    is_signed=False,
    is_slow=False,
    stream=at_once(_map),
)
