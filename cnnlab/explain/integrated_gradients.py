r"""Integrated gradients: the way from an empty picture to this one, and what each pixel gains on it.

Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017, equation 1:

    IG_i(x) = (x_i − x'_i) ∫₀¹ ∂F(x' + α(x − x'))/∂x_i dα

Completeness, their proposition 1: the attributions add up to F(x) − F(x').

The baseline x' is zero as the net sees it, which is the mean colour of what it learnt from. Departures: the paper
takes a black picture, of which no attribution can fall on black pixels, and for white digits on black it would leave
the ground without any; and nodes and weights are those of Gauss and Legendre, which come nearer with 50 steps than
equally wide ones do. F is the logit. The map adds up the channels, with their signs.

Each ReLU that opens on the way is a kink, and what 50 steps miss there is missing in the sum: with the bundled ResNet-9
and 16 test pictures of CIFAR-10, 0.02 to 0.17 logits, in the median 1.7 % of the difference; Captum's misses the same.
Eight times the steps still miss a third of it. For nets without kinks it is less than 1e-5.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from cnnlab.explain.method import Method, Partial
from cnnlab.explain.passes import Pass
from cnnlab.explain.targets import Target, score
from cnnlab.explain.variants import chunks, finite, input_gradients

STEPS = 50
# From an end to the other in five rounds: a map that is not whole yet already knows all of the way.
_ORDER = [step for first in range(5) for step in range(first, STEPS, 5)]


def attributions(seen: Pass, target: Target) -> Tensor:
    """What each number that enters the net contributes, (N, C, H, W), signed.

    Raises:
        InputRejected: There is no such class.
        RunFailed: A gradient is NaN or ∞.
    """
    last = torch.empty(0)
    for last, _ in _attributions(seen, target):  # noqa: B007 - the last one is whole
        pass
    return last


def to_account_for(seen: Pass, target: Target) -> Tensor:
    """F(x) − F(x'), (N,): what the attributions of a picture, and so its map, add up to where the integral is exact."""
    with torch.no_grad():
        baseline = seen.model(torch.zeros_like(seen.x))
        return finite((score(seen.logits, target) - score(baseline, target)).float())


def _attributions(seen: Pass, target: Target) -> Iterator[tuple[Tensor, float]]:
    nodes, weights = np.polynomial.legendre.leggauss(STEPS)
    alphas = torch.tensor((nodes[_ORDER] + 1) / 2, dtype=torch.float32, device=seen.x.device)
    shares = torch.tensor(weights[_ORDER] / 2, dtype=torch.float32, device=seen.x.device)
    integral = torch.zeros_like(seen.x, dtype=torch.float32)
    covered = integral.new_zeros(len(seen.x), 1, 1, 1)
    for chunk in chunks(seen, target, STEPS):
        variants = list(chunk.variants)
        alpha, share = alphas[variants][:, None, None, None], shares[variants][:, None, None, None]
        between = alpha * seen.x[chunk.pictures]
        integral.index_add_(0, chunk.pictures, share * input_gradients(seen.model, between, chunk.target))
        covered.index_add_(0, chunk.pictures, share)
        # As far as it goes, the part that is known stands for the whole; in the end `covered` is 1.
        yield seen.x.float() * integral / torch.where(covered > 0, covered, 1), chunk.done


def _stream(seen: Pass, target: Target, layer: str) -> Iterator[Partial]:
    del layer
    for attributions_nchw, done in _attributions(seen, target):
        yield Partial(maps=attributions_nchw.sum(1), done=done)


INTEGRATED_GRADIENTS = Method(
    label="Integrated gradients",
    about="Fades the picture in from the mean colour and adds up what each pixel does to the class's logit on the way.",
    equation=r"\mathrm{IG}_i(x) = (x_i - x'_i)\int_0^1 "
    r"\frac{\partial F(x' + \alpha(x - x'))}{\partial x_i}\,\mathrm{d}\alpha",
    paper="Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017",
    url="https://arxiv.org/abs/1703.01365",
    caution="Depends on what counts as empty: a pixel of the mean colour gets nothing, however much it matters. Adds "
    "up to the logit's difference, yet keeps much of its picture when the weights are random.",
    grid="picture",
    is_class_specific=True,
    is_signed=True,
    is_slow=True,
    stream=_stream,
)
