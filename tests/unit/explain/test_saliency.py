import copy

import pytest
import torch

from cnnlab.explain import METHODS, Contrast
from tests.unit.explain.nets import PICTURE, pictures, small, two_channels

SALIENCY = METHODS["saliency"]


def test_the_slope_of_the_logit_at_each_pixel():
    # Logit 0 rises by 2/4 with a pixel above zero and by 1/4 with one below; logit 1 falls by 4/4 with one below.
    assert SALIENCY.run(two_channels(), PICTURE, 0, "").tolist() == [[[0.5, 0.25], [0.5, 0.25]]]
    assert SALIENCY.run(two_channels(), PICTURE, 1, "").tolist() == [[[0.0, 1.0], [0.0, 1.0]]]
    assert SALIENCY.run(two_channels(), PICTURE, Contrast(0, 1), "").tolist() == [[[0.5, 1.25], [0.5, 1.25]]]


def test_the_strongest_channel_counts_whatever_its_sign():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0, -3.0, 2.0]]))
    assert SALIENCY.run(model, torch.ones(1, 3, 1, 1), 0, "").tolist() == [[[3.0]]]


@pytest.mark.filterwarnings("ignore")
def test_captum_gives_the_same():
    captum = pytest.importorskip("captum.attr")
    x = pictures()
    theirs = captum.Saliency(copy.deepcopy(small())).attribute(x.clone(), target=torch.tensor([1, 3])).amax(1)
    torch.testing.assert_close(SALIENCY.run(small(), x, [1, 3], ""), theirs, rtol=0, atol=1e-6)
