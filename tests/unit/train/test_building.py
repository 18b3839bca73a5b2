from dataclasses import replace

import pytest
import torch
from torch import nn

from cnnlab.data import Dataset
from cnnlab.data.dataset import Splits, channel_statistics
from cnnlab.errors import InputRejected, RunFailed, Unsupported
from cnnlab.nets import build_seeded
from cnnlab.nets.spec import NetSpec, layer
from cnnlab.nets.weights import bundled_weights
from cnnlab.settings import data_dir
from cnnlab.train import building, checkpoints
from cnnlab.train.building import build_net, device_of, freeze, load_data, pretrained, resized, take_over, teacher
from cnnlab.train.checkpoints import NetFacts
from cnnlab.train.config import OWN_PICTURES, TrainConfig
from tests.unit.train.making import LINEAR, SMALL, are_equal, config, digits, ran, weights_of

GREY = {"num_classes": 10, "in_channels": 1, "side": 28}
FACTS = NetFacts(classes=tuple("0123456789"), in_channels=1, side=28, mean=(0.5,), std=(0.25,))


def pictures(tensor):
    indices = torch.arange(len(tensor))
    mean, std = channel_statistics(tensor, indices)
    return Dataset(
        key="pictures",
        label="Own",
        pictures=tensor,
        labels=indices % 2,
        classes=("a", "b"),
        splits=Splits(train=indices, validation=indices[:0], test=indices[:0]),
        mean=mean,
        std=std,
    )


# --- data ---------------------------------------------------------------------------------------------------------


def test_data_is_parted_as_the_configuration_says():
    loaded = load_data(TrainConfig(validation=0.2, seed=3, data_choices={"side": 32}))
    others = load_data(TrainConfig(validation=0.2, seed=4, data_choices={"side": 32}))
    assert loaded.pictures.shape[1:] == (32, 32, 1)
    assert len(loaded.splits.validation) == pytest.approx(0.2 * (1797 - len(loaded.splits.test)), abs=6)
    assert not torch.equal(loaded.splits.train, others.splits.train)
    assert torch.equal(loaded.splits.test, others.splits.test)


def test_ones_own_pictures_are_asked_for():
    with pytest.raises(InputRejected, match="Give them again"):
        load_data(TrainConfig(data=OWN_PICTURES))


def test_a_choice_that_the_data_does_not_have_is_rejected():
    with pytest.raises(InputRejected, match=r"side of 'digits' must be .*28, 32.*, got 30"):
        load_data(TrainConfig(data_choices={"side": 30}))


@pytest.mark.parametrize("side", [4, 9, 28, 61])
@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_one_grey_stays_that_grey_at_every_size(side, level):
    flat = pictures(torch.full((2, 28, 28, 3), level, dtype=torch.uint8))
    resized_flat = resized(flat, side)
    assert resized_flat.pictures.shape == (2, side, side, 3)
    assert resized_flat.pictures.dtype == torch.uint8
    assert resized_flat.pictures.is_contiguous()
    assert (resized_flat.pictures == level).all()
    assert resized_flat.mean == pytest.approx(flat.mean)


def test_halving_takes_the_mean_and_not_every_second_pixel():
    stripes = torch.zeros(2, 32, 32, 1, dtype=torch.uint8)
    stripes[:, :, ::2] = 200
    halved = resized(pictures(stripes), 16)
    assert halved.pictures[:, :, 2:-2].float().sub(100).abs().max() <= 1
    assert halved.mean[0] == pytest.approx(100 / 255, abs=0.01)
    assert halved.std[0] < 0.05 < pictures(stripes).std[0]


def test_oblong_pictures_become_squares_and_pictures_that_fit_stay():
    oblong = pictures(torch.zeros(2, 20, 30, 1, dtype=torch.uint8))
    assert resized(oblong, 20).pictures.shape == (2, 20, 20, 1)
    square = digits()
    assert resized(square, 28) is square
    assert resized(square, None) is square


def test_thousands_of_pictures_stay_in_order():
    levels = torch.arange(2100) % 251
    many = pictures(levels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 4, 4, 1).contiguous())
    assert torch.equal(resized(many, 5).pictures[:, 2, 2, 0], levels.to(torch.uint8))


# --- the net ------------------------------------------------------------------------------------------------------


def test_a_net_of_the_table_is_that_of_its_seed():
    made = build_net(TrainConfig(seed=5), **GREY)
    assert are_equal(made.state_dict(), build_seeded("lenet5", seed=5, num_classes=10, in_channels=1).state_dict())
    assert not made.training


