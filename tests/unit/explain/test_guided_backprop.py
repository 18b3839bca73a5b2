import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlab.errors import Unsupported
from cnnlab.explain import METHODS, look
from cnnlab.explain.guided_backprop import guided_gradients
from tests.unit.explain.nets import PICTURE, branches, pictures, small, two_channels

GUIDED_BACKPROP, SALIENCY = METHODS["guided_backprop"], METHODS["saliency"]


def test_what_is_negative_stops_at_the_relu():
    # Logit 0 comes back to the ReLU as 2/4 in channel 0 and −1/4 in channel 1, where it ends; logit 1 as 4/4 in
    # channel 1, which is the picture with its sign turned.
    seen = look(two_channels(), PICTURE)
    assert guided_gradients(seen, 0).tolist() == [[[[0.5, 0.0], [0.5, 0.0]]]]
    assert guided_gradients(seen, 1).tolist() == [[[[0.0, -1.0], [0.0, -1.0]]]]
    assert GUIDED_BACKPROP.of(seen, 1, "").tolist() == [[[0.0, 1.0], [0.0, 1.0]]]


class Written(nn.Module):
    """`two_channels` with its ReLU written in another way."""

    def __init__(self, relu: Callable[[Tensor], Tensor | None]) -> None:
        super().__init__()
        self.net = two_channels()
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.net.get_submodule("conv")(x)
        returned = self.relu(x)
        x = x if returned is None else returned
        return self.net.get_submodule("linear")(x.mean((2, 3)))


def and_nothing_returned(x: Tensor) -> None:
    x.relu_()


WAYS = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu in place by position": lambda x: F.relu(x, True),
    "F.relu by name": lambda x: F.relu(input=x),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": Tensor.relu,
    "Tensor.relu_": and_nothing_returned,
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "F.relu6": F.relu6,
    "F.relu6 in place": lambda x: F.relu6(x, inplace=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_relu_is_met_however_it_is_written(way: str):
    model = Written(WAYS[way])
    with torch.no_grad():
        torch.testing.assert_close(model(PICTURE), torch.tensor([[0.5, 6.0]]))
    assert guided_gradients(look(model, PICTURE), 0).tolist() == [[[[0.5, 0.0], [0.5, 0.0]]]]
    assert SALIENCY.run(model, PICTURE, 0, "").tolist() == [[[0.5, 0.25], [0.5, 0.25]]]


def test_a_relu_with_an_end_is_shut_beyond_it():
    x = torch.tensor([[[[7.0, 5.0], [-5.0, -7.0]]]])
    assert guided_gradients(look(Written(nn.ReLU6()), x), 0).tolist() == [[[[0.0, 0.5], [0.0, 0.0]]]]


def test_the_answers_of_the_net_are_not_touched_by_the_way_back():
    from cnnlab.explain.rectifiers import Guided, Rectifiers

    for model in (small(), branches(), Written(nn.ReLU6(inplace=True))):
        x = PICTURE if isinstance(model, Written) else pictures()
        with torch.no_grad():
            expected = model(x)
            with Rectifiers(Guided) as relus:
                found = model(x)
        assert torch.equal(found, expected)
        assert relus.count > 0


@pytest.mark.parametrize("activation", [nn.LeakyReLU(), nn.GELU(), nn.Hardtanh(), nn.Identity()])
def test_a_net_without_relu_is_refused_with_the_reason(activation: nn.Module):
    with pytest.raises(Unsupported, match="has none: it would be the same as saliency"):
        GUIDED_BACKPROP.run(Written(activation), PICTURE, 0, "")


def test_other_activations_keep_their_own_gradient():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 1))
    with torch.no_grad():
        model[5].weight.abs_()  # what comes back to the ReLU is positive, so that it has nothing to stop
    found = GUIDED_BACKPROP.run(model, pictures(), 0, "")
    torch.testing.assert_close(found, SALIENCY.run(model, pictures(), 0, ""))


@pytest.mark.filterwarnings("ignore")
def test_captum_gives_the_same():
    captum = pytest.importorskip("captum.attr")
    for make in (small, lambda: small(in_place=False)):
        x = pictures()
        copied = copy.deepcopy(make())
        for module in copied.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # which Captum's hooks do not bear
        theirs = captum.GuidedBackprop(copied).attribute(x.clone(), target=torch.tensor([1, 3]))
        torch.testing.assert_close(guided_gradients(look(make(), x), [1, 3]), theirs, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_pytorch_grad_cam_gives_the_same():
    grad_cam = pytest.importorskip("pytorch_grad_cam")
    x = pictures(1)
    theirs_hwc = grad_cam.GuidedBackpropReLUModel(copy.deepcopy(small()), "cpu")(x.clone(), 2)
    ours_hwc = guided_gradients(look(small(), x), 2)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours_hwc, theirs_hwc, rtol=0, atol=1e-6)
