r"""SmoothGrad: the mean gradient over noisy copies of the picture.

Smilkov et al., SmoothGrad: removing noise by adding noise, 2017, section 3:

    M̂_c(x) = 1/n Σ_i M_c(x + ε_i),   ε_i ~ N(0, σ²),   M_c = ∂S_c/∂x

with n = 50 and σ = 15 % of the distance from the smallest to the largest value of the picture, both as they recommend.
Gradients are averaged with their signs; the map is the largest magnitude over the channels, as in saliency.
Departure: the noise comes from fixed seeds and is the same for every picture, so that a map can be had again.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from cnnlab.explain.method import Method, Partial
from cnnlab.explain.passes import Pass
from cnnlab.explain.saliency import strongest
from cnnlab.explain.targets import Target
from cnnlab.explain.variants import chunks, input_gradients

SAMPLES = 50
NOISE = 0.15


def _stream(seen: Pass, target: Target, layer: str) -> Iterator[Partial]:
    del layer
    flat = seen.x.flatten(1).float()
    sigma = (NOISE * (flat.amax(1) - flat.amin(1)))[:, None, None, None]
    total = torch.zeros_like(seen.x, dtype=torch.float32)
    counts = torch.zeros_like(sigma)
    for chunk in chunks(seen, target, SAMPLES):
        noise = torch.stack([_noise(sample, seen.x) for sample in chunk.variants])
        noisy = seen.x[chunk.pictures] + sigma[chunk.pictures] * noise
        gradients = input_gradients(seen.model, noisy, chunk.target)
        total.index_add_(0, chunk.pictures, gradients)
        counts.index_add_(0, chunk.pictures, torch.ones_like(sigma[chunk.pictures]))
        yield Partial(maps=strongest(total / counts.clamp_min(1)), done=chunk.done)


def _noise(sample: int, x: Tensor) -> Tensor:
    # On the CPU, so that it is the same on every device.
    generator = torch.Generator().manual_seed(sample)
    return torch.randn(x.shape[1:], generator=generator).to(x.device)


SMOOTHGRAD = Method(
    label="SmoothGrad",
    about="Averages the gradient over fifty noisy copies of the picture, so that what all of them share remains.",
    equation=r"\hat M_c(x) = \frac{1}{n}\sum_{i=1}^{n} \frac{\partial S_c}{\partial x}(x + \varepsilon_i),\quad "
    r"\varepsilon_i \sim \mathcal{N}(0, \sigma^2)",
    paper="Smilkov, Thorat, Kim, Viégas and Wattenberg, SmoothGrad: removing noise by adding noise, 2017",
    url="https://arxiv.org/abs/1706.03825",
    caution="Answers for pictures with visible noise, which the net may never have learnt from. A calmer map is not a "
    "truer one.",
    grid="picture",
    is_class_specific=True,
    is_signed=False,
    is_slow=True,
    stream=_stream,
)
