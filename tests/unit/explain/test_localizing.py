import numpy as np
import pytest
import torch

from cnnlab.data.shapes import CLASSES
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.explain import METHODS
from cnnlab.explain.localizing import (
    Drawn,
    Scenes,
    centre_maps,
    drawn_scenes,
    drawn_shapes,
    localization,
    maps_of,
    random_maps,
    telling,
)
from cnnlab.images import Preprocessing
from cnnlab.inference import share
from cnnlab.nets import ARCHITECTURES
from cnnlab.nets.weights import bundled_weights, load_weights

PLAIN = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def one(mask_hw: torch.Tensor) -> Drawn:
    return Drawn(x=torch.zeros(1, 3, *mask_hw.shape), labels=torch.tensor([0]), masks=mask_hw[None])


def square(top: int, left: int, side: int = 2, size: int = 8) -> torch.Tensor:
    mask_hw = torch.zeros(size, size, dtype=torch.bool)
    mask_hw[top : top + side, left : left + side] = True
    return mask_hw


def test_the_mask_itself_is_a_perfect_map():
    drawn = drawn_shapes(30, 32, PLAIN)
    found = localization(drawn.masks.float(), drawn)
    assert found.pointing == 1
    assert found.num_dead == 0
    np.testing.assert_array_equal(found.energy, 1)
    np.testing.assert_array_equal(found.iou, 1)


def test_energy_and_iou_are_those_worked_out_by_hand():
    map_hw = torch.zeros(8, 8)
    map_hw[2:4, 2] = 3  # half of the object
    map_hw[0, 6:] = 1
    map_hw[7, 7] = -5  # evidence against does not count
    found = localization(map_hw[None], one(square(2, 2)))
    assert found.energy[0] == pytest.approx(6 / 8)
    assert found.iou[0] == pytest.approx(2 / 6)
    assert bool(found.hits[0])


@pytest.mark.parametrize(("distance", "is_hit"), [(0, True), (1, True), (2, False)])
def test_the_peak_may_lie_one_pixel_off_the_object(distance: int, is_hit: bool):
    map_hw = torch.zeros(8, 8)
    map_hw[3, 3 + distance] = 1
    assert bool(localization(map_hw[None], one(square(2, 2))).hits[0]) == is_hit


@pytest.mark.parametrize("value", [-1.0, 0.0, 2.0])
def test_a_map_that_is_the_same_everywhere_counts_as_a_miss(value: float):
    drawn = one(square(0, 0))
    found = localization(torch.full((1, 8, 8), value), drawn)
    assert (found.pointing, found.num_dead, found.energy[0], found.iou[0]) == (0, 1, 0, 0)
    scenes = Scenes(x=drawn.x, labels=drawn.labels, masks=drawn.masks, others=square(5, 5)[None])
    told = telling(torch.full((1, 8, 8), value), scenes)
    assert (told.hits[0], told.strays[0], told.energy[0]) == (False, False, 0)


def test_energy_on_the_asked_object_is_its_share_of_what_lies_on_both():
    map_hw = torch.ones(8, 8)
    map_hw[0:2, 0:2] = 9
    scenes = Scenes(
        x=torch.zeros(2, 3, 8, 8),
        labels=torch.tensor([0, 1]),
        masks=torch.stack([square(0, 0), square(5, 5)]),
        others=torch.stack([square(5, 5), square(0, 0)]),
    )
    told = telling(map_hw.expand(2, -1, -1), scenes)
    np.testing.assert_allclose(told.energy, [0.9, 0.1])
    assert told.hits.tolist() == [True, False]
    assert told.strays.tolist() == [False, True]


def test_the_interval_is_that_of_wilson():
    found = localization(torch.stack([square(0, 0).float()] * 4), _four(square(0, 0), square(4, 4)))
    assert found.pointing == 0.75
    low, high = found.interval
    # Both ends solve |p − 3/4| = 1.96 √(p (1 − p) / 4), which is how the interval is defined.
    for end in (low, high):
        assert abs(end - 0.75) == pytest.approx(1.96 * (end * (1 - end) / 4) ** 0.5)
    assert low < 0.75 < high


