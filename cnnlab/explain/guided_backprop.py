r"""Guided backpropagation: the gradient, with all that is negative stopped at every ReLU on the way back.

Springenberg et al., Striving for Simplicity: The All Convolutional Net, ICLR workshop 2015, section 3.4:

    R^l_i = 1[f^l_i > 0] · 1[R^{l+1}_i > 0] · R^{l+1}_i

with f what enters ReLU l and R the signal on its way back. Other activations keep their own gradient; a net without any
ReLU is refused, because there this would be plain saliency. The paper shows the signal at the picture in colour;
departure: the map is its largest magnitude over the channels.

Known to fail: it redraws the edges of the picture, whatever the weights (Nie, Zhang and Patel, A Theoretical
Explanation for Perplexing Behaviors of Backpropagation-based Visualizations, ICML 2018), hardly changes when those are
random (Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018), and the late layers hardly have a say in it
(Sixt, Granz and Landgraf, When Explanations Lie: Why Many Modified BP Attributions Fail, ICML 2020).
"""

from torch import Tensor

from cnnlab.errors import Unsupported
from cnnlab.explain.method import Method, at_once
from cnnlab.explain.passes import Pass
from cnnlab.explain.rectifiers import Guided, Rectifiers
from cnnlab.explain.saliency import strongest
from cnnlab.explain.targets import Target
from cnnlab.explain.variants import input_gradients


def guided_gradients(seen: Pass, target: Target) -> Tensor:
    """The signal that arrives at the picture, (N, C, H, W), signed.

    Raises:
        InputRejected: There is no such class.
        Unsupported: The net has no ReLU.
        RunFailed: The signal is NaN or ∞.
    """
    with Rectifiers(Guided) as relus:
        signal = input_gradients(seen.model, seen.x, target)
    if not relus.count:
        raise Unsupported(
            "Guided backpropagation changes what goes back through ReLUs, and this net has none: it would be the same "
            "as saliency. Choose saliency, or a net with ReLUs."
        )
    return signal


def _map(seen: Pass, target: Target, layer: str) -> Tensor:
    del layer
    return strongest(guided_gradients(seen, target))


GUIDED_BACKPROP = Method(
    label="Guided backpropagation",
    about="Goes back from the class's logit to the picture and lets only what is positive through each ReLU.",
    equation=r"R^l_i = \mathbb{1}[f^l_i > 0]\;\mathbb{1}[R^{l+1}_i > 0]\;R^{l+1}_i",
    paper="Springenberg, Dosovitskiy, Brox and Riedmiller, Striving for Simplicity: The All Convolutional Net, "
    "ICLR workshop 2015",
    url="https://arxiv.org/abs/1412.6806",
    caution="Known to fail as an explanation: it redraws the picture's edges and stays nearly the same with random "
    "weights (Adebayo 2018, Nie 2018, Sixt 2020). A sharp map here says little about the net.",
    grid="picture",
    is_class_specific=True,
    is_signed=False,
    is_slow=False,
    stream=at_once(_map),
)
