import torch
from torch import nn

from cnnlab.explain import METHODS, look
from tests.unit.explain.nets import PICTURE, pictures, small, two_channels

XGRADCAM = METHODS["xgradcam"]


def test_where_gradients_do_not_vary_it_is_grad_cam_with_its_sign():
    assert XGRADCAM.run(two_channels(), PICTURE, 0, "relu").tolist() == [[[0.5, -0.5], [1.5, -1.0]]]


def test_gradients_count_where_the_channel_is_active():
    # One channel (1, 3) with gradients (4, 8): α = (1 · 4 + 3 · 8) / (1 + 3) = 7.
    model = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(2, 1, bias=False)).eval()
    with torch.no_grad():
        model[2].weight.copy_(torch.tensor([[4.0, 8.0]]))
    assert XGRADCAM.run(model, torch.tensor([[[[1.0, 3.0]]]]), 0, "0").tolist() == [[[7.0, 21.0]]]
    # (1, −1) cancels out: no weight.
    assert XGRADCAM.run(model, torch.tensor([[[[1.0, -1.0]]]]), 0, "0").tolist() == [[[0.0, 0.0]]]


def test_the_map_adds_up_to_activation_times_gradient():
    seen = look(small(), pictures(3), ["features"])
    expected = (seen.gradients(2, "features") * seen.maps("features")).sum((1, 2, 3))
    torch.testing.assert_close(XGRADCAM.of(seen, 2, "features").sum((1, 2)), expected)
