import copy
import math
import random
import threading
import time
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnlab.data import Augment, Step, channel_statistics
from cnnlab.data.dataset import Splits
from cnnlab.errors import InputRejected, Unsupported
from cnnlab.nets.spec import NetSpec, layer
from cnnlab.train.building import build_net, pretrained
from cnnlab.train.checkpoints import epochs_in, read_weights, resumable_epoch, weights_file
from cnnlab.train.config import OWN_PICTURES, TrainConfig
from cnnlab.train.control import Control
from cnnlab.train.events import Changed, Checkpointed, Ended, EpochEnded, Finding, LayersMeasured, Started, Stepped
from cnnlab.train.loop import Training, train
from cnnlab.train.optimizers import averaged
from cnnlab.train.sampling import order_of
from cnnlab.train.schedules import factor
from tests.unit.train.making import LINEAR, PLAIN, SMALL, are_equal, config, digits, of_kind, ran, weights_of

GREY = {"num_classes": 10, "in_channels": 1, "side": 28}
MIX = Augment((Step("flip"), Step("mixup", {"alpha": 1.0})))


def pixels(data, indices):
    x = data.pictures[indices].permute(0, 3, 1, 2).float() / 255
    return (x - data.mean[0]) / data.std[0]


# --- what is computed ---------------------------------------------------------------------------------------------


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.05, momentum=0.9, weight_decay=0.01),
}


