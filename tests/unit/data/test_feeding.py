import pytest
import torch

from cnnlab.data import AUGMENTATIONS, Augment, Feed, Step, load_dataset

COLOUR = load_dataset("shapes", count=60)
GREY = load_dataset("digits")


def feed(dataset, *steps, **how):
    return Feed(
        dataset.pictures,
        dataset.labels,
        **{"mean": dataset.mean, "std": dataset.std}
        | {"num_classes": len(dataset.classes), "augment": Augment.from_data(steps)}
        | how,
    )


def by_hand(dataset, indices):
    """In double precision, without any trick."""
    x = dataset.pictures[indices].permute(0, 3, 1, 2).double() / 255
    mean, std = (torch.tensor(one, dtype=torch.float64).view(1, -1, 1, 1) for one in (dataset.mean, dataset.std))
    return (x - mean) / std


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dataset", [COLOUR, GREY], ids=["colour", "grey"])
def test_plain_batches_are_the_pictures_normalised(dataset):
    indices = torch.tensor([3, 50, 3, 0])
    x, labels = feed(dataset).plain_batch(indices)
    assert torch.allclose(x.double(), by_hand(dataset, indices), atol=1e-5)
    assert labels.tolist() == dataset.labels[indices].tolist()
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_the_training_part_has_mean_0_and_deviation_1():
    x, _ = feed(COLOUR).plain_batch(COLOUR.splits.train)
    assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(x.std((0, 2, 3)), torch.ones(3), atol=1e-3)


@pytest.mark.parametrize("dataset", [COLOUR, GREY], ids=["colour", "grey"])
@pytest.mark.parametrize(
    "steps",
    [
        [],
        ["flip"],
        ["padded_crop"],
        ["flip", "padded_crop"],
        ["padded_crop", "flip"],
        ["flip", "padded_crop", "flip", "padded_crop"],
        [{"padded_crop": {"padding": 32}}],
    ],
    ids=str,
)
def test_one_gather_gives_what_the_steps_give_one_by_one(dataset, steps):
    indices = torch.arange(40)
    x, labels = feed(dataset, *steps).train_batch(indices, generator())
    pictures = dataset.pictures[indices].permute(0, 3, 1, 2).float() / 255
    expected, _ = Augment.from_data(steps).apply(pictures, labels, generator(), 10)
    plain = feed(dataset, mean=(0.0,) * len(dataset.mean), std=(1.0,) * len(dataset.mean))
    assert plain.plain_batch(indices)[0].shape == expected.shape
    mean, std = (torch.tensor(one).view(1, -1, 1, 1) for one in (dataset.mean, dataset.std))
    assert torch.allclose(x, (expected - mean) / std, atol=1e-5)
    assert x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("key", AUGMENTATIONS)
def test_every_augmentation_can_be_fed_behind_the_gathered_ones(key):
    indices = torch.arange(20, 50)
    one, other = (feed(COLOUR, "flip", "padded_crop", key).train_batch(indices, generator(seed)) for seed in (1, 1))
    x, labels = one
    assert torch.equal(x, other[0])
    assert torch.equal(labels, other[1])
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert labels.shape == ((30, 6) if AUGMENTATIONS[key].mixes else (30,))
    pictures = COLOUR.pictures[indices].permute(0, 3, 1, 2).float() / 255
    steps = Augment((Step("flip"), Step("padded_crop"), Step(key)))
    expected, expected_labels = steps.apply(pictures, COLOUR.labels[indices], generator(1), 6)
    mean, std = (torch.tensor(one).view(1, -1, 1, 1) for one in (COLOUR.mean, COLOUR.std))
    assert torch.allclose(x, (expected - mean) / std, atol=1e-5)
    assert torch.equal(labels, expected_labels)


def test_the_pictures_are_untouched():
    kept = COLOUR.pictures.clone()
    x, _ = feed(COLOUR, "flip", "cutout").train_batch(torch.arange(60), generator())
    x.zero_()
    feed(COLOUR).plain_batch(torch.arange(60))[0].zero_()
    assert torch.equal(COLOUR.pictures, kept)
