import math

import pytest
import torch

from cnnlab.data import load_dataset
from cnnlab.data.shapes import CLASSES, SHAPES, boxes_of, gather_shapes
from cnnlab.errors import RunFailed

# Areas by hand, in units of the enclosing circle's radius squared.
AREAS = {
    "circle": math.pi * 0.81,
    "square": 1.4**2,
    "triangle": 3 * math.sqrt(3) / 4,
    "star": 5 * 0.42 * math.sin(math.pi / 5),
    "cross": 2 * 1.8 * 0.6 - 0.6**2,
    "ring": math.pi * (0.81 - 0.25),
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_has_the_area_that_geometry_gives_and_lies_in_the_unit_circle(name):
    axis = torch.linspace(-1.2, 1.2, 1201, dtype=torch.float64)
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    inside = SHAPES[name](x, y) < 0
    assert float(inside.sum()) * 0.002**2 == pytest.approx(AREAS[name], rel=0.01)
    assert float(torch.hypot(x, y)[inside].max()) <= 1


@pytest.mark.parametrize("name", SHAPES)
def test_no_distance_is_overstated(name):
    # A rim fades over one pixel only where the distance changes by no more than one a pixel.
    axis = torch.linspace(-1.2, 1.2, 401, dtype=torch.float64)
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    distance = SHAPES[name](x, y)
    assert float(distance.diff(dim=0).abs().max()) <= 0.006 * 1.001
    assert float(distance.diff(dim=1).abs().max()) <= 0.006 * 1.001


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("objects", [1, 2])
def test_the_object_stands_out_just_where_the_mask_is(side, objects):
    drawn = gather_shapes(side=side, count=120, objects=objects)
    assert drawn.masks is not None
    assert drawn.boxes is not None
    assert drawn.pictures.shape == (120, side, side, 3)
    assert drawn.pictures.is_contiguous()
    # One colour under noise of ±0.03, in each channel 0.3 from the ground's mean.
    for picture, mask, box in zip(drawn.pictures.float() / 255, drawn.masks, drawn.boxes, strict=True):
        inner = ~torch.nn.functional.max_pool2d((~mask).float()[None], 3, 1, 1)[0].bool() & mask
        inner = inner if inner.any() else mask
        assert float(picture[inner].std(0, correction=0).max()) < 0.12
        contrast = (picture[inner].mean(0) - picture[~mask].mean(0)).abs()
        assert float(contrast.min()) > 0.2
        top, left, bottom, right = box.tolist()
        assert mask[top:bottom, left:right].sum() == mask.sum()
        assert mask[top].any()
        assert mask[bottom - 1].any()
        assert mask[:, left].any()
        assert mask[:, right - 1].any()


def test_the_mask_has_the_area_of_the_shape():
    drawn = gather_shapes(side=64, count=600)
    assert drawn.masks is not None
    shares = drawn.masks.float().mean((1, 2))
    # Radii are 0.18 to 0.29 of the side, all alike: the mean of r² is (0.29³ − 0.18³) / (3 · 0.11).
    mean_square = (0.29**3 - 0.18**3) / 0.33
    for number, name in enumerate(CLASSES):
        assert float(shares[drawn.labels == number].mean()) == pytest.approx(AREAS[name] * mean_square, rel=0.12)


def test_the_same_number_draws_the_same_pictures():
    one, same, other = (gather_shapes(count=60, drawing=drawing) for drawing in (3, 3, 4))
    assert torch.equal(one.pictures, same.pictures)
    assert torch.equal(one.labels, same.labels)
    assert not torch.equal(one.pictures, other.pictures)


def test_classes_are_even():
    dataset = load_dataset("shapes", count=120)
    assert dataset.class_counts() == (20,) * 6
    assert dataset.masks is not None


def test_a_box_by_hand():
    mask = torch.zeros(1, 4, 5, dtype=torch.bool)
    mask[0, 1, 2] = mask[0, 3, 3] = True
    assert boxes_of(mask).tolist() == [[1, 2, 4, 4]]


def test_drawing_can_be_cancelled_and_tells_how_far_it_is():
    told = []
    with pytest.raises(RunFailed, match="cancelled"):
        gather_shapes(lambda *said: told.append(said), lambda: len(told) == 2, count=1000)
    assert told == [("drawing", 250, 1000), ("drawing", 500, 1000)]
