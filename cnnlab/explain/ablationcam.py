r"""Ablation-CAM: channels weighted by what the logit loses when they are switched off.

Desai and Ramaswamy, Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free Localization,
WACV 2020, equations 4 and 5, with y_k the logit when channel k is zero everywhere:

    w_k = (y − y_k) / y        L = ReLU(Σ_k w_k A^k)

Departures: the loss y − y_k is not divided by y. Where y is positive, that only scales the map, which is then in logits
and can be compared between pictures; where y is negative, the division would turn evidence for the class into evidence
against it, as it does in pytorch-grad-cam. Switched off means zero also for layers that make negative values.

The layers before run once for many channels, and only those behind run for each.
"""

from collections.abc import Iterator
from functools import partial

import torch

from cnnlab.explain.method import Method, Partial
from cnnlab.explain.passes import Pass, logits_with
from cnnlab.explain.targets import Target, of_picture, score
from cnnlab.explain.variants import each_without, finite
from cnnlab.inference.batching import pictures_at_once

# Maps with a channel off, together: all 512 of a ResNet-18's last layer, ten of its first.
_MOST_BYTES = 64 * 2**20


def _stream(seen: Pass, target: Target, layer: str) -> Iterator[Partial]:
    maps_nkhw = seen.maps(layer)
    scores_n = score(seen.logits.detach(), target).float()
    num_pictures, num_channels = maps_nkhw.shape[:2]
    most = _MOST_BYTES // (maps_nkhw[0].numel() * maps_nkhw.element_size())
    at_once = pictures_at_once(seen.model, seen.x, most=most, layer=layer)
    lost_nk = torch.zeros(num_pictures, num_channels, device=maps_nkhw.device)
    for picture in range(num_pictures):
        for channels in torch.arange(num_channels, device=maps_nkhw.device).split(at_once):
            x = seen.x[picture : picture + 1]
            logits = logits_with(seen.model, x, layer, partial(each_without, off=channels))
            left_over = finite(score(logits, of_picture(target, picture)).float())
            lost_nk[picture, channels] = scores_n[picture] - left_over
            done = (picture + (int(channels[-1]) + 1) / num_channels) / num_pictures
            yield Partial(maps=torch.einsum("nk,nkhw->nhw", lost_nk, maps_nkhw).relu(), done=done)


ABLATIONCAM = Method(
    label="Ablation-CAM",
    about="Switches the layer's channels off one by one and weights each by what the class's logit loses.",
    equation=r"L = \mathrm{ReLU}\Big(\sum_k (y^c - y^c_{\setminus k})\,A^k\Big)",
    paper="Desai and Ramaswamy, Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free "
    "Localization, WACV 2020",
    url="https://doi.org/10.1109/WACV45572.2020.9093360",
    caution="One channel at a time: where two channels say the same, neither is missed when it is off.",
    grid="layer",
    is_class_specific=True,
    is_signed=False,
    is_slow=True,
    stream=_stream,
)
