import pytest
import torch
from torch import Tensor, nn

from cnnlab.explain import METHODS, look, smoothgrad
from tests.unit.explain.nets import PICTURE, pictures, small, two_channels

SMOOTHGRAD, SALIENCY = METHODS["smoothgrad"], METHODS["saliency"]


class Squares(nn.Module):
    """One logit, the sum of the squares; the gradient is twice the picture. Remembers what it is fed."""

    def __init__(self) -> None:
        super().__init__()
        self.fed: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.fed.append(x.detach().clone())
        return x.square().flatten(1).sum(1, keepdim=True)


def test_a_gradient_that_is_the_same_everywhere_stays_what_it_is():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    found = SMOOTHGRAD.run(model, PICTURE, 1, "")
    torch.testing.assert_close(found, model[1].weight[1].detach().abs().reshape(1, 2, 2))


def test_it_is_the_mean_over_fifty_pictures_with_fifteen_percent_noise():
    model = Squares()
    x = torch.linspace(-1, 3, 1024).reshape(1, 1, 32, 32)
    seen = look(model, x)
    seen.model.fed.clear()  # type: ignore[union-attr, operator]
    maps = SMOOTHGRAD.of(seen, 0, "")
    fed = torch.cat(seen.model.fed[1:])  # type: ignore[arg-type, index]  # the first one measures the net
    assert fed.shape == (50, 1, 32, 32)
    noise = fed - x
    assert float(noise.std()) == pytest.approx(0.15 * 4, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(torch.corrcoef(noise.flatten(1)).fill_diagonal_(0).abs().max()) < 0.2
    torch.testing.assert_close(maps, 2 * fed.mean(0).abs(), rtol=1e-4, atol=1e-5)


def test_without_noise_it_is_saliency(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(smoothgrad, "NOISE", 0.0)
    found = SMOOTHGRAD.run(small(), pictures(), [0, 2], "")
    torch.testing.assert_close(found, SALIENCY.run(small(), pictures(), [0, 2], ""))


def test_a_picture_gets_the_same_map_again_in_any_company():
    model = two_channels()
    others = torch.randn(20, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    alone = SMOOTHGRAD.run(model, PICTURE, 0, "")
    assert torch.equal(alone, SMOOTHGRAD.run(model, PICTURE, 0, ""))
    together = SMOOTHGRAD.run(model, torch.cat([others, PICTURE]), 0, "")
    torch.testing.assert_close(together[-1:], alone)


def test_the_map_settles_as_it_streams():
    seen = look(small(), pictures(2))
    *parts, last = [part.maps for part in SMOOTHGRAD.stream(seen, 1, "")]
    away = [float((part - last).norm()) for part in parts]
    assert len(parts) == 3
    assert away == sorted(away, reverse=True)
    assert away[0] < float(last.norm())
