"""The same maps as pytorch-grad-cam, torchcam and Captum make, on copies of the net.

pytorch-grad-cam scales twice and enlarges in between: ReLU, min-max, bilinear with unaligned corners, min-max. `drawn`
does the same to ours.
"""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnnlab.explain import METHODS
from cnnlab.explain.reading import normalized, upsampled
from cnnlab.nets import build_seeded
from tests.unit.explain.nets import pictures, small

# Their own warnings, and those of what they import.
pytestmark = pytest.mark.filterwarnings("ignore")

CLASSES = [1, 3]


def net(name: str) -> tuple[nn.Module, Tensor, str]:
    """A net, what it looks at, and the layer to explain, after a ReLU."""
    if name == "small":
        return small(), pictures(), "features.4"
    model = build_seeded("resnet_cifar", seed=1)
    return model, torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2)), "features"


def drawn(maps_nhw: Tensor, x: Tensor) -> Tensor:
    maps = torch.stack([normalized(each) for each in maps_nhw])
    return torch.stack([normalized(each) for each in upsampled(maps, (x.shape[2], x.shape[3]))])


def by_grad_cam(kind: str, model: nn.Module, x: Tensor, layer: str, targets: list[object]) -> Tensor:
    grad_cam = pytest.importorskip("pytorch_grad_cam")
    extras = {}
    if kind == "AblationCAM":
        # Its default is one object that all of them share.
        extras["ablation_layer"] = pytest.importorskip("pytorch_grad_cam.ablation_layer").AblationLayer()
    model = copy.deepcopy(model)
    with getattr(grad_cam, kind)(model, [model.get_submodule(layer)], **extras) as cam:
        return torch.from_numpy(np.asarray(cam(x, targets)))


def logits_of(classes: list[int]) -> list[object]:
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    return [targets.ClassifierOutputTarget(each) for each in classes]


def positive_classes(model: nn.Module, x: Tensor) -> list[int]:
    """Those that each picture is nearest to: where the score is negative, their Ablation-CAM is reversed."""
    best = model(x).max(1)
    assert bool((best.values > 0).all())
    return best.indices.tolist()


@pytest.mark.parametrize("name", ["small", "resnet_cifar"])
@pytest.mark.parametrize(
    ("key", "theirs"),
    [
        ("gradcam", "GradCAM"),
        ("xgradcam", "XGradCAM"),
        ("layercam", "LayerCAM"),
        ("hirescam", "HiResCAM"),
        ("ablationcam", "AblationCAM"),
    ],
)
def test_maps_are_those_of_pytorch_grad_cam(name: str, key: str, theirs: str):
    model, x, layer = net(name)
    classes = positive_classes(model, x)
    ours = drawn(METHODS[key].run(model, x, classes, layer), x)
    assert ours.amax((1, 2)).tolist() == [1, 1]
    torch.testing.assert_close(ours, by_grad_cam(theirs, model, x, layer, logits_of(classes)), rtol=0, atol=1e-5)


def test_a_negative_score_reverses_the_ablation_of_pytorch_grad_cam_and_not_ours():
    model, x, layer = net("small")
    classes = model(x).argmin(1).tolist()
    ours = METHODS["ablationcam"].run(model, x, classes, layer)
    theirs = by_grad_cam("AblationCAM", model, x, layer, logits_of(classes))
    assert not torch.allclose(drawn(ours, x), theirs, atol=0.1)

    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: Tensor) -> Tensor:
            return -self.inner(x)

    against = METHODS["ablationcam"].run(Turned().eval(), x, classes, f"inner.{layer}")
    torch.testing.assert_close(drawn(against, x), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["small", "resnet_cifar"])
def test_the_leading_pattern_is_that_of_pytorch_grad_cam_up_to_its_sign(name: str):
    model, x, layer = net(name)
    ours = METHODS["eigencam"].run(model, x, 0, layer)
    theirs = by_grad_cam("EigenCAM", model, x, layer, logits_of([0, 0]))
    for either, reversed_, their in zip(drawn(ours, x), drawn(-ours, x), theirs, strict=True):
        assert min(float((either - their).abs().max()), float((reversed_ - their).abs().max())) < 1e-5


@pytest.mark.parametrize("name", ["small", "resnet_cifar"])
def test_score_cam_lies_as_near_to_either_library_as_they_to_each_other(name: str):
    torchcam = pytest.importorskip("torchcam.methods")
    model, x, layer = net(name)
    ours = drawn(METHODS["scorecam"].run(model, x, CLASSES, layer), x)
    grad_cam = by_grad_cam("ScoreCAM", model, x, layer, logits_of(CLASSES))
    copied = copy.deepcopy(model)
    with torchcam.ScoreCAM(copied, layer, input_shape=tuple(x.shape[1:])) as extractor:
        copied(x)
        (found,) = extractor(CLASSES)
    torch_cam = drawn(found.detach(), x)
    apart = float((grad_cam - torch_cam).abs().max())
    assert float((ours - grad_cam).abs().max()) <= 1.1 * apart + 1e-5
    assert float((ours - torch_cam).abs().max()) <= 1.1 * apart + 1e-5


@pytest.mark.parametrize("name", ["small", "resnet_cifar"])
def test_grad_cam_is_captum_s_in_its_own_units(name: str):
    captum = pytest.importorskip("captum.attr")
    model, x, layer = net(name)
    copied = copy.deepcopy(model)
    theirs = captum.LayerGradCam(copied, copied.get_submodule(layer)).attribute(x, CLASSES, relu_attributions=True)
    torch.testing.assert_close(METHODS["gradcam"].run(model, x, CLASSES, layer), theirs[:, 0].detach())
