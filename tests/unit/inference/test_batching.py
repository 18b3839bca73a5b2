import gc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cnnlab.errors import InputRejected
from cnnlab.explain import look
from cnnlab.explain.variants import chunks
from cnnlab.images import UNIT, RgbImage
from cnnlab.inference import batching, share
from cnnlab.inference.batching import BYTES_AT_ONCE, bytes_of_picture, logits_of_pictures, pictures_at_once


def wide(channels):
    layers = (nn.Conv2d(3, channels, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return share(nn.Sequential(*layers))


def test_a_picture_takes_what_goes_in_and_what_layers_make_in_memory_of_their_own():
    model, x = wide(5), torch.zeros(2, 3, 4, 6)
    maps = 4 * 5 * 4 * 6
    assert bytes_of_picture(model, x) == 4 * 3 * 4 * 6 + maps + 4 * 5  # ReLU in place and Flatten make nothing
    assert bytes_of_picture(model, x, "0") == maps + 4 * 5
    assert bytes_of_picture(model, x, "2") == 4 * 5


@given(channels=st.integers(1, 3000), side=st.integers(1, 24), most=st.integers(1, 64))
@settings(max_examples=25, deadline=None)
def test_pictures_at_once_keep_to_the_budget_or_are_one(channels, side, most):
    model, x = wide(channels), torch.zeros(1, 3, side, side)
    at_once = pictures_at_once(model, x, most=most)
    assert 1 <= at_once <= most
    assert at_once == 1 or at_once * bytes_of_picture(model, x) <= BYTES_AT_ONCE
    assert at_once == most or (at_once + 1) * bytes_of_picture(model, x) > BYTES_AT_ONCE


def test_a_wide_net_gets_few_pictures_at_once_and_is_measured_once(monkeypatch):
    monkeypatch.setattr(batching, "BYTES_AT_ONCE", 8 * 2**20)
    model, sizes = wide(2048), []
    next(model.children()).register_forward_hook(lambda *call: sizes.append(len(call[2])))
    pictures = [RgbImage(np.full((16, 16, 3), number, dtype=np.uint8)) for number in range(9)]
    logits = logits_of_pictures(model, pictures, UNIT)  # 2 MB a picture
    assert sizes == [1, 3, 3, 3]
    with torch.no_grad():
        expected = torch.cat([model(torch.from_numpy(UNIT.apply(picture))[None]) for picture in pictures])
    np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-5, atol=1e-6)
    sizes.clear()
    logits_of_pictures(model, pictures, UNIT)
    assert sizes == [3, 3, 3]


def test_a_single_picture_is_not_measured():
    model, sizes = wide(4), []
    next(model.children()).register_forward_hook(lambda *call: sizes.append(len(call[2])))
    logits_of_pictures(model, [RgbImage(np.zeros((2, 2, 3), dtype=np.uint8))], UNIT)
    assert sizes == [1]


def test_variants_of_a_picture_for_a_wide_net_come_few_at_a_time():
    seen = look(wide(20_000), torch.zeros(1, 3, 32, 32))  # 82 MB a picture
    assert [len(chunk.variants) for chunk in chunks(seen, 0, 7)] == [3, 3, 1]
    narrow = look(wide(4), torch.zeros(1, 3, 32, 32))
    assert [len(chunk.variants) for chunk in chunks(narrow, 0, 40)] == [32, 8]


def test_what_is_known_of_a_net_goes_with_it():
    gc.collect()
    before = len(batching._made)
    model = wide(3)
    bytes_of_picture(model, torch.zeros(1, 3, 2, 2))
    assert len(batching._made) == before + 1
    del model
    gc.collect()
    assert len(batching._made) == before


def test_pictures_of_several_sizes_are_refused_in_words():
    pictures = [RgbImage(np.zeros((2, width, 3), dtype=np.uint8)) for width in (3, 3, 4)]
    with pytest.raises(InputRejected, match=r"Picture 3 becomes 4 × 2 px and the first one 3 × 2 px"):
        logits_of_pictures(wide(2), pictures, UNIT)


def test_a_net_without_a_row_of_logits_is_refused():
    with pytest.raises(InputRejected, match="row of logits"):
        logits_of_pictures(nn.Conv2d(3, 4, 1), [RgbImage(np.zeros((2, 2, 3), dtype=np.uint8))], UNIT)
