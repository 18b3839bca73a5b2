import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cnnlab.errors import InputRejected, RunFailed
from cnnlab.explain.faithfulness import Curve, blurred, confidence, delete_and_insert, random_orders, ranks
from cnnlab.inference import share


class Sum(nn.Module):
    """Logits 0 and ln of what is in the picture's left half: the probability of class 1 is s / (1 + s)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left = x[:, 0, :, : x.shape[3] // 2].sum((1, 2)).clamp_min(1e-12)
        return torch.stack([torch.zeros_like(left), left.log()], 1)


def left_bright(side: int = 4) -> torch.Tensor:
    """1 in the left half, −1 in the right one: its mean is 0."""
    x = torch.ones(1, 1, side, side)
    x[..., side // 2 :] = -1
    return x


def test_deleting_the_pixels_that_count_gives_the_curve_worked_out_by_hand():
    x = left_bright()
    curves = delete_and_insert(Sum(), x, x[0, 0], 1, steps=4)
    # 8 bright pixels; after 4 of 16, 4 are left; after 8, none.
    np.testing.assert_allclose(curves.deletion.shares, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curves.deletion.probabilities, [8 / 9, 4 / 5, 0, 0, 0], atol=1e-6)
    assert curves.deletion.area == pytest.approx((8 / 18 + 4 / 5) / 4, abs=1e-6)
    turned = delete_and_insert(Sum(), x, -x[0, 0], 1, steps=4)
    np.testing.assert_allclose(turned.deletion.probabilities, [8 / 9, 8 / 9, 8 / 9, 4 / 5, 0], atol=1e-6)


def test_insertion_ends_with_the_whole_picture_and_a_good_map_is_there_earlier():
    x = left_bright(8)
    good, bad = (delete_and_insert(Sum(), x, sign * x[0, 0], 1, steps=8).insertion for sign in (1, -1))
    assert good.probabilities[-1] == pytest.approx(32 / 33)
    assert bad.probabilities[-1] == pytest.approx(32 / 33)
    assert good.probabilities[4] == pytest.approx(32 / 33)
    assert good.area > bad.area


def test_the_area_is_that_of_trapezoids():
    assert Curve(shares=np.array([0, 0.25, 1]), probabilities=np.array([1, 0.5, 0])).area == pytest.approx(0.375)


def test_the_right_map_beats_random_orders_both_ways_and_the_wrong_one_loses():
    x = left_bright(8)
    orders = random_orders(Sum(), x, 1, orders=4, steps=16)
    right, wrong = (delete_and_insert(Sum(), x, sign * x[0, 0], 1, steps=16) for sign in (1, -1))
    for gain in (orders.deletion(right.deletion), orders.insertion(right.insertion)):
        assert gain.better_by > 3 * gain.random_spread > 0
    assert orders.deletion(wrong.deletion).better_by < 0
    assert orders.insertion(wrong.insertion).better_by < 0
    gain = orders.deletion(right.deletion)
    assert gain.random_area - gain.area == pytest.approx(gain.better_by)


def test_a_constant_map_is_one_of_the_random_orders():
    x = left_bright(8)
    orders = random_orders(Sum(), x, 1, orders=2, steps=8, seed=3)
    constant = delete_and_insert(Sum(), x, torch.full((8, 8), 5.0), 1, steps=8, seed=3)
    np.testing.assert_array_equal(constant.deletion.probabilities, orders.orders[0].deletion.probabilities)
    assert (orders.orders[0].deletion.probabilities != orders.orders[1].deletion.probabilities).any()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 100))
def test_ranks_count_each_pixel_once_and_follow_the_map(height: int, width: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    map_hw = torch.randint(0, 3, (height, width), generator=generator).float()
    places = ranks(map_hw, (height, width), generator)
    assert sorted(places.flatten().tolist()) == [*range(height * width)]
    in_order = map_hw.flatten()[places.flatten().argsort()]
    assert bool((in_order.diff() <= 0).all())


def test_a_small_map_is_enlarged_first():
    places = ranks(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), (8, 8), torch.Generator())
    assert int(places[:2, :2].max()) == 3  # the four pixels beyond the centre of the highest cell are equal
    assert int(places[:4, :4].max()) < 32


def test_the_blur_keeps_a_flat_picture_and_spreads_a_point_as_a_gaussian_does():
    torch.testing.assert_close(blurred(torch.full((1, 3, 9, 16), 0.7)), torch.full((1, 3, 9, 16), 0.7))
    x = torch.zeros(1, 1, 33, 33)
    x[..., 16, 16] = 1
    bell = blurred(x)[0, 0]
    sigma = 33 / 8
    assert float(bell[16, 20] / bell[16, 16]) == pytest.approx(np.exp(-0.5 * (4 / sigma) ** 2), rel=1e-5)
    assert float(bell[20, 16] / bell[16, 16]) == pytest.approx(np.exp(-0.5 * (4 / sigma) ** 2), rel=1e-5)


def test_drop_and_increase_are_those_worked_out_by_hand():
    x = torch.cat([left_bright(), left_bright()])
    maps = torch.stack([left_bright()[0, 0], -left_bright()[0, 0]])
    seen = confidence(Sum(), x, maps, 1)
    # The first keeps all that counts, the second nothing of it: dropped by all of 8/9.
    np.testing.assert_allclose(seen.whole, [8 / 9, 8 / 9], rtol=1e-6)
    np.testing.assert_allclose(seen.masked, [8 / 9, 0], atol=1e-6)
    assert seen.average_drop == pytest.approx(0.5)
    assert seen.increase == 0


def test_taking_away_what_speaks_against_a_class_is_an_increase():
    x = left_bright()
    x[..., 0, 0] = -3  # speaks against class 1
    map_hw = torch.ones(4, 4)
    map_hw[0, 0] = 0
    seen = confidence(Sum(), x, map_hw[None], [1])
    np.testing.assert_allclose([seen.whole[0], seen.masked[0]], [4 / 5, 7 / 8], rtol=1e-6)
    assert seen.increase == 1
    assert seen.average_drop == 0


def test_a_dead_map_leaves_nothing_of_the_picture():
    seen = confidence(Sum(), left_bright(), -torch.ones(1, 2, 2), 1)
    assert seen.average_drop == pytest.approx(1)


def test_progress_is_told_to_its_end_and_a_stop_is_obeyed():
    told: list[tuple[str, int, int]] = []
    x = left_bright()
    delete_and_insert(Sum(), x, x[0, 0], 1, steps=4, progress=lambda *said: told.append(said))
    assert told == [("deleting", 5, 10), ("inserting", 10, 10)]
    told.clear()
    random_orders(Sum(), x, 1, orders=2, steps=4, progress=lambda *said: told.append(said))
    assert told[-1] == ("inserting", 20, 20)
    with pytest.raises(RunFailed, match="stopped"):
        delete_and_insert(Sum(), x, x[0, 0], 1, cancelled=lambda: True)


def test_what_cannot_be_asked_is_refused():
    x = left_bright()
    with pytest.raises(InputRejected, match="0 to 1"):
        delete_and_insert(Sum(), x, x[0, 0], 2)
    with pytest.raises(RunFailed, match="NaN"):
        delete_and_insert(Sum(), x * float("nan"), x[0, 0], 1)
    with pytest.raises(TypeError, match="one picture"):
        delete_and_insert(Sum(), torch.cat([x, x]), x[0, 0], 1)
    with pytest.raises(TypeError, match="2 orders"):
        random_orders(Sum(), x, 1, orders=1)


def test_a_shared_net_stays_as_it_is():
    net = share(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2)))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x = left_bright()
    delete_and_insert(net, x, x[0, 0], 1, steps=3)
    random_orders(net, x, 1, steps=3)
    confidence(net, x, x[:, 0], 1)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not net.training
    assert all(each.grad is None and not each.requires_grad for each in net.parameters())
