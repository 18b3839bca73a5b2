import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cnnlab.explain.reading import normalized, read, upsampled

MAPS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.floats(-1e3, 1e3, width=32)
)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[-1.0, -2.0]], "No positive evidence: no value"),
        ([[0.0, 0.0]], "No positive evidence: no value"),
        ([[0.0, -2.0]], "No positive evidence: no value"),
        ([[3.0, 3.0]], "the same everywhere"),
    ],
)
def test_a_dead_map_says_why_and_is_drawn_as_zeros(values: list[list[float]], said: str):
    map_hw = torch.tensor(values)
    reading = read(map_hw)
    assert reading.is_dead
    assert said in reading.said
    assert "where it asks for one" in reading.said  # as not every method asks for a class or a layer
    assert not normalized(map_hw).any()


def test_a_living_map_tells_its_extremes_in_its_own_units():
    reading = read(torch.tensor([[-2.0, 0.5], [4.0, 0.0]]))
    assert (reading.minimum, reading.maximum, reading.is_dead, reading.said) == (-2.0, 4.0, False, "")


def test_negative_values_become_zero_and_the_greatest_one():
    torch.testing.assert_close(
        normalized(torch.tensor([[-2.0, 1.0], [4.0, 0.0]])), torch.tensor([[0.0, 0.25], [1.0, 0.0]])
    )
    torch.testing.assert_close(normalized(torch.tensor([[2.0, 3.0, 4.0]])), torch.tensor([[0.0, 0.5, 1.0]]))


@given(MAPS)
def test_a_normalized_map_spans_0_to_1_or_is_dead(values: NDArray[np.float32]):
    map_hw = torch.from_numpy(values)
    scaled = normalized(map_hw)
    assert bool(torch.isfinite(scaled).all())
    if read(map_hw).is_dead:
        assert not scaled.any()
    else:
        assert (float(scaled.min()), float(scaled.max())) == (0.0, 1.0)


def test_a_map_is_enlarged_between_the_centres_of_its_cells():
    # From 2 cells to 4: the outer pixels lie beyond the centres and keep the value of the cell.
    enlarged = upsampled(torch.tensor([[[0.0, 1.0]], [[2.0, 2.0]]]), (1, 4))
    torch.testing.assert_close(enlarged, torch.tensor([[[0.0, 0.25, 0.75, 1.0]], [[2.0, 2.0, 2.0, 2.0]]]))
