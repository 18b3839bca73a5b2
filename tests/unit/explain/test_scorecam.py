import math

import pytest
import torch

from cnnlab.explain import METHODS, Contrast, look
from tests.unit.explain.nets import PICTURE, pictures, small, two_channels

SCORECAM = METHODS["scorecam"]


def test_channels_are_weighted_by_what_the_net_says_through_them():
    # Through (1/3, 0; 1, 0) the picture is (1/3, 0; 3, 0), which scores 2 · 10/12; through (0, 1/2; 0, 1) it is
    # (0, −1; 0, −4), which scores −5/4.
    first = 1 / (1 + math.exp(-5 / 4 - 20 / 12))
    expected = first * torch.tensor([[1.0, 0], [3, 0]]) + (1 - first) * torch.tensor([[0.0, 2], [0, 4]])
    torch.testing.assert_close(SCORECAM.run(two_channels(), PICTURE, 0, "relu")[0], expected)


def test_the_best_channels_come_first_and_the_last_map_is_whole():
    model, x = small(), pictures(40)
    parts = list(SCORECAM.stream(look(model, x, ["features"]), 1, "features"))
    assert [part.done for part in parts] == sorted(part.done for part in parts)
    assert len(parts) > 1
    assert parts[0].done < 1
    assert parts[-1].done == 1
    torch.testing.assert_close(parts[-1].maps, SCORECAM.run(model, x, 1, "features"))
    # The first part holds the widest channel of the first pictures, alone; of the others nothing yet.
    maps = look(model, x, ["features"]).maps("features")
    widest = (maps.amax((2, 3)) - maps.amin((2, 3))).argmax(1)
    torch.testing.assert_close(parts[0].maps[0], maps[0, widest[0]])
    assert not parts[0].maps[-1].any()


def test_pictures_of_a_batch_do_not_influence_each_other():
    model, x = small(), pictures(5)
    together = SCORECAM.run(model, x, [0, 1, 2, 3, 0], "features")
    alone = [SCORECAM.run(model, x[n : n + 1], target, "features") for n, target in enumerate([0, 1, 2, 3, 0])]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("target", [0, Contrast(0, 1)])
def test_a_silent_layer_gives_zeros(target: int | Contrast):
    assert not SCORECAM.run(two_channels(), torch.zeros(1, 1, 2, 2), target, "relu").any()
