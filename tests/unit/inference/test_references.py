import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from cnnlab.images import Preprocessing
from cnnlab.inference.calibrating import calibrate
from cnnlab.inference.novelty import FAMILIARITIES, spreads_of
from cnnlab.inference.references import limits, measure, reference_of, write_reference
from cnnlab.nets.weights import BUNDLED, bundled_weights, save_bundled

RNG = np.random.default_rng(2)
LOGITS = RNG.normal(size=(500, 4)) * 3
LABELS = RNG.integers(0, 4, 500)


def bundle(folder, seed=0):
    torch.manual_seed(seed)
    save_bundled(
        nn.Linear(2, 4),
        folder / "net.safetensors",
        label="trained on X",
        architecture="lenet5",
        classes=tuple("abcd"),
        preprocessing=Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3),
        accuracy="",
        source="",
    )


def test_what_is_written_is_read_to_six_digits(tmp_path):
    bundle(tmp_path)
    made = measure(LOGITS, LABELS, "test pictures of X", {"noise": LOGITS - 4})
    path = write_reference(made, "net", tmp_path)
    back = reference_of("net", tmp_path)
    assert back is not None
    assert back.pictures == "test pictures of X"
    for part in ("by_width", "by_mass"):
        ours, theirs = (dataclasses.asdict(getattr(one, part)) for one in (back, made))
        assert ours.pop("bins")[-1] == pytest.approx(theirs.pop("bins")[-1], rel=1e-5)
        assert ours == pytest.approx(theirs, rel=1e-5)
    assert back.scaled.temperature == pytest.approx(made.scaled.temperature, rel=1e-5)
    assert back.scaled.after.ece == pytest.approx(made.scaled.after.ece, rel=1e-5)
    assert back.spreads["energy"].values == pytest.approx(made.spreads["energy"].values, rel=1e-5)
    assert back.separations["noise"] == pytest.approx(made.separations["noise"], rel=1e-5)
    assert path.stat().st_size < 20_000


def test_measuring_brings_together_what_the_parts_say():
    made = measure(LOGITS, LABELS, "pictures", {"lower": LOGITS - 100})
    assert made.by_width == calibrate(LOGITS, LABELS)
    assert made.by_mass == calibrate(LOGITS, LABELS, by="mass")
    assert made.spreads == spreads_of(LOGITS)
    # Less of everything looks stranger to the logit and to the energy; the probabilities stay what they are.
    assert made.separations["lower"] == pytest.approx({"max_logit": 1, "energy": 1, "max_softmax": 0.5}, abs=1e-3)


def test_what_a_number_cannot_tell_is_said_with_its_figure():
    made = measure(LOGITS, LABELS, "test pictures of X", {"50 pictures of noise": LOGITS - 100, "itself": LOGITS})
    assert limits(made, "max_logit") == (
        "Of 100 pairs with 50 pictures of noise, its own picture looks the more familiar one in 100 (chance gives 50).",
        "Of 100 pairs with itself, its own picture looks the more familiar one in 50 (chance gives 50).",
    )


def test_other_weights_under_the_same_name_have_no_reference(tmp_path):
    bundle(tmp_path)
    write_reference(measure(LOGITS, LABELS, "pictures"), "net", tmp_path)
    bundle(tmp_path, seed=1)
    assert reference_of("net", tmp_path) is None


def test_weights_without_a_reference_and_unknown_ones_have_none(tmp_path):
    bundle(tmp_path)
    assert reference_of("net", tmp_path) is None
    assert reference_of("imagenet1k_v1") is None


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.reference.json")), ids=lambda path: path.name.split(".")[0])
def test_references_that_come_with_the_lab_agree_with_what_their_weights_say(path):
    key = path.name.removesuffix(".reference.json")
    said = json.loads(path.read_text("utf-8"))
    weights = bundled_weights()[key]
    make_anew = f"{key} was trained anew; make its reference: python -m benchmarks.bundled_references --net {key}"
    assert said["sha256"] == weights.sha256, make_anew
    reference = reference_of(key)
    assert reference is not None
    # "88.85 % on the 10,000 test pictures of CIFAR-10": measured then by another road.
    told = float(weights.accuracy.split("%")[0]) / 100
    assert reference.by_width.accuracy == pytest.approx(told, abs=0.0006)
    assert reference.by_width.count == sum(one.count for one in reference.by_mass.bins)
    assert reference.spreads.keys() == FAMILIARITIES.keys()
    assert reference.scaled.after.nll <= reference.scaled.before.nll + 1e-4
    assert all(list(each.values) == sorted(each.values) for each in reference.spreads.values())
