import pytest
import torch

from cnnlab.explain import METHODS, Contrast, ablationcam, look
from tests.unit.explain.nets import PICTURE, branches, pictures, set_to, small, two_channels

ABLATIONCAM = METHODS["ablationcam"]


def test_channels_are_weighted_by_what_the_logit_loses_without_them():
    # Logit 0.5; without channel 0 it is −1.5, without channel 1 it is 2: weights 2 and −1.5.
    assert ABLATIONCAM.run(two_channels(), PICTURE, 0, "relu").tolist() == [[[2.0, 0.0], [6.0, 0.0]]]


def test_evidence_for_a_class_stays_evidence_where_the_score_is_negative():
    # Score 0.5 − 6 = −5.5; without channel 0 it is −7.5, without channel 1 it is 2: weights 2 and −7.5.
    assert ABLATIONCAM.run(two_channels(), PICTURE, Contrast(0, 1), "relu").tolist() == [[[2.0, 0.0], [6.0, 0.0]]]


@pytest.mark.parametrize("layer", ["features.0", "features.1", "features"])
def test_the_weights_are_those_of_switching_off_one_by_one(layer: str, monkeypatch: pytest.MonkeyPatch):
    model, x = small(), pictures(2)
    seen = look(model, x, [layer])
    maps = seen.maps(layer)
    expected = torch.zeros(2, *maps.shape[2:])
    for channel in range(maps.shape[1]):
        switch = torch.ones(1, maps.shape[1], 1, 1)
        switch[0, channel] = 0
        without = seen.logits_with(layer, lambda output, switch=switch: output * switch)
        lost = (seen.logits - without)[[0, 1], [3, 1]].detach()
        expected += lost[:, None, None] * maps[:, channel]
    found = ABLATIONCAM.of(seen, [3, 1], layer)
    torch.testing.assert_close(found, expected.relu())
    # However many are switched off at once.
    monkeypatch.setattr(ablationcam, "_MOST_BYTES", 2 * maps[0].numel() * 4)
    parts = list(ABLATIONCAM.stream(seen, [3, 1], layer))
    assert len(parts) == 2 * -(-maps.shape[1] // 2)
    assert [part.done for part in parts] == sorted({part.done for part in parts})
    assert parts[-1].done == 1
    torch.testing.assert_close(parts[-1].maps, found)


@pytest.mark.parametrize("layer", ["left", "relu#2", "after"])
def test_branches_around_the_layer(layer: str):
    model, x = branches(), pictures(1)
    seen = look(model, x, [layer])
    lost = []
    for channel in range(seen.maps(layer).shape[1]):
        values = seen.maps(layer).clone()
        values[:, channel] = 0
        lost.append((seen.logits - seen.logits_with(layer, set_to(values)))[0, 1].detach())
    expected = (torch.stack(lost)[:, None, None] * seen.maps(layer)[0]).sum(0).relu()
    torch.testing.assert_close(ABLATIONCAM.of(seen, 1, layer)[0], expected)
