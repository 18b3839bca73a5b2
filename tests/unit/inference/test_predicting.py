import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from cnnlab.errors import InputRejected, ResourceExhausted, RunFailed
from cnnlab.images import UNIT, Preprocessing, RgbImage, load_sample
from cnnlab.inference import Prediction, StageTimes, predict, share
from cnnlab.nets import build_seeded, weights_for
from cnnlab.nets.weights import load_weights

GREY = Preprocessing(channels="grey", mean=(0.0,), std=(1.0,))
RGB = ("red", "green", "blue")


def mean_colour() -> nn.Module:
    """Its logits are the means of red, green and blue."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def plain(red: int, green: int, blue: int, height: int = 2, width: int = 3) -> RgbImage:
    return RgbImage(np.full((height, width, 3), (red, green, blue), dtype=np.uint8))


def of_logits(*logits: float, classes: tuple[str, ...] = ()) -> Prediction:
    return Prediction(
        classes=classes or tuple(f"class {number}" for number in range(len(logits))),
        preprocessing=UNIT,
        x=torch.zeros(1, 3, 1, 1),
        logits=np.array([logits], dtype=np.float32),
        times=StageTimes(preprocess_ms=1, forward_ms=2, softmax_ms=3),
        device="CPU",
        threads=1,
    )


def test_logits_are_what_the_net_makes_of_the_preprocessed_picture():
    prediction = predict(mean_colour(), [plain(255, 0, 51), plain(0, 102, 0)], UNIT, RGB)
    np.testing.assert_allclose(prediction.logits, [[1, 0, 0.2], [0, 0.4, 0]], rtol=1e-6)
    assert prediction.x.shape == (2, 3, 2, 3)
    np.testing.assert_array_equal(prediction.x[0], UNIT.apply(plain(255, 0, 51)))
    assert (prediction.classes, prediction.preprocessing, prediction.flips) == (RGB, UNIT, False)
    assert (prediction.device, prediction.threads) == ("CPU", torch.get_num_threads())
    assert len(prediction) == 2


def test_a_bundled_net_says_what_it_says_without_us():
    weights = next(iter(weights_for("tiny_vgg").values()))
    model = build_seeded("tiny_vgg", seed=0, num_classes=weights.num_classes)
    load_weights(model, weights)
    image = load_sample("cat")
    with torch.no_grad():
        expected = model(torch.from_numpy(weights.preprocessing.apply(image))[None])
    prediction = predict(share(model), [image], weights.preprocessing, weights.classes)
    np.testing.assert_array_equal(prediction.logits, expected.numpy())
    np.testing.assert_allclose(prediction.probabilities(), expected.softmax(1).numpy(), rtol=1e-5)


def test_mirror_images_are_averaged_in_with_flips():
    image = RgbImage(np.array([[[0] * 3, [255] * 3]], dtype=np.uint8))  # black left, white right
    model = nn.Flatten()
    np.testing.assert_allclose(predict(model, [image], GREY, "lr").logits, [[0, 1]])
    flipped = predict(model, [image], GREY, "lr", flips=True)
    np.testing.assert_allclose(flipped.logits, [[0.5, 0.5]])
    assert flipped.flips
    assert flipped.logits.dtype == np.float32
    np.testing.assert_allclose(flipped.x[0, 0], [[0, 1]])  # as it was, not mirrored


def test_many_pictures_go_through_in_batches_of_bounded_size_and_keep_their_order():
    sizes = []

    class Counting(nn.Module):
        def forward(self, x):
            sizes.append(len(x))
            return x.mean(dim=(2, 3))

    images = [plain(number, 0, 0) for number in range(150)]
    prediction = predict(share(Counting()), images, UNIT, RGB)
    np.testing.assert_allclose(255 * prediction.logits[:, 0], np.arange(150), rtol=1e-5)
    assert sizes == [1, 64, 64, 22]  # the first one alone, to be measured
    sizes.clear()
    predict(share(Counting()), [plain(0, 0, 0, 500, 500)] * 4, UNIT, RGB)
    assert sizes == [1, 2, 2]  # 750,000 values a picture, and 2,000,000 at a time


def test_the_softmax_and_its_temperature_are_those_worked_out_by_hand():
    prediction = of_logits(0.0, math.log(3), math.log(4))
    np.testing.assert_allclose(prediction.probabilities(), [[1 / 8, 3 / 8, 4 / 8]], rtol=1e-6)
    # At 1/2 the odds are squared: 1 : 9 : 16.
    np.testing.assert_allclose(prediction.probabilities(0.5), [[1 / 26, 9 / 26, 16 / 26]], rtol=1e-6)


@given(
    hnp.arrays(np.float32, (3, 4), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    st.floats(min_value=2.0**-1022, allow_infinity=False),
)
def test_probabilities_add_up_to_one_and_keep_the_order_at_every_temperature(logits, temperature):
    made = replace(of_logits(0.0), logits=logits).probabilities(temperature)
    np.testing.assert_allclose(made.sum(axis=1), 1)
    for row, probabilities in zip(logits, made, strict=True):
        assert (np.diff(probabilities[np.argsort(row)]) >= 0).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(InputRejected, match="above 0"):
        of_logits(0.0, 1.0).probabilities(temperature)


def test_the_top_classes_come_in_order_with_their_logits():
    first, second, third = of_logits(1.0, 3.0, 1.0, -2.0).top(3)
    assert (first.class_index, first.label, first.logit) == (1, "class 1", 3.0)
    assert (second.class_index, third.class_index) == (0, 2)  # equals in the order of the classes
    assert first.probability == pytest.approx(math.e**3 / (math.e**3 + 2 * math.e + math.e**-2))
    assert len(of_logits(1.0, 2.0).top(9)) == 2


def test_the_top_classes_are_those_of_the_picture_and_the_temperature_asked_for():
    prediction = predict(mean_colour(), [plain(255, 0, 0), plain(0, 0, 255)], UNIT, RGB)
    [best] = prediction.top(1, image=1, temperature=0.5)
    assert best.label == "blue"
    assert best.probability == pytest.approx(math.e**2 / (math.e**2 + 2))


def test_json_has_the_form_of_the_tutorials():
    told = json.loads(json.dumps(of_logits(0.0, math.log(3), classes=("cat", "dog")).as_json()))
    assert told == {
        "class": "dog",
        "confidence": pytest.approx(0.75),
        "probabilities": {"cat": pytest.approx(0.25), "dog": pytest.approx(0.75)},
    }


def test_json_loses_no_class_where_two_have_one_name():
    told = of_logits(0.0, 1.0, 0.0, classes=("crane", "crane", "dog")).as_json()
    assert told["class"] == "crane (1)"
    assert list(told["probabilities"]) == ["crane (0)", "crane (1)", "dog"]
    assert sum(told["probabilities"].values()) == pytest.approx(1)


def test_results_cannot_be_written_to():
    prediction = predict(mean_colour(), [plain(1, 2, 3)], UNIT, RGB)
    for array in (prediction.logits, prediction.probabilities()):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_the_time_of_each_stage_is_told():
    times = predict(mean_colour(), [load_sample("cat")], UNIT, RGB).times
    stages = (times.preprocess_ms, times.forward_ms, times.softmax_ms)
    assert min(stages) > 0
    assert times.total_ms == sum(stages)


def test_eight_threads_on_one_model_get_the_bits_of_one_and_leave_it_as_it_was():
    model = share(build_seeded("resnet_cifar", seed=3))
    images = [load_sample(key) for key in ("cat", "coffee", "astronaut")]
    steps = Preprocessing(resize=(32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
    classes = [str(number) for number in range(10)]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    hooks = [list(module._forward_hooks) for module in model.modules()]
    alone = [predict(model, [image], steps, classes, flips=True).logits for image in images]
    gate = threading.Barrier(8)

    def ask(number: int) -> bool:
        gate.wait(30)
        order = [(number + step) % 3 for step in range(6)]
        return all(
            np.array_equal(predict(model, [images[i]], steps, classes, flips=True).logits, alone[i]) for i in order
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [list(module._forward_hooks) for module in model.modules()] == hooks
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.training


def test_a_model_in_training_is_asked_in_evaluation_mode_and_left_in_training():
    model = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(3), mean_colour()).train()
    prediction = predict(model, [plain(255, 0, 51)], UNIT, RGB)
    np.testing.assert_allclose(prediction.logits, [[1, 0, 0.2]], rtol=1e-4)
    assert model.training
    assert int(model[1].num_batches_tracked) == 0


def test_a_net_in_half_precision_is_asked_in_half_precision_and_answers_in_float32():
    model = nn.Sequential(nn.Flatten(), nn.Linear(18, 3)).to(torch.bfloat16)
    logits = predict(model, [plain(255, 0, 0)], UNIT, RGB).logits
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, torch.tensor(logits).bfloat16().float())


def test_pictures_that_become_different_sizes_are_refused():
    steps = Preprocessing(resize=4, mean=(0.0,) * 3, std=(1.0,) * 3)
    with pytest.raises(InputRejected, match=r"Picture 2 becomes 4 × 4 px and the first one 6 × 4 px"):
        predict(mean_colour(), [plain(0, 0, 0, 2, 3), plain(0, 0, 0, 2, 2)], steps, RGB)


def test_no_picture_is_refused():
    with pytest.raises(InputRejected, match="no picture"):
        predict(mean_colour(), [], UNIT, RGB)


def test_more_pictures_than_memory_are_refused_before_the_work_begins():
    with pytest.raises(ResourceExhausted, match=r"Give at most 1,000 at a time\."):
        predict(mean_colour(), [plain(0, 0, 0, 1, 50_000)] * 1001, UNIT, RGB)


def test_a_net_without_a_row_of_logits_is_refused():
    with pytest.raises(InputRejected, match="row of logits"):
        predict(nn.Conv2d(3, 4, 1), [plain(0, 0, 0)], UNIT, RGB)


def test_a_net_that_answers_with_nan_fails_in_words():
    model = mean_colour().append(nn.Linear(3, 3))
    nn.init.constant_(model[2].bias, math.nan)
    with pytest.raises(RunFailed, match="NaN"):
        predict(model, [plain(0, 0, 0)], UNIT, RGB)


def test_names_for_another_number_of_classes_are_a_fault_of_ours():
    with pytest.raises(TypeError, match="3 logits, and there are 2 names"):
        predict(mean_colour(), [plain(0, 0, 0)], UNIT, ("red", "green"))
