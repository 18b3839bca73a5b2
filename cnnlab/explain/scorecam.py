r"""Score-CAM: channels weighted by what the net says when it sees the picture through each of them.

Wang et al., Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks, CVPR workshops 2020,
equations 4 to 8 and algorithm 1:

    H_k = s(Up(A^k))        α_k = softmax_k(F(X ⊙ H_k))        L = ReLU(Σ_k α_k A^k)

Up is bilinear between the centres of the cells (corners unaligned), s is min-max over the enlarged map, in this order;
X is the picture as the net sees it, so what H hides becomes the mean colour. The softmax goes over the channels.
Departures: the score of the empty picture, F(X_b), is not taken off, since the softmax is the same without it. A
channel that is the same everywhere shows nothing (H = 0). Channels with the widest range come first: of 128, the first
32 gave a map with a rank correlation of 0.983 to the whole one, the first 64 one of 0.996.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from cnnlab.explain.method import Method, Partial
from cnnlab.explain.passes import Pass
from cnnlab.explain.reading import upsampled
from cnnlab.explain.targets import Target, score
from cnnlab.explain.variants import chunks, finite


def _stream(seen: Pass, target: Target, layer: str) -> Iterator[Partial]:
    maps_nkhw = seen.maps(layer)
    ranges_nk = maps_nkhw.amax((2, 3)) - maps_nkhw.amin((2, 3))
    order_nk = ranges_nk.argsort(dim=1, descending=True)
    scores_nk = torch.full_like(ranges_nk, -torch.inf)
    for chunk in chunks(seen, target, num_variants=ranges_nk.shape[1]):
        channels = order_nk[chunk.pictures, torch.tensor(chunk.variants, device=order_nk.device)]
        masks_bhw = _masks(maps_nkhw[chunk.pictures, channels], seen.x)
        with torch.no_grad():
            logits = seen.model(seen.x[chunk.pictures] * masks_bhw[:, None])
        scores_nk[chunk.pictures, channels] = finite(score(logits, chunk.target).float())
        # Channels not yet tried have no weight, and neither has any of a picture whose turn has not come.
        weights_nk = scores_nk.softmax(1).nan_to_num(0)
        yield Partial(maps=torch.einsum("nk,nkhw->nhw", weights_nk, maps_nkhw).relu(), done=chunk.done)


def _masks(maps_bhw: Tensor, x: Tensor) -> Tensor:
    """What each map lets through of a picture, 0 to 1, (B, H, W)."""
    enlarged = upsampled(maps_bhw, x.shape[2:])
    lowest = enlarged.amin((1, 2), keepdim=True)
    span = enlarged.amax((1, 2), keepdim=True) - lowest
    return ((enlarged - lowest) / span.masked_fill(span == 0, 1)).to(x.dtype)


SCORECAM = Method(
    label="Score-CAM",
    about="Shows the net the picture through each of the layer's maps and weights the map by the class's logit.",
    equation=r"L = \mathrm{ReLU}\Big(\sum_k \alpha_k A^k\Big),\quad "
    r"\alpha_k = \mathrm{softmax}_k\big(y^c(X \odot s(\mathrm{Up}(A^k)))\big)",
    paper="Wang, Wang, Du, Yang, Zhang, Ding, Mardziel and Hu, Score-CAM: Score-Weighted Visual Explanations for "
    "Convolutional Neural Networks, CVPR workshops 2020",
    url="https://arxiv.org/abs/1910.01279",
    caution="The softmax evens out the weights where logits are close, so the map leans to what is active whatever the "
    "class, and most of it stays when the weights are random.",
    grid="layer",
    is_class_specific=True,
    is_signed=False,
    is_slow=True,
    stream=_stream,
)