def test_a_net_of_ones_own_starts_by_the_seed_and_the_initialisation():
    made = {
        (seed, start): build_net(config(seed=seed, initialisation=start), **GREY)[0].weight
        for seed in (0, 1)
        for start in ("he", "xavier")
    }
    assert len({tuple(weight.flatten().tolist()) for weight in made.values()}) == 4
    assert torch.equal(made[0, "he"], build_net(config(), **GREY)[0].weight)


def test_dropout_is_overruled_in_all_its_layers_and_only_when_asked():
    def rates(dropout):
        model = build_net(TrainConfig(net="cifar10_cnn", dropout=dropout), num_classes=10, in_channels=3, side=32)
        return [module.p for module in model.modules() if isinstance(module, nn.Dropout)]

    assert rates(None) == [0.5, 0.5]
    assert rates(0.0) == [0.0, 0.0]
    assert rates(0.25) == [0.25, 0.25]
    maps = build_net(config(dropout=0.3), **GREY)
    assert [module.p for module in maps.modules() if isinstance(module, nn.Dropout2d)] == [0.3]


@pytest.mark.parametrize(
    ("chosen", "shape", "reason"),
    [
        ({"net": LINEAR}, {"num_classes": 7}, "ends with 10 numbers and the data has 7 classes"),
        ({"net": LINEAR}, {"side": 32}, "expects 784"),
        ({"net": LINEAR}, {"in_channels": 3}, "expects 784"),
        ({"net": "lenet5"}, {"side": 4}, "5 × 5"),
        ({"net": NetSpec("Maps", (1, 28, 28), (layer("conv", out_channels=10, kernel_size=3),))}, {}, "10 × 26 × 26"),
        (
            {"net": NetSpec("Pool", (1, 28, 28), (layer("adaptive_avg_pool", output_size=(2, 5)), layer("flatten")))},
            {},
            "no weights",
        ),
        (
            {
                "batch_size": 1,
                "net": NetSpec("Norm", (1, 28, 28), (*LINEAR.layers, layer("batch_norm"))),
            },
            {},
            "more pictures at once",
        ),
    ],
    ids=["classes", "side", "channels", "tiny pictures", "maps", "no weights", "batch of one"],
)
def test_a_net_that_does_not_fit_the_data_is_rejected_in_words(chosen, shape, reason):
    with pytest.raises(InputRejected, match=reason):
        build_net(config(**chosen), **GREY | shape)


# --- trained weights ----------------------------------------------------------------------------------------------


def test_with_other_classes_the_head_stays_random_and_the_rest_is_taken_over():
    source = build_seeded("lenet5", seed=1, num_classes=10, in_channels=1)
    model = build_seeded("lenet5", seed=2, num_classes=4, in_channels=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fresh = take_over(model, source)
    assert len(fresh) == 2
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name] if name in fresh else source.state_dict()[name]), name
    assert {tuple(before[name].shape) for name in fresh} == {(4, before[fresh[0]].shape[1]), (4,)}


def test_with_the_same_classes_all_is_taken_over():
    source, model = (build_seeded("resnet_cifar", seed=seed) for seed in (1, 2))
    source.train()(torch.randn(4, 3, 32, 32))
    assert take_over(model, source) == ()
    assert are_equal(model.state_dict(), source.state_dict())


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (build_seeded("lenet5", seed=1, in_channels=3), r"6 × 1 × 5 × 5 here, 6 × 3 × 5 × 5 there"),
        (build_seeded("tiny_vgg", seed=1), "6 × 1 × 5 × 5 here, 10 × 3 × 3 × 3 there; features.0.bias: .* and 10 more"),
    ],
    ids=["channels", "another net"],
)
def test_weights_of_another_net_are_listed_with_both_shapes_and_nothing_changes(source, said):
    model = build_seeded("lenet5", seed=2, in_channels=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputRejected, match=f"belong to another net.*{said}"):
        take_over(model, source)
    assert are_equal(model.state_dict(), before)


def test_the_labs_own_weights_are_found_by_name():
    key, weights = next((key, one) for key, one in bundled_weights().items() if one.architecture == "lenet5")
    model = pretrained(f"weights:{key}")
    assert not model.training
    assert model(torch.zeros(1, weights.in_channels, 28, 28)).shape == (1, weights.num_classes)
    with pytest.raises(InputRejected, match="there are"):
        pretrained("weights:no_such_weights")


