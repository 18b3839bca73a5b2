import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from cnnlab.data import AUGMENTATIONS, Augment, Step
from cnnlab.errors import InputRejected

# What makes each do nothing.
OFF = {
    "flip": {"probability": 0},
    "padded_crop": {"padding": 0},
    "translate": {"distance": 0},
    "rotation": {"degrees": 0},
    "affine": {"degrees": 0, "scale": 0, "shear": 0, "shift": 0},
    "random_resized_crop": {"smallest": 1, "stretch": 1},
    "colour_jitter": {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0},
    "cutout": {"side": 0},
    "erasing": {"largest": 0},
    "mixup": {"alpha": 0},
    "cutmix": {"probability": 0},
}
SHAPES = [(9, 3, 16, 16), (6, 1, 12, 20)]


def pictures(shape, layout=torch.contiguous_format):
    return torch.rand(shape, generator=torch.Generator().manual_seed(5)).contiguous(memory_format=layout)


def labels_of(count):
    return torch.arange(count) % 4


def run(key, batch, seed=0, **params):
    augment = Augment((Step(key, params),))
    return augment.apply(batch, labels_of(len(batch)), torch.Generator().manual_seed(seed), 4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("key", AUGMENTATIONS)
class TestAll:
    def test_the_same_state_gives_the_same_bits_and_another_gives_others(self, key, shape, layout):
        batch = pictures(shape, layout)
        one, same, other = (run(key, batch, seed)[0] for seed in (1, 1, 2))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    def test_the_callers_batch_and_labels_are_untouched(self, key, shape, layout):
        batch, labels = pictures(shape, layout), F.one_hot(labels_of(shape[0]), 4).float()
        kept, kept_labels = batch.clone(), labels.clone()
        params = Step(key).params
        result, mixed = AUGMENTATIONS[key].apply(batch, labels, torch.Generator().manual_seed(1), **params)
        result.fill_(0.5)
        mixed = mixed.clone()
        mixed.fill_(0.5)
        assert torch.equal(batch, kept)
        assert torch.equal(labels, kept_labels)

    def test_at_no_strength_nothing_changes(self, key, shape, layout):
        batch = pictures(shape, layout)
        result, labels = run(key, batch, **OFF[key])
        assert torch.allclose(result, batch, atol=2e-6)
        if AUGMENTATIONS[key].mixes:
            assert torch.equal(labels, F.one_hot(labels_of(len(batch)), 4).float())
        else:
            assert torch.equal(labels, labels_of(len(batch)))

    def test_values_stay_in_range_at_full_strength(self, key, shape, layout):
        most = {name: parameter.maximum for name, parameter in AUGMENTATIONS[key].parameters.items()}
        for seed in range(3):
            result, labels = run(key, pictures(shape, layout), seed, **most)
            assert result.shape == shape
            assert result.dtype == torch.float32
            assert float(result.min()) >= 0
            assert float(result.max()) <= 1 + 1e-6
            if AUGMENTATIONS[key].mixes:
                assert torch.allclose(labels.sum(1), torch.ones(shape[0]))
                assert float(labels.min()) >= 0

    def test_each_picture_gets_its_own_draw(self, key, shape, layout):
        twins = pictures((1, *shape[1:])).expand(30, -1, -1, -1).contiguous(memory_format=layout)
        changed, labels = run(key, twins)
        # Mixed with its like, a twin stays what it is; then the labels tell.
        result = labels if AUGMENTATIONS[key].mixes else changed.flatten(1)
        assert len({tuple(row) for row in result.tolist()}) >= 2


def test_off_covers_the_table():
    assert OFF.keys() == AUGMENTATIONS.keys()


# --- by hand ----------------------------------------------------------------------------------------------------


def counting(height=4, width=5):
    """One picture whose values are 0, 1, 2 …, over 100."""
    return torch.arange(float(height * width)).view(1, 1, height, width) / 100


def test_a_flip_by_hand_and_twice_is_none():
    batch = pictures(SHAPES[0])
    once = run("flip", batch, probability=1)[0]
    assert torch.equal(once, batch.flip(3))
    assert torch.equal(run("flip", once, probability=1)[0], batch)


def test_half_of_the_pictures_are_flipped():
    batch = pictures((1, 1, 2, 2)).expand(2000, -1, -1, -1)
    share = (run("flip", batch)[0] != batch).flatten(1).any(1).float().mean()
    assert float(share) == pytest.approx(0.5, abs=0.05)


@given(st.integers(0, 9), st.integers(0, 1000))
@settings(max_examples=50)
def test_a_padded_crop_is_a_crop_of_the_picture_continued_by_its_mirror_image(padding, seed):
    batch = pictures((1, 3, 10, 12))
    [result] = run("padded_crop", batch, seed, padding=padding)[0]
    padded = F.pad(batch, (padding,) * 4, mode="reflect")[0]
    crops = [
        padded[:, top : top + 10, left : left + 12] for top in range(2 * padding + 1) for left in range(2 * padding + 1)
    ]
    assert any(torch.equal(result, crop) for crop in crops)


def test_all_places_of_a_padded_crop_come_up():
    batch = counting().expand(2000, -1, -1, -1)
    corners = run("padded_crop", batch, padding=2)[0][:, 0, 2, 2]
    # Mirrored rows 2 1 0 1 2 3 2, of which the middle pixel may be in rows 0 to 3 and columns 0 to 4.
    assert set((corners * 100).round().int().tolist()) == set(range(20))


def test_padding_beyond_the_picture_goes_on_mirroring():
    result = run("padded_crop", counting(2, 2).expand(50, -1, -1, -1), padding=32)[0]
    assert set(result[:, 0].flatten().mul(100).round().int().tolist()) == {0, 1, 2, 3}


def test_a_shift_brings_black_in():
    batch = torch.ones(400, 1, 6, 8)
    result = run("translate", batch, distance=3)[0]
    rows = result[:, 0].amax(2).sum(1)
    columns = result[:, 0].amax(1).sum(1)
    assert torch.equal(result.flatten(1).sum(1), rows * columns)
    assert set(rows.tolist()) == {3, 4, 5, 6}
    assert set(columns.tolist()) == {5, 6, 7, 8}


def test_a_shift_moves_what_stays():
    batch = counting().expand(100, -1, -1, -1)
    for result in run("translate", batch, distance=1)[0][:, 0]:
        inner = (result[1:3, 1:4] * 100).round().int()
        step = int(inner[0, 0]) - 6
        assert inner.tolist() == [[6 + step, 7 + step, 8 + step], [11 + step, 12 + step, 13 + step]]
        assert step in {-6, -5, -4, -1, 0, 1, 4, 5, 6}


def test_turns_keep_the_middle_and_reach_as_far_as_asked():
    # A bright pixel 8 px above the middle of 33 × 33.
    batch = torch.zeros(500, 1, 33, 33)
    batch[:, 0, 7:10, 15:18] = 1
    result = run("rotation", batch, degrees=30)[0][:, 0]
    weights = result / result.sum((1, 2), keepdim=True)
    axis = torch.arange(33.0) - 16
    y, x = (weights.sum(2) * axis).sum(1), (weights.sum(1) * axis).sum(1)
    assert torch.allclose(torch.hypot(x, y), torch.tensor(8.0), atol=0.15)
    angles = torch.rad2deg(torch.atan2(x, -y))
    assert float(angles.max()) == pytest.approx(30, abs=1.5)
    assert float(angles.min()) == pytest.approx(-30, abs=1.5)


def test_turns_do_not_squeeze_oblong_pictures():
    batch = torch.zeros(50, 1, 30, 60)
    rows, columns = torch.meshgrid(torch.arange(30) - 14.5, torch.arange(60) - 29.5, indexing="ij")
    batch[:, 0] = (11 - torch.hypot(rows, columns)).clamp(0, 1)
    assert torch.allclose(run("rotation", batch, degrees=180)[0], batch, atol=0.25)


def test_scales_are_from_one_part_to_as_many_times():
    ramp = (torch.arange(41.0) / 40).expand(500, 1, 41, 41)
    result = run("affine", ramp, degrees=0, scale=0.5, shear=0, shift=0)[0]
    factors = 0.1 / (result[:, 0, 20, 22] - result[:, 0, 20, 18])  # four columns, 1/40 each
    assert float(factors.max()) == pytest.approx(1.5, abs=0.01)
    assert float(factors.min()) == pytest.approx(1 / 1.5, abs=0.01)


def test_a_slant_moves_rows_and_keeps_the_area():
    batch = torch.zeros(300, 1, 41, 41)
    batch[:, 0, 10:31, 18:23] = 1
    result = run("affine", batch, degrees=0, scale=0, shear=30, shift=0)[0]
    assert torch.allclose(result.sum((1, 2, 3)), batch.sum((1, 2, 3)), rtol=0.02)
    assert torch.allclose(result[:, 0].sum(2), batch[:, 0].sum(2), rtol=0.05, atol=0.05)
    axis = torch.arange(41.0) - 20
    top = (result[:, 0, 10] * axis).sum(1) / result[:, 0, 10].sum(1)
    assert float(top.abs().max()) == pytest.approx(10 * 3**-0.5, rel=0.1)


def test_shifts_reach_as_far_as_asked():
    batch = torch.zeros(500, 1, 40, 40)
    batch[:, 0, 18:22, 18:22] = 1
    result = run("affine", batch, degrees=0, scale=0, shear=0, shift=0.25)[0][:, 0]
    axis = torch.arange(40.0) - 19.5
    for sums in (result.sum(1), result.sum(2)):
        moved = (sums * axis).sum(1) / sums.sum(1)
        assert float(moved.max()) == pytest.approx(10, abs=0.3)
        assert float(moved.min()) == pytest.approx(-10, abs=0.3)


def test_resized_crops_show_parts_of_the_picture():
    # Value = place: what a crop shows is a straight ramp within the picture's, and its steepness is the crop's side.
    ramp = ((torch.arange(40.0) + 0.5) / 40).expand(1, 1, 40, 40)
    batch = torch.cat([ramp, ramp.mT], 1).expand(600, -1, -1, -1)
    result = run("random_resized_crop", batch, smallest=0.25, stretch=1.5)[0]
    wide = (result[:, 0, 20, 30] - result[:, 0, 20, 10]) * 2
    high = (result[:, 1, 30, 20] - result[:, 1, 10, 20]) * 2
    ratio = wide / high
    assert float((wide * high).min()) == pytest.approx(0.25, abs=0.02)
    assert float((wide * high).max()) == pytest.approx(1, abs=0.04)
    assert float(ratio.max()) == pytest.approx(1.5, abs=0.05)
    assert float(ratio.min()) == pytest.approx(1 / 1.5, abs=0.05)


def test_resized_crops_do_not_darken_the_border():
    white = torch.ones(50, 3, 16, 16)
    assert torch.allclose(run("random_resized_crop", white, smallest=0.05, stretch=2)[0], white)


def test_brightness_by_hand():
    result = run("colour_jitter", torch.full((500, 3, 2, 2), 0.4), brightness=0.5, contrast=0, saturation=0, hue=0)[0]
    assert float(result.min()) == pytest.approx(0.2, abs=0.01)
    assert float(result.max()) == pytest.approx(0.6, abs=0.01)


def test_contrast_turns_about_the_mean_and_saturation_about_the_grey():
    grey = torch.tensor([0.4, 0.6]).view(1, 1, 1, 2).expand(200, 3, -1, -1)
    result = run("colour_jitter", grey, brightness=0, contrast=0.5, saturation=0, hue=0)[0]
    assert torch.allclose(result.mean((2, 3)), torch.tensor(0.5))
    step = result[:, 0, 0, 1] - result[:, 0, 0, 0]
    assert float(step.min()) == pytest.approx(0.1, abs=0.01)
    assert float(step.max()) == pytest.approx(0.3, abs=0.01)
    assert torch.allclose(run("colour_jitter", grey, brightness=0, contrast=0, saturation=1, hue=0)[0], grey, atol=1e-6)


def test_a_turn_of_hue_keeps_greys_and_brightness():
    colours = pictures((50, 3, 4, 4)) * 0.2 + 0.4
    result = run("colour_jitter", colours, brightness=0, contrast=0, saturation=0, hue=180)[0]
    luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert torch.allclose((result * luma).sum(1), (colours * luma).sum(1), atol=1e-5)
    grey = torch.full((20, 3, 2, 2), 0.3)
    turned = run("colour_jitter", grey, brightness=0, contrast=0, saturation=0, hue=180)[0]
    assert torch.allclose(turned, grey, atol=1e-5)


def test_cutout_covers_a_square_with_the_mean_colour():
    batch = pictures((300, 3, 16, 16))
    result = run("cutout", batch, side=0.25, probability=1)[0]
    changed = (result != batch).all(1)
    covered = changed.sum((1, 2))
    # 4 × 4 px with the middle anywhere: from a corner, 2 × 2 are left, to the whole.
    assert set(covered.tolist()) == {rows * columns for rows in (2, 3, 4) for columns in (2, 3, 4)}
    means = batch.mean((2, 3), keepdim=True).expand_as(batch)
    assert torch.equal(result[changed[:, None].expand_as(batch)], means[changed[:, None].expand_as(batch)])
    assert torch.equal(changed.any(2).sum(1) * changed.any(1).sum(1), covered)


def test_erasing_takes_no_more_than_asked_from_the_share_asked():
    batch = torch.full((2000, 1, 20, 20), 2.0)
    covered = (run("erasing", batch, largest=0.25, probability=0.5)[0] != 2).sum((1, 2, 3))
    assert float((covered > 0).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert int(covered.max()) <= 0.25 * 400 * 1.15  # sides are rounded
    assert int(covered.max()) >= 0.2 * 400


def test_mixup_blends_pictures_as_it_blends_labels():
    # Pictures that show their label: the blend of the one must be the blend of the other.
    labels = torch.arange(300) % 4
    batch = F.one_hot(labels, 4).float()[:, :, None, None].expand(-1, -1, 3, 3)
    result, mixed = Augment((Step("mixup", {"alpha": 1}),)).apply(batch, labels, torch.Generator().manual_seed(0), 4)
    assert torch.allclose(result.mean((2, 3)), mixed, atol=1e-6)
    assert torch.allclose(result.amax((2, 3)), result.amin((2, 3)), atol=1e-6)
    # With α = 1 all shares come up alike. A quarter of the partners have the same label.
    own = mixed[torch.arange(300), labels]
    assert float(own.mean()) == pytest.approx(0.5 * 0.75 + 0.25, abs=0.06)


def test_the_shares_of_mixup_are_those_of_beta():
    labels = torch.arange(4000)
    batch = torch.zeros(4000, 1, 1, 1)
    mixed = Augment((Step("mixup", {"alpha": 0.2}),)).apply(batch, labels, torch.Generator().manual_seed(0), 4000)[1]
    own = mixed[labels, labels]
    # Beta(α, α) has the mean 1/2 and the variance 1 / (4 (2 α + 1)).
    assert float(own.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(own.var()) == pytest.approx(1 / (4 * 1.4), rel=0.05)


def test_cutmix_mixes_labels_by_the_pixels_that_are_left():
    labels = torch.arange(400) % 4
    batch = F.one_hot(labels, 4).float()[:, :, None, None].expand(-1, -1, 9, 7)
    result, mixed = Augment((Step("cutmix", {"probability": 1}),)).apply(
        batch, labels, torch.Generator().manual_seed(0), 4
    )
    # Pictures that show their label, so the share of pixels of each label is what the labels must say.
    assert torch.allclose(result.mean((2, 3)), mixed, atol=1e-6)
    assert set(result.unique().tolist()) == {0, 1}
    foreign = result[torch.arange(400), labels] == 0
    assert torch.equal(foreign.any(1).sum(1) * foreign.any(2).sum(1), foreign.sum((1, 2)))


# --- recipes ----------------------------------------------------------------------------------------------------


def test_steps_are_done_in_order():
    batch = pictures(SHAPES[0])
    augment = Augment((Step("translate"), Step("flip", {"probability": 1})))
    generator = torch.Generator().manual_seed(3)
    expected = AUGMENTATIONS["translate"].apply(batch, labels_of(9), generator, distance=2)[0].flip(3)
    assert torch.equal(augment.apply(batch, labels_of(9), torch.Generator().manual_seed(3), 4)[0], expected)


def test_a_recipe_of_everything_survives_as_plain_data():
    augment = Augment(tuple(Step(key) for key in AUGMENTATIONS))
    data = augment.to_data()
    assert Augment.from_data(data) == augment
    assert Augment.from_data(list(AUGMENTATIONS)) == augment
    assert data[0] == {"flip": {"probability": 0.5}}
    assert augment.mixes
    assert not Augment.from_data(["flip"]).mixes


def test_no_recipe_does_nothing():
    batch, labels = pictures(SHAPES[0]), labels_of(9)
    assert all(
        torch.equal(one, other)
        for one, other in zip(Augment().apply(batch, labels, torch.Generator(), 4), (batch, labels), strict=True)
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (["blur"], "no augmentation 'blur'; choose from flip"),
        ([{"flip": {"chance": 1}}], "takes probability, not 'chance'"),
        ([{"flip": {"probability": 1.5}}], "probability of flip must be a number from 0 to 1, got 1.5"),
        ([{"flip": {"probability": "often"}}], "must be a number from 0 to 1, got 'often'"),
        ([{"flip": {"probability": True}}], "must be a number"),
        ([{"flip": {"probability": float("nan")}}], "must be a number"),
        ([{"translate": {"distance": 1.5}}], "must be a whole number, got 1.5"),
        ([{"flip": {}, "cutout": {}}], "by its name"),
        ([{"flip": 1}], "by its name"),
        ([3], "by its name"),
        (3, "by its name"),
        ("flips", "no augmentation 'flips'"),
    ],
)
def test_what_makes_no_sense_is_refused(data, says):
    with pytest.raises(InputRejected, match=says):
        Augment.from_data(data)