@pytest.mark.parametrize("ema", [0.0, 0.9], ids=["plain", "ema"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_is_what_a_plain_pytorch_loop_gives(optimizer, ema):
    # Adam and RMSprop blow up rounding where a gradient is nothing else, as in front of a BatchNorm.
    net = SMALL if optimizer == "sgd" else PLAIN
    lr = 0.05 if optimizer == "sgd" else 0.002
    chosen = config(net=net, optimizer=optimizer, weight_decay=0.01, clip_norm=5.0, ema=ema, seed=4, lr=lr)
    data = digits()
    training, told = ran(chosen, dataset=data)

    model = build_net(chosen, **GREY)
    average = copy.deepcopy(model) if ema else model
    stepper = OPTIMIZERS[optimizer](model.parameters())
    stepper.param_groups[0]["lr"] = lr
    labels, step = data.labels[data.splits.train], 0
    for ended in of_kind(EpochEnded, told):
        order = order_of(chosen, labels, ended.epoch - 1)
        losses, right = [], 0
        model.train()
        for places in order.split(16):
            logits = model(pixels(data, data.splits.train[places]))
            loss = F.cross_entropy(logits, labels[places])
            stepper.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            stepper.step()
            if ema:
                averaged(average, model, ema, step)
            losses += [loss.item()] * len(places)
            right += int((logits.argmax(1) == labels[places]).sum())
            step += 1
        assert ended.train_loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
        assert ended.train_accuracy == pytest.approx(right / len(losses))
        average.eval()
        with torch.no_grad():
            logits = average(pixels(data, data.splits.validation))
        truth = data.labels[data.splits.validation]
        assert ended.validation_loss == pytest.approx(F.cross_entropy(logits, truth).item(), rel=1e-4)
        assert ended.validation_accuracy == pytest.approx((logits.argmax(1) == truth).float().mean().item())
        confusion = torch.zeros(10, 10, dtype=torch.int64)
        for true, said in zip(truth.tolist(), logits.argmax(1).tolist(), strict=True):
            confusion[true, said] += 1
        assert ended.confusion == tuple(map(tuple, confusion.tolist()))
        assert ended.step == step
    for name, weight in average.state_dict().items():
        assert torch.allclose(training.average.state_dict()[name].float(), weight.float(), rtol=1e-3, atol=1e-4), name


def test_the_steps_told_add_up_to_the_epoch():
    _, told = ran(config(epochs=1))
    [ended] = of_kind(EpochEnded, told)
    sizes = [16] * 6 + [4]
    for name in ("loss", "accuracy"):
        total = sum(size * getattr(one, name) for size, one in zip(sizes, of_kind(Stepped, told), strict=True))
        assert total / 100 == pytest.approx(getattr(ended, f"train_{name}"))


def test_rarely_told_steps_are_means_over_the_same_steps():
    often, rarely = (of_kind(Stepped, ran(config(epochs=1), events_per_s=rate)[1]) for rate in (math.inf, 1e-6))
    assert [one.step for one in rarely] == [7]
    mean = sum(size * one.loss for size, one in zip([16] * 6 + [4], often, strict=True)) / 100
    assert rarely[0].loss == pytest.approx(mean)


def test_one_step_with_a_teacher_by_hand():
    data = digits(16)
    chosen = config(
        net="lenet5", epochs=1, teacher="weights:lenet5", distill_temperature=3.0, distill_weight=0.75, batch_size=16
    )
    _, told = ran(chosen, dataset=data)
    x, labels = pixels(data, data.splits.train), data.labels[data.splits.train]
    with torch.no_grad():
        student, teacher = build_net(chosen, **GREY)(x), pretrained("weights:lenet5")(x)
    p, q = (teacher / 3).softmax(1), (student / 3).softmax(1)
    divergence = 9 * (p * (p / q).log()).sum(1).mean()
    expected = 0.25 * F.cross_entropy(student, labels) + 0.75 * divergence
    assert of_kind(Stepped, told)[0].loss == pytest.approx(float(expected), rel=1e-4)


def test_means_of_gradients_that_have_become_zero_are_zero_and_no_tiny_numbers():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # Half of the units die at this rate, and their means shrink to a tenth in each step.
        training, _ = ran(config(net="mlp", lr=0.3, momentum=0.1, batch_size=2, epochs=1))
    finally:
        torch.set_num_threads(threads)
    means = torch.cat([one["momentum_buffer"].flatten() for one in training._optimizer.state.values()]).abs()
    assert (means == 0).any()
    assert not ((means > 0) & (means < torch.finfo(torch.float32).tiny)).any()


def test_the_teacher_stays_as_it_is():
    training = Training(config(net="lenet5", epochs=1, teacher="weights:lenet5"), dataset=digits(32))
    assert training._teacher is not None
    before = {name: tensor.clone() for name, tensor in training._teacher.state_dict().items()}
    list(training)
    assert are_equal(before, dict(training._teacher.state_dict()))
    assert not training._teacher.training


def test_weights_of_the_classes_and_mixed_labels_reach_the_loss():
    data = digits(16)
    x, labels = pixels(data, data.splits.train), data.labels[data.splits.train]
    counts = torch.bincount(labels, minlength=10)
    present = int((counts > 0).sum())
    weights = torch.where(counts > 0, 16 / (present * counts.clamp_min(1)), 0.0)
    chosen = config(net=PLAIN, epochs=1, loss="weighted", label_smoothing=0.1)
    with torch.no_grad():
        logits = build_net(chosen, **GREY)(x)
    [first, *_] = of_kind(Stepped, ran(chosen, dataset=data)[1])
    expected = F.cross_entropy(logits, labels, weights, label_smoothing=0.1)
    assert first.loss == pytest.approx(expected.item(), rel=1e-5)
    [mixed, *_] = of_kind(Stepped, ran(replace(chosen, augment=MIX), dataset=data)[1])
    assert mixed.loss != pytest.approx(first.loss, rel=1e-3)


# --- bit for bit --------------------------------------------------------------------------------------------------

VARIANTS = {
    "plain": {},
    "ema": {"ema": 0.95},
    "dropout": {"dropout": 0.4},
    "one_cycle": {"schedule": "one_cycle"},
    "plateau": {"schedule": "plateau", "plateau_patience": 1, "step_factor": 0.3},
    "mixup": {"augment": MIX},
    "balanced": {"sampling": "balanced"},
    "clip": {"clip_norm": 0.1},
}


def lasting(event):
    """What of an event does not depend on the clock."""
    return {
        name: value
        for name, value in asdict(event).items()
        if name not in ("time", "seconds", "validation_seconds", "images_per_s", "memory_mb")
    }


def stopped_at(chosen, step, folder, data):
    """Run until so many steps are done, then stop by command."""
    control = Control()
    if step == 0:
        control.send("stop")
    training = Training(chosen, dataset=data, control=control, folder=folder, events_per_s=math.inf)
    told = []
    for event in training:
        told.append(event)
        if isinstance(event, Stepped) and event.step == step:
            control.send("stop")
    assert told[-1].reason == "stopped"
    assert told[-1].step == step
    return told


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_stopped_anywhere_and_resumed_it_is_bit_for_bit_the_same(tmp_path, optimizer, variant):
    data = digits(40, 20)
    lr = 0.02 if optimizer == "sgd" else 0.002
    chosen = config(epochs=3, optimizer=optimizer, lr=lr, **VARIANTS[variant])
    whole, told = ran(chosen, dataset=data)
    step = random.Random(f"{optimizer} {variant}").randrange(9)
    stopped_at(chosen, step, tmp_path, data)
    assert resumable_epoch(tmp_path) == step // 3
    # Told less often: measuring must not change a number.
    resumed, went_on = ran(chosen, dataset=data, folder=tmp_path, resume=True, events_per_s=1e-6)
    assert are_equal(weights_of(resumed), weights_of(whole))
    assert are_equal(dict(resumed.average.state_dict()), dict(whole.average.state_dict()))
    assert went_on[0].first_step == step
    later = [lasting(one) for one in of_kind(EpochEnded, told) if one.step > step]
    assert [lasting(one) for one in of_kind(EpochEnded, went_on)] == later
    assert lasting(went_on[-1]) == lasting(told[-1])


def test_stopped_at_every_step_in_turn_it_is_still_the_same(tmp_path):
    data = digits(40, 20)
    chosen = config(dropout=0.3, augment=MIX, ema=0.9)
    whole, _ = ran(chosen, dataset=data)
    for step in range(6):
        control = Control()
        training = Training(
            chosen, dataset=data, control=control, folder=tmp_path, resume=step > 0, events_per_s=math.inf
        )
        for event in training:
            if isinstance(event, Stepped):
                control.send("stop")
    assert are_equal(weights_of(training), weights_of(whole))


@pytest.mark.parametrize(
    "chosen",
    [config(dropout=0.5, augment=MIX, ema=0.9), config(net="lenet5", optimizer="adam", lr=1e-3, channels_last=False)],
    ids=["small", "lenet5"],
)
def test_the_same_configuration_gives_the_same_bits(chosen):
    first, told = ran(chosen)
    second, again = ran(chosen, events_per_s=1e-6)
    other, _ = ran(replace(chosen, seed=1))
    assert are_equal(weights_of(first), weights_of(second))
    assert not are_equal(weights_of(first), weights_of(other))
    assert [lasting(one) for one in of_kind(EpochEnded, told)] == [lasting(one) for one in of_kind(EpochEnded, again)]


def test_every_step_draws_anew():
    training = Training(config(net=PLAIN, dropout=0.5, augment=MIX), dataset=digits())
    dropout = next(module for module in training.model.modules() if isinstance(module, nn.Dropout))
    of_dropout, of_augmentation = [], []
    original = training._feed.train_batch

    def spied(indices, generator):
        of_augmentation.append(generator.initial_seed())
        return original(indices, generator)

    training._feed.train_batch = spied
    dropout.register_forward_pre_hook(
        lambda module, _: of_dropout.append(torch.initial_seed()) if module.training else None
    )
    list(training)
    assert len({*of_dropout, *of_augmentation}) == 2 * 14


def test_a_learning_rate_that_was_set_survives_a_stop(tmp_path):
    data, chosen = digits(40, 20), config(schedule="cosine")
    ends = []
    for does_stop in (False, True):
        control = Control()
        training = Training(chosen, dataset=data, control=control, folder=tmp_path, events_per_s=math.inf)
        for event in training:
            if isinstance(event, Stepped) and event.step == 2:
                control.send("lr", 0.004)
                if does_stop:
                    control.send("stop")
        if does_stop:
            training, told = ran(chosen, dataset=data, folder=tmp_path, resume=True)
            assert of_kind(Stepped, told)[0].lr == pytest.approx(0.004)
        ends.append(weights_of(training))
    assert are_equal(*ends)


def test_a_run_that_stopped_early_does_not_go_on_when_resumed(tmp_path):
    chosen = config(net=PLAIN, lr=1e-8, epochs=9, early_stopping=2)
    _, told = ran(chosen, folder=tmp_path)
    _, again = ran(chosen, folder=tmp_path, resume=True)
    assert [type(one).__name__ for one in again] == ["Started", "Ended"]
    assert lasting(again[-1]) == lasting(told[-1])


def test_a_finished_run_is_finished(tmp_path):
    _, told = ran(config(), folder=tmp_path)
    _, again = ran(config(), folder=tmp_path, resume=True)
    assert [type(one).__name__ for one in again] == ["Started", "Ended"]
    assert again[-1].reason == "finished"
    assert lasting(again[-1]) == lasting(told[-1])


def test_with_other_pictures_a_run_does_not_go_on(tmp_path):
    ran(config(), folder=tmp_path)
    with pytest.raises(InputRejected, match="Give the pictures that it began with"):
        ran(config(), dataset=digits(60), folder=tmp_path, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": tuple("abcdefghij")},
        {"mean": (0.5,)},
        {"std": (0.5,)},
    ],
    ids=str,
)
def test_with_as_many_pictures_of_something_else_a_run_does_not_go_on_either(tmp_path, change):
    ran(config(), folder=tmp_path)
    before = (tmp_path / "resume.safetensors").read_bytes()
    with pytest.raises(InputRejected, match="These are other pictures than the run learnt from"):
        Training(config(), dataset=replace(digits(), **change), folder=tmp_path, resume=True)
    assert (tmp_path / "resume.safetensors").read_bytes() == before


def test_weights_that_are_damaged_do_not_keep_a_run_from_going_on(tmp_path):
    _, told = ran(config(), folder=tmp_path)
    weights_file(tmp_path, 0).write_bytes(b"torn")
    _, again = ran(config(), folder=tmp_path, resume=True)
    assert lasting(again[-1]) == lasting(told[-1])


def test_what_was_never_kept_cannot_be_resumed(tmp_path):
    with pytest.raises(InputRejected, match="no resume"):
        Training(config(), dataset=digits(), folder=tmp_path, resume=True)
    with pytest.raises(TypeError):
        Training(config(), dataset=digits(), resume=True)


# --- what is told -------------------------------------------------------------------------------------------------


def test_the_events_of_a_run_come_in_order(tmp_path):
    training, told = ran(config(), folder=tmp_path)
    kinds = [type(one) for one in told if not isinstance(one, LayersMeasured)]
    assert kinds == [
        Started,
        Finding,
        Checkpointed,
        *[Stepped] * 7,
        EpochEnded,
        Checkpointed,
        *[Stepped] * 7,
        EpochEnded,
        Checkpointed,
        Ended,
    ]
    assert [one.step for one in of_kind(Stepped, told)] == list(range(1, 15))
    [started] = of_kind(Started, told)
    assert (started.num_train, started.num_validation, started.steps_per_epoch) == (100, 40, 7)
    assert started.num_params == sum(one.numel() for one in training.model.parameters())
    assert (started.layers, started.input_shape) == (("0", "4", "8"), (1, 28, 28))
    assert told[-1].reason == "finished"
    assert (told[-1].epoch, told[-1].step) == (2, 14)
    assert told[-1].best_accuracy == max(one.validation_accuracy for one in of_kind(EpochEnded, told))
    assert epochs_in(tmp_path) == (0, 1, 2)


def test_what_was_told_is_on_the_disk(tmp_path):
    chosen = config(ema=0.9)
    training = Training(chosen, dataset=digits(), folder=tmp_path)
    for event in training:
        if isinstance(event, EpochEnded):
            assert resumable_epoch(tmp_path) == event.epoch
            kept = read_weights(weights_file(tmp_path, event.epoch))
            assert are_equal(kept, dict(training.average.state_dict()))
        elif isinstance(event, Checkpointed):
            assert (tmp_path / event.file).exists()
            assert event.file == f"weights/epoch_{event.epoch:04}.safetensors"
    assert are_equal(read_weights(weights_file(tmp_path, 0)), dict(build_net(chosen, **GREY).state_dict()))


def test_the_first_of_the_best_epochs_is_the_best(tmp_path):
    _, told = ran(config(net=PLAIN, lr=1e-8, epochs=3), folder=tmp_path)
    assert told[-1].best_epoch == 1
    assert [one.is_best for one in of_kind(Checkpointed, told)] == [False, True, False, False]


def test_a_net_that_learns_nothing_stops_after_exactly_its_patience():
    for patience in (1, 3):
        _, told = ran(config(net=PLAIN, lr=1e-8, epochs=9, early_stopping=patience))
        assert told[-1].reason == "early"
        assert (told[-1].epoch, told[-1].best_epoch) == (1 + patience, 1)
        assert f"{patience} epochs" in told[-1].text


def test_a_loss_that_is_no_number_ends_the_run_with_a_finding():
    _, told = ran(config(net=PLAIN, lr=10.0, weight_decay=1.0, epochs=99))
    assert told[-1].reason == "diverged"
    assert [one.key for one in of_kind(Finding, told)].count("diverged") == 1
    assert all(math.isfinite(one.loss) for one in of_kind(Stepped, told)[:-1])


def test_a_net_that_broke_in_the_last_step_has_not_finished_and_one_goes_on_from_before(tmp_path):
    _, told = ran(config(net=PLAIN, lr=10.0, weight_decay=1.0, epochs=99), dataset=digits(16), folder=tmp_path)
    assert told[-1].reason == "diverged"
    assert all(math.isfinite(one.loss) for one in of_kind(Stepped, told))
    assert not math.isfinite(of_kind(EpochEnded, told)[-1].validation_loss)
    assert resumable_epoch(tmp_path) == told[-1].epoch - 1


def test_a_net_that_only_guesses_is_told():
    _, told = ran(config(net=PLAIN, lr=1e-8, epochs=1))
    assert {one.key for one in of_kind(Finding, told)} == {"few", "chance"}


def test_speed_and_memory_are_told_and_make_sense():
    _, told = ran(config())
    for event in of_kind(Stepped, told):
        assert 1 < event.images_per_s < 1e7
        assert 50 < event.memory_mb < 1e5
    for event in of_kind(EpochEnded, told):
        assert 0 < event.seconds < 60
        assert 0 < event.validation_seconds < 60
    times = [one.time for one in told if hasattr(one, "time")]
    assert times == sorted(times)


def test_layers_are_measured_at_once_and_then_twice_a_second():
    began = time.perf_counter()
    _, told = ran(config(epochs=5))
    layers = of_kind(LayersMeasured, told)
    assert layers[0].step == 1
    assert len(layers) <= 1 + (time.perf_counter() - began) / 0.5
    assert len(layers[0].gradients) == len(layers[0].updates) == 3
    assert [*layers[0].dead] == ["2", "5"]


# --- which pictures -----------------------------------------------------------------------------------------------


def seen_by(training):
    seen = []
    original = training._feed.train_batch

    def spied(indices, generator):
        seen.append(indices.tolist())
        return original(indices, generator)

    training._feed.train_batch = spied
    return seen


@pytest.mark.parametrize(("pictures", "sizes"), [(33, [16, 16]), (34, [16, 16, 2]), (10, [10]), (2, [2])])
def test_a_single_picture_left_over_is_left_out(pictures, sizes):
    data = digits(pictures)
    training = Training(config(epochs=1), dataset=data)
    seen = seen_by(training)
    told = list(training)
    assert [len(batch) for batch in seen] == sizes
    shown = [index for batch in seen for index in batch]
    assert len({*shown}) == len(shown)
    assert {*shown} <= {*data.splits.train.tolist()}
    assert told[-1].step == len(sizes)


def test_neither_validation_nor_test_pictures_are_learnt_from():
    data = digits()
    training = Training(config(sampling="balanced"), dataset=data)
    batches = seen_by(training)
    list(training)
    seen = {index for batch in batches for index in batch}
    assert seen
    assert seen <= {*data.splits.train.tolist()}


def test_the_test_part_makes_no_difference():
    data = digits()
    others = replace(
        data,
        labels=data.labels.clone().index_fill_(0, data.splits.test, 0),
        pictures=data.pictures.clone().index_fill_(0, data.splits.test, 99),
    )
    (first, told), (second, again) = (ran(config(epochs=1), dataset=one) for one in (data, others))
    assert are_equal(weights_of(first), weights_of(second))
    assert lasting(told[-1]) == lasting(again[-1])


def test_pictures_are_resized_first():
    net = NetSpec("Half", (1, 14, 14), LINEAR.layers)
    training, told = ran(config(net=net, side=14, epochs=1))
    assert told[0].input_shape == (1, 14, 14)
    assert training.dataset.pictures.shape[1:] == (14, 14, 1)


def test_oblong_pictures_are_refused_until_a_side_is_chosen():
    data = digits()
    oblong = data.pictures[:, :20].contiguous()
    mean, std = channel_statistics(oblong, data.splits.train)
    data = replace(data, pictures=oblong, mean=mean, std=std)
    with pytest.raises(InputRejected, match="28 × 20 px; training takes squares"):
        Training(config(), dataset=data)
    assert ran(config(side=28, epochs=1), dataset=data)[1][-1].reason == "finished"


def test_ones_own_pictures_have_to_be_handed_over():
    with pytest.raises(InputRejected, match="Give them again"):
        train(config(data=OWN_PICTURES))
    assert ran(config(data=OWN_PICTURES, epochs=1))[1][-1].reason == "finished"


def test_what_does_not_fit_is_refused_before_the_first_event():
    for chosen, error in (
        ({"net": "cifar10_cnn", "side": 20}, InputRejected),
        ({"freeze_to": "nowhere"}, InputRejected),
        ({"teacher": "weights:resnet_cifar"}, InputRejected),
        ({"start_from": "run:nosuchrun@3"}, InputRejected),
        ({"compile": True}, Unsupported),
    ):
        with pytest.raises(error):
            Training(config(**chosen), dataset=digits())


def test_validation_of_more_than_one_batch_is_counted_in_full():
    data = digits(20, 40)
    many = replace(data, splits=Splits(train=data.splits.train, validation=torch.arange(1200), test=data.splits.test))
    training, told = ran(config(epochs=1), dataset=many)
    [ended] = of_kind(EpochEnded, told)
    assert sum(map(sum, ended.confusion)) == 1200
    with torch.no_grad():
        logits = training.model.eval()(pixels(many, torch.arange(1200)))
    assert ended.validation_loss == pytest.approx(F.cross_entropy(logits, many.labels[:1200]).item(), rel=1e-4)


@pytest.mark.parametrize(
    ("side", "batch_size", "count"),
    [(28, 16, 500), (28, 600, 500), (400, 16, 100), (400, 120, 120)],  # 64,000,000 / (4 · 400 · 400) = 100
)
def test_validation_takes_no_more_room_than_it_must(side, batch_size, count):
    data = digits(20, 40)
    # One picture, seen through as many places as wanted.
    pictures = torch.zeros((1, 400, 400, 1), dtype=torch.uint8) if side == 400 else data.pictures[:1]
    many = replace(
        data,
        pictures=pictures.repeat(50, 1, 1, 1),
        labels=torch.arange(50) % 10,
        splits=Splits(train=torch.arange(20), validation=torch.arange(1200) % 50, test=torch.arange(2)),
    )
    net = NetSpec(
        "Mean",
        (1, side, side),
        (layer("adaptive_avg_pool", output_size=1), layer("flatten"), layer("linear", out_features=10)),
    )
    training = Training(config(net=net, epochs=1, batch_size=batch_size), dataset=many)
    sizes = []
    training.average.register_forward_pre_hook(
        lambda module, args: None if module.training else sizes.append(len(args[0]))
    )
    [ended] = of_kind(EpochEnded, list(training))
    assert (max(sizes), sum(sizes)) == (count, 1200) == (count, sum(map(sum, ended.confusion)))


# --- commands -----------------------------------------------------------------------------------------------------


class Told:
    """A run that goes on in a thread, as a worker's does, and what it has told so far."""

    def __init__(self, chosen=None, **how):
        self.control = Control()
        self.events = []
        how = {"dataset": digits(), "events_per_s": math.inf} | how
        self.training = Training(chosen or config(epochs=1000), control=self.control, **how)
        self._thread = threading.Thread(target=self._go)

    def _go(self):
        for event in self.training:
            self.events.append(event)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.control.send("stop")
        self._thread.join(20)
        assert not self._thread.is_alive()

    def wait(self, is_so):
        until = time.monotonic() + 20
        while not is_so(self.events):
            assert time.monotonic() < until
            time.sleep(0.002)

    def wait_for(self, what, times=1):
        self.wait(lambda events: [one.what for one in of_kind(Changed, events)].count(what) == times)

    @property
    def steps(self):
        return len(of_kind(Stepped, self.events))


def test_paused_it_does_nothing_a_step_at_a_time_then_it_goes_on():
    with Told() as run:
        run.wait(lambda events: of_kind(Stepped, events))
        run.control.send("pause")
        run.wait_for("paused")
        at = run.steps
        time.sleep(0.1)
        assert run.steps == at
        for done in (1, 2):
            run.control.send("step")
            run.wait(lambda _, goal=at + done: run.steps >= goal)
            time.sleep(0.05)
            assert run.steps == at + done
        run.control.send("pause")  # twice is once
        run.control.send("lr", 0.001)
        run.wait_for("lr")
        assert run.steps == at + 2
        run.control.send("resume")
        run.wait_for("resumed")
        run.wait(lambda _: run.steps > at + 5)
        assert [one.what for one in of_kind(Changed, run.events)] == ["paused", "lr", "resumed"]
    assert run.events[-1].reason == "stopped"


def test_a_step_of_a_run_that_is_going_on_is_its_last_before_a_pause():
    with Told() as run:
        run.wait(lambda _: run.steps > 3)
        run.control.send("step")
        run.wait_for("paused")
        [paused] = of_kind(Changed, run.events)
        time.sleep(0.1)
        assert run.steps == paused.step + 1


def test_pauses_do_not_count_as_time_of_training():
    control = Control()
    training = Training(config(epochs=1), dataset=digits(), control=control, events_per_s=math.inf)
    told = []
    for event in training:
        told.append(event)
        if isinstance(event, Stepped) and event.step == 3:
            control.send("pause")
            threading.Timer(0.7, control.send, ["resume"]).start()
    after = next(one for one in of_kind(Stepped, told) if one.step == 4)
    assert after.images_per_s > 2 * 16 / 0.7
    [ended] = of_kind(EpochEnded, told)
    paused_for = ended.time - ended.validation_seconds - told[0].time
    assert paused_for > 0.7
    assert ended.seconds < paused_for - 0.65


@pytest.mark.parametrize("name", ["stop", "lr", "pause", "snapshot", "step"])
def test_commands_are_carried_out_before_the_next_step(tmp_path, name):
    control = Control()
    training = Training(config(), dataset=digits(), control=control, folder=tmp_path, events_per_s=math.inf)
    told = []
    for event in training:
        told.append(event)
        if isinstance(event, Stepped) and event.step == 5:
            control.send(name, 0.1)
            control.send("resume")
    following = told[[isinstance(one, Stepped) and one.step == 5 for one in told].index(True) + 1]
    assert following.step == 5
    assert {"stop": Ended, "snapshot": Checkpointed}.get(name, Changed) is type(following)


def test_a_learning_rate_that_is_set_scales_what_the_schedule_says():
    chosen = config(schedule="cosine", lr=0.05, warmup=0.5)
    control = Control()
    training = Training(chosen, dataset=digits(), control=control, events_per_s=math.inf)
    told = []
    for event in training:
        told.append(event)
        if isinstance(event, Stepped) and event.step in (4, 9):
            control.send("lr", 0.02)
    rates = [one.lr for one in of_kind(Stepped, told)]
    says = [factor(chosen, step, 7) for step in range(14)]
    expected = [0.05 * one for one in says[:4]]
    expected += [0.02 * one / says[4] for one in says[4:9]] + [0.02 * one / says[9] for one in says[9:]]
    assert rates == pytest.approx(expected)
    assert [(one.step, one.value) for one in of_kind(Changed, told)] == [(4, 0.02), (9, 0.02)]


def test_a_snapshot_is_what_the_net_is_at_that_moment(tmp_path):
    control = Control()
    training = Training(config(ema=0.9), dataset=digits(), control=control, folder=tmp_path, events_per_s=math.inf)
    told = []
    for event in training:
        told.append(event)
        if isinstance(event, Stepped) and event.step == 3:
            control.send("snapshot")
            weights = {name: tensor.clone() for name, tensor in training.average.state_dict().items()}
    [taken] = [one for one in of_kind(Checkpointed, told) if "step" in one.file]
    assert (taken.step, taken.epoch, taken.file) == (3, 0, "weights/step_00000003.safetensors")
    assert are_equal(read_weights(tmp_path / taken.file), weights)
    assert epochs_in(tmp_path) == (0, 1, 2)


# --- what is given back -------------------------------------------------------------------------------------------


def takes_tiny_numbers_as_zero():
    return bool((torch.full((8,), 1e-40) * 1.0 == 0).all())


def test_who_stops_listening_leaves_nothing_behind():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    for goes_on_for in range(1, 12):
        training = Training(config(dropout=0.5), dataset=digits(), events_per_s=math.inf)
        events = iter(training)
        for _ in range(goes_on_for):
            next(events)
            assert not takes_tiny_numbers_as_zero()
        events.close()
        assert torch.equal(torch.get_rng_state(), before)
        for module in training.model.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks


def test_a_step_that_fails_gives_back_what_it_borrowed():
    training = Training(config(dropout=0.5), dataset=digits())
    before = torch.get_rng_state()

    def fails(_logits, _labels):
        raise ZeroDivisionError

    training._loss = fails
    with pytest.raises(ZeroDivisionError):
        list(training)
    assert torch.equal(torch.get_rng_state(), before)
    assert not takes_tiny_numbers_as_zero()
    assert not any(module._forward_hooks for module in training.model.modules())


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, told = ran(config(epochs=1))
    assert not of_kind(Checkpointed, told)
    assert not [*tmp_path.rglob("*")]


# --- what it is for -----------------------------------------------------------------------------------------------


def test_digits_are_learnt_in_seconds():
    told = list(train(TrainConfig(epochs=3, device="cpu")))
    ended = of_kind(EpochEnded, told)
    assert ended[0].train_loss > ended[1].train_loss > ended[2].train_loss
    assert told[-1].best_accuracy > 0.9
    assert "chance" not in [one.key for one in of_kind(Finding, told)]