def _four(right: torch.Tensor, wrong: torch.Tensor) -> Drawn:
    masks = torch.stack([right, right, right, wrong])
    return Drawn(x=torch.zeros(4, 3, 8, 8), labels=torch.zeros(4, dtype=torch.int64), masks=masks)


def test_scenes_hold_two_objects_of_different_classes_that_do_not_touch():
    scenes = drawn_scenes(40, 32, PLAIN)
    assert len(scenes.x) == 80
    assert torch.equal(scenes.x[:40], scenes.x[40:])
    assert torch.equal(scenes.masks[:40], scenes.others[40:])
    assert bool((scenes.labels[:40] != scenes.labels[40:]).all())
    around = torch.nn.functional.max_pool2d(scenes.masks.float(), 5, 1, 2) > 0
    assert not bool((around & scenes.others).any())


def test_both_objects_of_a_scene_are_seen_in_it():
    scenes, drawn = drawn_scenes(12, 32, PLAIN), drawn_shapes(48, 32, PLAIN)
    for x, label, mask in zip(scenes.x, scenes.labels, scenes.masks, strict=True):
        source = next(n for n in range(48) if drawn.labels[n] == label and torch.equal(drawn.masks[n], mask))
        torch.testing.assert_close(x[:, mask], drawn.x[source][:, mask])


def test_chance_gets_the_area_and_the_middle_gets_more():
    drawn, scenes = drawn_shapes(240, 32, PLAIN), drawn_scenes(60, 32, PLAIN)
    chance, middle = localization(random_maps(drawn), drawn), localization(centre_maps(drawn), drawn)
    area = float(drawn.masks.float().mean())
    assert chance.energy.mean() == pytest.approx(area, abs=0.01)
    assert chance.pointing < 0.3 < middle.pointing < 0.8
    assert telling(random_maps(scenes), scenes).energy.mean() == pytest.approx(0.5, abs=0.03)


def test_pictures_are_normalised_as_the_net_was_fed():
    plain = drawn_shapes(6, 32, PLAIN)
    fed = drawn_shapes(6, 32, Preprocessing(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.4)))
    torch.testing.assert_close(fed.x[:, 1] * 0.2 + 0.4, plain.x[:, 1])
    assert 0 <= float(plain.x.min()) < float(plain.x.max()) <= 1
    with pytest.raises(InputRejected, match="grey"):
        drawn_shapes(6, 32, Preprocessing(channels="grey", mean=(0.0,), std=(1.0,)))


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    weights = bundled_weights()["resnet_cifar_shapes"]
    model = ARCHITECTURES[weights.architecture].build(num_classes=len(CLASSES), in_channels=3)
    load_weights(model, weights)
    return share(model)


def test_grad_cam_points_at_the_object_at_the_last_layer_and_tells_two_apart_only_there(net: torch.nn.Module):
    fed = bundled_weights()["resnet_cifar_shapes"].preprocessing
    drawn, scenes = drawn_shapes(120, 32, fed), drawn_scenes(40, 32, fed)
    last = localization(maps_of(METHODS["gradcam"], net, drawn, "features.6"), drawn)
    assert last.pointing > localization(centre_maps(drawn), drawn).pointing + 0.2
    late, early = (telling(maps_of(METHODS["gradcam"], net, scenes, layer), scenes) for layer in LAYERS)
    assert late.energy.mean() > 0.85
    assert early.energy.mean() < 0.7


LAYERS = ("features.6", "features.3")


def test_progress_is_told_and_a_stop_is_obeyed(net: torch.nn.Module):
    told: list[tuple[str, int, int]] = []
    drawn = drawn_shapes(60, 32, PLAIN)
    maps = maps_of(METHODS["gradcam"], net, drawn, "features.6", progress=lambda *said: told.append(said))
    assert maps.shape == drawn.masks.shape
    assert told == [("explaining", 50, 60), ("explaining", 60, 60)]
    with pytest.raises(RunFailed, match="stopped"):
        maps_of(METHODS["gradcam"], net, drawn, "features.6", cancelled=lambda: True)
    with pytest.raises(TypeError, match="shape"):
        localization(maps[:, :8], drawn)
