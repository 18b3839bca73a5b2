import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cnnlab.images.digits_form import mnist_form
from tests.conftest import DATA


@pytest.fixture(scope="session")
def mnist():
    """The first 2,000 test pictures."""
    found = next((DATA / "MNIST" / "raw").glob("t10k-images-idx3-ubyte*"), None)
    if found is None:
        pytest.skip(f"no MNIST at {DATA}; set CNNLAB_TEST_DATA to a folder that holds it")
    content = gzip.decompress(found.read_bytes()) if found.suffix == ".gz" else found.read_bytes()
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28)[:2000]


def box(pixels):
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    return rows[0], columns[0], int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def test_pictures_of_mnist_have_it_already(mnist):
    same = [np.array_equal(mnist_form(picture), picture) for picture in mnist]
    assert np.mean(same) >= 0.998


def test_pictures_of_mnist_are_found_again_when_they_are_moved(mnist):
    for picture in mnist[:100]:
        if np.array_equal(mnist_form(picture), picture):
            moved = np.zeros((60, 44), np.uint8)
            moved[30:58, 5:33] = picture
            np.testing.assert_array_equal(mnist_form(moved), picture)


def test_pictures_of_mnist_drawn_larger_come_back_nearly_the_same(mnist):
    errors = [
        np.abs(mnist_form(picture.repeat(4, axis=0).repeat(4, axis=1)).astype(int) - picture).mean()
        for picture in mnist[:100]
    ]
    assert np.mean(errors) < 6  # of 255; the filter softens the edges


def test_the_longer_side_becomes_20_and_the_proportion_stays():
    drawn = np.zeros((100, 90), np.uint8)
    drawn[10:90, 20:40] = 200
    formed = mnist_form(drawn)
    assert box(formed)[2:] == (20, 5)
    assert formed.max() == 200


def test_the_centre_of_mass_goes_to_row_and_column_14_not_the_middle_of_the_box():
    drawn = np.zeros((28, 28), np.uint8)
    drawn[2:22, 3:5] = 255  # an L that is heavy on the left and below
    drawn[20:22, 3:17] = 255
    formed = mnist_form(drawn)
    rows, columns = np.indices(formed.shape)
    assert abs((formed * rows).sum() / formed.sum() - 14) <= 0.5
    assert abs((formed * columns).sum() / formed.sum() - 14) <= 0.5
    top, left, _, _ = box(formed)
    assert (top, left) != (4, 4)


def test_nothing_drawn_stays_nothing():
    assert not mnist_form(np.zeros((28, 28), np.uint8)).any()


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
@settings(max_examples=100)
def test_whatever_is_drawn_fits_and_is_left_as_it_is(drawn):
    before = drawn.copy()
    formed = mnist_form(drawn)
    assert (formed.shape, formed.dtype) == ((28, 28), np.uint8)
    np.testing.assert_array_equal(drawn, before)
    if formed.any():
        assert max(box(formed)[2:]) <= 20


def test_what_is_no_drawing_is_refused():
    with pytest.raises(TypeError, match="float64"):
        mnist_form(np.zeros((28, 28)))
