import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer, ROADCombined
from torch import nn
from torch.nn import functional as F

from cnnlab.errors import InputRejected, RunFailed
from cnnlab.explain.road import SHARES, filled_in, road

SIDE = 32

# pytorch-grad-cam hands tensors to numpy functions.
theirs_warns = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")


def picture(seed: int = 0) -> torch.Tensor:
    """Soft colours with a little noise, (1, 3, 32, 32)."""
    generator = torch.Generator().manual_seed(seed)
    soft = F.interpolate(torch.randn(1, 3, 6, 6, generator=generator), size=(SIDE, SIDE), mode="bicubic")
    return soft + 0.1 * torch.randn(1, 3, SIDE, SIDE, generator=generator)


def map_of(seed: int = 1) -> torch.Tensor:
    """No two values alike, (32, 32) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    soft = F.interpolate(torch.randn(1, 1, 5, 5, generator=generator), size=(SIDE, SIDE), mode="bicubic")[0, 0]
    soft = soft + 1e-3 * torch.rand(SIDE, SIDE, generator=generator)
    return (soft - soft.min()) / (soft.max() - soft.min())


class Brightness(nn.Module):
    """Logit of class 1: the mean of the upper half."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        upper = 4 * x[:, :, : x.shape[2] // 2].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(upper), upper], 1)


def test_a_single_missing_pixel_is_the_mean_of_its_neighbours():
    x = torch.arange(9.0).reshape(1, 1, 3, 3) ** 2
    is_missing = torch.zeros(2, 3, 3, dtype=torch.bool)
    is_missing[0, 1, 1] = True
    is_missing[1, 0, 0] = True
    filled = filled_in(x, is_missing, noise=0, generator=torch.Generator())
    assert float(filled[0, 0, 1, 1]) == pytest.approx((1 + 9 + 25 + 49) / 6 + (0 + 4 + 36 + 64) / 12, rel=1e-5)
    # In the corner there are two beside it and one across: weights 2, 2, 1 of 5.
    assert float(filled[1, 0, 0, 0]) == pytest.approx((2 * 1 + 2 * 9 + 16) / 5, rel=1e-5)
    assert torch.equal(filled[0][~is_missing[0][None]], x[0][~is_missing[0][None]])


def test_a_hole_in_a_slope_is_filled_with_the_slope():
    x = torch.arange(12.0).expand(1, 1, 12, 12) / 4
    is_missing = torch.zeros(1, 12, 12, dtype=torch.bool)
    is_missing[0, 2:10, 3:9] = True
    torch.testing.assert_close(filled_in(x, is_missing, noise=0, generator=torch.Generator()), x, atol=1e-4, rtol=0)


@theirs_warns
@pytest.mark.parametrize("share", SHARES)
def test_the_filling_is_that_of_pytorch_grad_cam(share: float):
    x, map_hw = picture(), map_of()
    is_missing = map_hw > map_hw.quantile(1 - share)
    theirs = NoisyLinearImputer(noise=0)(x[0], (~is_missing).float())
    ours = filled_in(x, is_missing[None], noise=0, generator=torch.Generator())[0]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@theirs_warns
def test_the_score_is_that_of_pytorch_grad_cam_up_to_noise_and_one_pixel_a_step():
    x, map_hw = picture(), map_of()
    theirs = ROADCombined([10, 20, 30, 40, 50, 60, 70, 80, 90])(
        x, map_hw.numpy()[None], [lambda logits: logits.softmax(0)[1]], Brightness()
    )
    ours = road(Brightness(), x, map_hw, 1)
    assert abs(ours.score) > 0.01
    assert ours.score == pytest.approx(float(theirs[0]), abs=2e-3)


def test_what_counts_goes_first_for_a_right_map_and_last_for_its_reverse():
    x = picture() * 0.2
    x[:, :, 4:12, 4:28] += 3
    map_hw = torch.zeros(SIDE, SIDE)
    map_hw[4:12, 4:28] = 1
    right, wrong = road(Brightness(), x, map_hw, 1), road(Brightness(), x, -map_hw, 1)
    assert right.most_first[2] < 0.7 < 0.9 < right.least_first[2]
    assert right.score > 0.05
    assert wrong.score < -0.05
    np.testing.assert_allclose(right.shares, SHARES, atol=1e-3)


def test_the_noise_is_as_large_as_asked_for_and_the_same_each_time():
    x = torch.zeros(1, 3, 64, 64)
    is_missing = torch.ones(1, 64, 64, dtype=torch.bool)
    is_missing[:, 0] = False
    first, again = (filled_in(x, is_missing, noise=0.01, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert float(first[0, :, 1:].std()) == pytest.approx(0.01, rel=0.05)
    assert float(first[0, :, 0].abs().max()) == 0


def test_progress_is_told_a_stop_is_obeyed_and_nonsense_is_refused():
    told: list[tuple[str, int, int]] = []
    x, map_hw = picture(), map_of()
    road(Brightness(), x, map_hw, 1, progress=lambda *said: told.append(said))
    assert told[-1] == ("filling in", 18, 18)
    with pytest.raises(RunFailed, match="stopped"):
        road(Brightness(), x, map_hw, 1, cancelled=lambda: True)
    with pytest.raises(InputRejected, match="0 to 1"):
        road(Brightness(), x, map_hw, 7)
    with pytest.raises(TypeError, match="every pixel"):
        filled_in(x, torch.ones(1, SIDE, SIDE, dtype=torch.bool), noise=0, generator=torch.Generator())
    with pytest.raises(TypeError, match="one picture"):
        road(Brightness(), torch.cat([x, x]), map_hw, 1)
