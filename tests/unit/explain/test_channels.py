from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cnnlab.errors import InputRejected, RunFailed
from cnnlab.explain import Contrast, look
from cnnlab.explain.channels import each_switched_off, facts_of, made_by, switched_off, top_pictures
from cnnlab.inference import share
from tests.unit.explain.nets import PICTURE, branches, pictures, small, state_of, state_of_thread, two_channels

CLEAN = (True, False, [], [])


def test_channels_by_what_is_worked_out_by_hand():
    # Maps (1, 0; 3, 0) and (0, 2; 0, 4); logit 0 is 2 · mean of the first − mean of the second.
    facts = facts_of(look(two_channels(), PICTURE, ["relu"]), 0, "relu")
    assert facts.means.tolist() == [1.0, 1.5]
    assert facts.maxima.tolist() == [3.0, 4.0]
    assert facts.weights.tolist() == [0.5, -0.25]
    assert facts.is_dead.tolist() == [False, False]
    assert facts.by_mean() == [1, 0]
    assert facts.by_weight() == [0, 1]


def test_the_facts_are_those_of_the_picture_and_the_class_that_are_asked_for():
    seen = look(two_channels(), torch.cat([PICTURE, PICTURE.abs()]), ["relu"])
    facts = facts_of(seen, Contrast(1, 0), "relu", picture=1)
    assert facts.means.tolist() == [2.5, 0.0]
    assert facts.is_dead.tolist() == [False, True]
    assert facts.weights.tolist() == [-0.5, 1.25]


def test_a_channel_below_zero_everywhere_is_not_dead_before_the_relu():
    seen = look(two_channels(), PICTURE.abs(), ["conv"])
    assert facts_of(seen, 0, "conv").is_dead.tolist() == [False, False]


def test_without_channels_the_net_says_what_is_left():
    seen = look(two_channels(), PICTURE, ["relu"])
    assert switched_off(seen, "relu", []).tolist() == [[0.5, 6.0]]
    assert switched_off(seen, "relu", [0]).tolist() == [[-1.5, 6.0]]
    assert switched_off(seen, "relu", {0, 1}).tolist() == [[0.0, 0.0]]
    assert each_switched_off(seen, "relu").tolist() == [[-1.5, 6.0], [2.0, 0.0]]


@pytest.mark.parametrize(("make", "layer"), [(small, "features.3"), (branches, "left"), (branches, "relu#2")])
def test_each_channel_off_is_that_channel_off(make: type[nn.Module], layer: str):
    seen = look(make(), pictures(), [layer])
    expected = torch.stack([switched_off(seen, layer, [k])[1] for k in range(seen.maps(layer).shape[1])])
    found = each_switched_off(seen, layer, picture=1)
    assert float((found - seen.logits[1].detach()).abs().max()) > 0.01
    torch.testing.assert_close(found, expected)


def test_a_channel_that_is_not_there_is_refused():
    seen = look(two_channels(), PICTURE, ["relu"])
    with pytest.raises(InputRejected, match="numbered 0 to 1, got 2"):
        switched_off(seen, "relu", [0, 2])


def test_the_pictures_that_excite_a_channel_most_and_where():
    x = torch.zeros(4, 1, 2, 2)
    x[0, 0, 1, 0], x[1, 0, 0, 1], x[2, 0, 0, 0], x[3, 0, 1, 1] = 2.0, 5.0, -3.0, 2.0
    [table] = top_pictures(two_channels(), x, "relu", 3)
    assert (table.num_seen, table.cells) == (4, (2, 2))
    brightest = [(each.index, each.value, each.place) for each in table.of(0)]
    assert brightest == [(1, 5.0, (0, 1)), (0, 2.0, (1, 0)), (3, 2.0, (1, 1))]
    assert table.of(1)[0].value == 3.0
    assert table.of(1)[0].index == 2
    assert table.of(1)[1].value == 0.0


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(1, 6))
@settings(max_examples=20)
def test_however_the_pictures_come_the_table_is_the_same(sizes: list[int], num: int):
    model = share(small())
    x = pictures(sum(sizes)).round()  # so that values are equal now and then
    with torch.no_grad():
        maxima_nk = made_by(model, x, "features.1").flatten(2).amax(2)
    tables = list(top_pictures(model, iter(x.split(sizes)), "features.1", num))
    assert [table.num_seen for table in tables] == np.cumsum(sizes).tolist()
    last = tables[-1]
    expected = maxima_nk.T.sort(dim=1, descending=True, stable=True)
    np.testing.assert_allclose(last.values, expected.values[:, :num].numpy(), rtol=1e-5, atol=1e-6)
    assert last.indices.shape == (5, min(num, len(x)))
    np.testing.assert_allclose(
        np.take_along_axis(maxima_nk.T.numpy(), last.indices, 1), last.values, rtol=1e-5, atol=1e-6
    )
    for channel in range(5):
        assert len({each.index for each in last.of(channel)}) == min(num, len(x))


def test_a_vector_has_one_number_for_each_channel():
    [table] = top_pictures(two_channels(), torch.cat([PICTURE, 2 * PICTURE]), "linear", 1)
    assert table.cells == (1, 1)
    assert [each.value for each in (*table.of(0), *table.of(1))] == [1.0, 12.0]
    assert table.rows.tolist() == table.columns.tolist() == [[0], [0]]


class Refuses(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError(f"ran on {x.shape}")


def test_the_layers_behind_do_not_run():
    model = nn.Sequential(small().get_submodule("features"), Refuses())
    [table] = top_pictures(model, [pictures()], "0.4", 1)
    assert table.num_seen == 2


def test_a_sweep_that_is_stopped_leaves_no_trace_and_asks_for_no_more_pictures():
    model = share(small())
    before = state_of(model)
    asked = 0

    def batches() -> Iterator[Tensor]:
        nonlocal asked
        while True:
            asked += 1
            yield pictures()

    tables = top_pictures(model, batches(), "features.4", 2)
    next(tables)
    next(tables)
    assert state_of_thread() == CLEAN  # while the caller has its turn
    tables.close()  # type: ignore[attr-defined]
    assert asked == 2
    assert state_of(model) == before
    assert state_of_thread() == CLEAN


def test_what_cannot_be_swept_is_refused():
    with pytest.raises(InputRejected, match=r"no layer nowhere"):
        next(top_pictures(small(), pictures(), "nowhere"))
    with pytest.raises(RunFailed, match="NaN"):
        next(top_pictures(small(), pictures() * torch.nan, "features.0"))
    rows = nn.Sequential(nn.Flatten(2), nn.Linear(144, 2))
    with pytest.raises(InputRejected, match="neither maps nor a row of channels"):
        next(top_pictures(rows, pictures(), "0"))