def test_a_net_may_go_on_from_a_run(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNLAB_DATA_DIR", str(tmp_path))
    folder = data_dir() / "runs" / "abcdefgh"
    chosen = config(epochs=1)
    training, _ = ran(chosen, folder=folder)
    (folder / "config.yaml").write_text(chosen.to_yaml(), encoding="utf-8")
    assert are_equal(pretrained("run:abcdefgh@1").state_dict(), training.model.state_dict())
    untrained = pretrained("run:abcdefgh@0").state_dict()
    assert are_equal(untrained, build_net(chosen, **GREY).state_dict())
    second = building.of_run(folder, 1)
    follower, _ = ran(config(epochs=1, seed=9, start_from="run:abcdefgh@1", lr=1e-8), folder=None)
    for name, weight in second.named_parameters():
        assert torch.allclose(follower.model.get_parameter(name), weight, atol=1e-4)
    with pytest.raises(InputRejected, match="epoch"):
        pretrained("run:abcdefgh@7")
    with pytest.raises(InputRejected):
        pretrained("run:zzzzzzzzzz@0")


@pytest.mark.parametrize("written", [None, "net: resnet_cifar", "lr: [", b"\xff\xfe"], ids=str)
def test_a_run_whose_configuration_was_changed_is_damaged_in_words(tmp_path, written):
    checkpoints.write_weights(checkpoints.weights_file(tmp_path, 0), build_net(config(), **GREY), FACTS)
    if written is not None:
        (tmp_path / "config.yaml").write_bytes(written if isinstance(written, bytes) else written.encode())
    with pytest.raises((RunFailed, InputRejected)):
        building.of_run(tmp_path, 0)


def test_a_teacher_must_know_these_pictures_and_classes():
    grey = next(key for key, one in bundled_weights().items() if one.architecture == "lenet5")
    assert not teacher(f"weights:{grey}", FACTS).training
    with pytest.raises(InputRejected, match="cannot look at these pictures"):
        teacher(f"weights:{grey}", replace(FACTS, in_channels=3))
    with pytest.raises(InputRejected, match="10 classes apart and the data has 2"):
        teacher(f"weights:{grey}", replace(FACTS, classes=("a", "b")))


# --- freezing -----------------------------------------------------------------------------------------------------


def test_a_layer_and_all_before_it_are_frozen():
    model = build_net(config(), **GREY)
    frozen = freeze(model, "1")
    assert frozen == (model[0], model[1])
    assert [name for name, one in model.named_parameters() if not one.requires_grad] == [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
    ]


def test_a_group_is_frozen_to_its_end():
    model = build_seeded("cifar10_cnn", seed=0)
    freeze(model, "features")
    trained = [name for name, one in model.named_parameters() if one.requires_grad]
    assert trained
    assert all(name.startswith("classifier.") for name in trained)


def test_groups_with_similar_names_are_told_apart():
    model = nn.Sequential()
    for name in ("a", "ab", "b"):
        model.add_module(name, nn.Sequential(nn.Linear(1, 1)))
    freeze(model, "a")
    assert [one.requires_grad for one in model.parameters()] == [False] * 2 + [True] * 4


@pytest.mark.parametrize(
    ("name", "reason"), [("nowhere", "no layer 'nowhere'.* it has 0, 1, 2"), ("8", "nothing is left to train")]
)
def test_what_cannot_be_frozen_is_rejected_in_words(name, reason):
    with pytest.raises(InputRejected, match=reason):
        freeze(build_net(config(), **GREY), name)


def test_frozen_layers_keep_weights_and_statistics_bit_for_bit():
    chosen = config(freeze_to="4", dropout=0.5, optimizer="adamw", weight_decay=0.1)
    training, told = ran(chosen)
    before, after = build_net(chosen, **GREY).state_dict(), weights_of(training)
    frozen = {name: tensor for name, tensor in before.items() if name[0] in "0134"}
    assert len(frozen) == 9
    assert are_equal(frozen, {name: after[name] for name in frozen})
    assert not torch.equal(before["8.weight"], after["8.weight"])
    assert told[0].num_frozen == sum(one.numel() for one in list(training.model.parameters())[:6])
    assert told[0].num_params == 6 * 6 * 6 * 10 + 10


# --- the device ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"device": "cuda"}, "no GPU"),
        ({"compile": True}, "slower"),
        ({"precision": "fp16"}, "no instructions for fp16"),
        ({"precision": "bf16"}, "no instructions for bf16"),
    ],
    ids=str,
)
def test_what_this_machine_is_bad_at_is_refused_in_words(monkeypatch, chosen, reason):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    with pytest.raises(Unsupported, match=reason):
        device_of(TrainConfig(**chosen))


def test_bfloat16_is_taken_where_the_processor_has_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert device_of(TrainConfig(precision="bf16", device="cpu")) == torch.device("cpu")


def test_the_lowest_of_seven_classes_needs_a_net_of_seven():
    small = replace(digits(), classes=tuple("0123456"))
    with pytest.raises(InputRejected, match="7 classes"):
        ran(config(net=SMALL), dataset=small)
