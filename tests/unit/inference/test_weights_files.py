import json
import struct
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from cnnlab.errors import InputRejected
from cnnlab.images import Preprocessing
from cnnlab.inference import weights_files
from cnnlab.inference.weights_files import MAX_BYTES, fit, read_weights_file, sizes_in, told_bytes
from cnnlab.nets import ARCHITECTURES, build_seeded
from cnnlab.nets.weights import save_bundled
from cnnlab.train.checkpoints import NetFacts, write_weights

SMALL = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.tensor([1.0, -1.0])}


def file_of(header: object, numbers: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def entry(shape: object = (1,), place: object = (0, 4), kind: object = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": place}


def refused(data: bytes) -> str:
    with pytest.raises(InputRejected) as told:
        read_weights_file(data)
    return str(told.value)


def test_tensors_come_out_as_they_went_in():
    state = read_weights_file(safetensors.torch.save(SMALL))
    assert state.tensors.keys() == SMALL.keys()
    assert all(torch.equal(state.tensors[name], SMALL[name]) for name in SMALL)
    assert state.num_bytes == 4 * 8
    assert (state.label, state.architecture, state.classes, state.preprocessing) == ("", "", (), None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_real_numbers_of_other_lengths_become_float32(dtype):
    tensors = read_weights_file(safetensors.torch.save({"w": torch.tensor([0.5, -2.0], dtype=dtype)})).tensors
    assert tensors["w"].dtype == torch.float32
    assert tensors["w"].tolist() == [0.5, -2.0]


def test_whole_numbers_stay_whole():
    tensors = read_weights_file(safetensors.torch.save({"count": torch.tensor(7)})).tensors
    assert tensors["count"].dtype == torch.int64
    assert tensors["count"] == 7


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.int16, torch.uint8])
def test_the_header_alone_tells_what_the_tensors_will_take(dtype):
    data = safetensors.torch.save({"w": torch.ones(3, 5, dtype=dtype), "one": torch.tensor(1.0)}, {"label": "x"})
    assert told_bytes(data) == read_weights_file(data).num_bytes


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_what_wrappers_put_before_all_names_is_taken_off(prefix):
    wrapped = {prefix + name: tensor for name, tensor in SMALL.items()}
    assert read_weights_file(safetensors.torch.save(wrapped)).tensors.keys() == SMALL.keys()
    mixed = wrapped | {"other": torch.ones(1)}
    assert read_weights_file(safetensors.torch.save(mixed)).tensors.keys() == mixed.keys()


def test_two_files_are_told_apart_by_their_digests():
    one, two = safetensors.torch.save(SMALL), safetensors.torch.save(SMALL, {"label": "other"})
    assert read_weights_file(one).sha256 == read_weights_file(bytes(one)).sha256 != read_weights_file(two).sha256


def test_what_the_labs_own_files_say_of_themselves_is_used(tmp_path):
    steps = Preprocessing(resize=32, crop=(28, 28), channels="grey", mean=(0.1,), std=(0.3,))
    save_bundled(
        build_seeded("lenet5", seed=0, num_classes=3),
        tmp_path / "net.safetensors",
        label="mine",
        architecture="lenet5",
        classes=("a", "b", "c"),
        preprocessing=steps,
        accuracy="all right",
        source="",
    )
    state = read_weights_file((tmp_path / "net.safetensors").read_bytes())
    assert (state.label, state.architecture, state.accuracy) == ("mine", "lenet5", "all right")
    assert (state.classes, state.preprocessing) == (("a", "b", "c"), steps)


def test_what_the_files_of_a_run_say_of_themselves_is_used(tmp_path):
    facts = NetFacts(classes=("cat", "dog"), in_channels=3, side=32, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.3))
    write_weights(tmp_path / "weights" / "epoch_0001.safetensors", nn.Linear(2, 2), facts)
    state = read_weights_file((tmp_path / "weights" / "epoch_0001.safetensors").read_bytes())
    assert state.classes == ("cat", "dog")
    assert state.preprocessing == Preprocessing(resize=(32, 32), mean=facts.mean, std=facts.std)


@pytest.mark.parametrize(
    "said",
    [
        {"classes": "[1, 2]"},
        {"classes": "{}"},
        {"classes": json.dumps(["c"] * 1001)},
        {"classes": "[" * 100_000},
        {"preprocessing": '{"mean": [0], "std": [0]}'},
        {"preprocessing": '{"mean": [0, 0, 0], "std": [1e-300, 1, 1]}'},
        {"preprocessing": '{"mean": [1e400, 0, 0], "std": [1, 1, 1]}'},
        {"preprocessing": '{"mean": "abc", "std": {}}'},
        {"preprocessing": '{"mean": [0, 0, 0], "std": [1, 1, 1], "resize": [5000, 1]}'},
        {"preprocessing": '{"mean": [0, 0, 0], "std": [1, 1, 1], "channels": [[]]}'},
        {"preprocessing": '{"__class__": 1}'},
        {"preprocessing": f'{{"mean": [{"9" * 4000}], "std": [1], "channels": "grey"}}'},
        {"facts": '{"classes": 3, "side": "x", "mean": null, "std": [], "in_channels": 2}'},
        {"facts": "null", "format": "pt"},
    ],
)
def test_what_a_file_says_of_itself_and_makes_no_sense_is_passed_over(said):
    state = read_weights_file(safetensors.torch.save(SMALL, said))
    assert (state.classes, state.preprocessing) == ((), None)


def test_what_a_file_says_is_cut_to_a_printable_line():
    said = {"label": "a\nb\u202e" + "x" * 1000, "classes": json.dumps(["\x00", "cat\ud800"])}
    state = read_weights_file(safetensors.torch.save(SMALL, said))
    assert state.label == "ab" + "x" * 198
    assert state.classes == ("class 0", "cat")


@pytest.mark.parametrize(
    "data", [b"PK\x03\x04" + b"x" * 100, b"\x80\x02}q\x00.", b"\x80\x04\x95" + b"\x00" * 20, b"\x80\x05."]
)
def test_a_pickle_is_refused_with_the_line_that_converts_it(data):
    assert refused(data).endswith("python -m cnnlab convert FILE.pt")
    assert "pickle of PyTorch" in refused(data)


@pytest.mark.parametrize("length", [0x0280, 0x0480])
def test_a_file_whose_header_happens_to_begin_like_a_pickle_is_read(length):
    text = json.dumps({"w": entry([1], [0, 4])}).encode().ljust(length)
    data = file_of(text, struct.pack("<f", 2))
    assert data.startswith((b"\x80\x02", b"\x80\x04"))
    assert read_weights_file(data).tensors["w"].tolist() == [2]


def test_too_large_a_file_is_refused_before_it_is_looked_at(monkeypatch):
    assert MAX_BYTES == 250_000_000
    monkeypatch.setattr(weights_files, "MAX_BYTES", 1_000_000)
    assert refused(b"\x00" * 2_000_000).startswith("The file has 2 MB; the lab takes weights of up to 1 MB.")


GOOD = {"w": entry([1], [0, 4])}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no .safetensors file"),
        (b"\x00" * 7, "no .safetensors file"),
        (b"GIF89a" + b"\x00" * 20, "no .safetensors file"),
        (struct.pack("<Q", 2**63) + b"{}", "no .safetensors file"),
        (struct.pack("<Q", 2_000_000) + b"{" + b" " * 1_999_999, "no .safetensors file"),
        (struct.pack("<Q", 500) + b"{}", "cut off: its header alone takes 508 bytes, and there are 10"),
        (file_of(b"{" + b"\xff" * 10), "not JSON"),
        (file_of(b"{'w': 1}"), "not JSON"),
        (file_of(b'{"w":' + b"[" * 500_000), "not JSON"),
        (file_of(b'{"w":' + b"9" * 5000 + b"}"), "not JSON"),
        (file_of(b'{"w": {"dtype": "F32", "dtype": "F64"}}'), "stands in its header twice"),
        (file_of(b'{"w": 1, "w": 2}'), "stands in its header twice"),
        (file_of({}), "holds 0 tensors"),
        (file_of({"__metadata__": {"format": "pt"}}), "holds 0 tensors"),
        (file_of({str(number): 0 for number in range(10_001)}), "holds 10,001 tensors"),
        (file_of({"w": None}), "does not say what w is"),
        (file_of({"w": GOOD["w"] | {"more": 1}}, b"\0" * 4), "does not say what w is"),
        (file_of({"w" * 201: GOOD["w"]}, b"\0" * 4), "too long"),
        (file_of(b'{"\\ud800": {}}'), "not printable"),
        (file_of({"w": entry([1], [0, 1], "BOOL")}, b"\0"), "of the kind BOOL"),
        (file_of({"w": entry([1], [0, 1], "F8_E4M3")}, b"\0"), "of the kind F8_E4M3"),
        (file_of({"w": entry([1], [0, 4], ["F32"])}, b"\0" * 4), "of no kind"),
        (file_of({"w": entry([-1], [0, 4])}, b"\0" * 4), "shape of w"),
        (file_of({"w": entry([True], [0, 4])}, b"\0" * 4), "shape of w"),
        (file_of({"w": entry([1.0], [0, 4])}, b"\0" * 4), "shape of w"),
        (file_of({"w": entry([0], [0, 0])}), "shape of w"),
        (file_of({"w": entry([1] * 9, [0, 4])}, b"\0" * 4), "shape of w"),
        (file_of({"w": entry([2**62, 4], [0, 0])}), "shape of w"),
        (file_of({"w": entry([10**4000], [0, 4])}), "shape of w"),
        (file_of({"w": entry([2**32, 2**32], [0, 0])}), "size of its shape"),
        (file_of({"w": entry([2], [0, 4])}, b"\0" * 4), "size of its shape"),
        (file_of({"w": entry([1], [4, 0])}, b"\0" * 4), "size of its shape"),
        (file_of({"w": entry([1], [0])}, b"\0" * 4), "size of its shape"),
        (file_of({"w": entry([1], [0, 10**4000])}, b"\0" * 4), "size of its shape"),
        (file_of({"w": entry([1], [8, 12])}, b"\0" * 12), "w does not begin where"),
        (file_of({"a": GOOD["w"], "b": GOOD["w"]}, b"\0" * 8), "b does not begin where"),
        (file_of({"a": GOOD["w"], "b": entry([1], [2, 6])}, b"\0" * 8), "b does not begin where"),
        (file_of({"w": entry([2**40], [0, 2**42])}, b"\0" * 8), "cut off: its tensors take 4,398,046,511,104 bytes"),
        (file_of(GOOD, b"\0" * 3), "cut off: its tensors take 4 bytes, and 3 are there"),
        (file_of(GOOD, b"\0" * 6), "2 bytes at its end belong to no tensor"),
        (file_of(GOOD | {"__metadata__": {"a": 1}}, b"\0" * 4), "damaged"),
        (file_of(GOOD | {"__metadata__": []}, b"\0" * 4), "damaged"),
    ],
)
def test_a_file_that_is_damaged_or_made_to_do_harm_is_refused_in_words(data, told):
    assert told in refused(data)
    assert len(refused(data)) < 400


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_nan_and_infinity_are_refused_with_the_name_of_the_tensor(value, dtype):
    spoilt = SMALL | {"conv.weight": torch.tensor([[1.0, value]], dtype=dtype)}
    assert refused(safetensors.torch.save(spoilt)).startswith("conv.weight holds NaN or ∞")


def test_numbers_beyond_float32_are_refused_like_infinity():
    assert "holds NaN or ∞" in refused(safetensors.torch.save({"w": torch.tensor([1e300], dtype=torch.float64)}))


VALID = safetensors.torch.save(SMALL | {"half": torch.ones(3, dtype=torch.float16)}, {"label": "x", "classes": "[]"})


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_and_raise_nothing_else(data):
    refused(data)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(VALID)))
def test_a_mutated_file_is_read_or_refused_and_raises_nothing_else(changes, length):
    data = bytearray(VALID)
    for place, value in changes:
        data[place] = value
    try:
        state = read_weights_file(bytes(data[: length if len(changes) % 2 else len(data)]))
    except InputRejected:
        return
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.tensors.values())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "I64", "BOOL", "F8_E5M2"]) | json_values,
        "shape": st.lists(st.sampled_from([0, 1, 2, 2**31, 2**32, 2**63, -1]), max_size=4) | json_values,
        "data_offsets": st.lists(st.integers(-1, 40) | st.integers(), min_size=2, max_size=2) | json_values,
    }
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(max_size=4) | st.just("__metadata__"), entries | json_values, max_size=3), st.binary())
def test_a_header_of_nonsense_allocates_little_and_raises_nothing_else(header, numbers):
    data = file_of(header, numbers)
    tracemalloc.start()
    try:
        read_weights_file(data)
    except InputRejected:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2_000_000


def state_of(tensors: Mapping[str, torch.Tensor]):
    return read_weights_file(safetensors.torch.save(dict(tensors)))


def test_weights_that_fit_are_given_to_the_net():
    given_to, taken_from = build_seeded("resnet9", seed=1), build_seeded("resnet9", seed=2)
    fit(given_to, state_of(taken_from.state_dict()))
    assert all(torch.equal(one, taken_from.state_dict()[name]) for name, one in given_to.state_dict().items())


def test_files_from_before_batches_were_counted_fit():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    old = {name: tensor for name, tensor in model.state_dict().items() if "num_batches" not in name}
    fit(model, state_of(old))


def test_what_does_not_fit_is_listed_name_by_name_with_both_shapes_and_the_net_stays_as_it_is():
    model = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten(), nn.Linear(8, 2))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    given_file = {
        "0.weight": torch.ones(4, 1, 5, 5),
        "0.bias": torch.ones(4, dtype=torch.int64),
        "2.weight": torch.ones(2, 8),
        "head.scale": torch.tensor(1.0),
    }
    with pytest.raises(InputRejected) as told:
        fit(model, state_of(given_file))
    assert str(told.value).splitlines()[1:] == [
        "– 0.weight is 4 × 1 × 5 × 5 in the file and 4 × 3 × 5 × 5 in the net",
        "– 0.bias holds whole numbers in the file and real ones in the net",
        "– 2.bias (2) is missing in the file",
        "– head.scale (one number) is in the file and not in the net",
    ]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_of_many_that_do_not_fit_eight_are_listed_and_the_rest_counted():
    model, other = build_seeded("resnet9", seed=0), build_seeded("lenet5", seed=0).state_dict()
    with pytest.raises(InputRejected) as told:
        fit(model, state_of(other))
    lines = str(told.value).splitlines()
    assert len(lines) == 10
    wrong = {name for name in model.state_dict() if not name.endswith("num_batches_tracked")} | other.keys()
    assert lines[-1] == f"– and {len(wrong) - 8} more"


@pytest.mark.parametrize("key", ["mlp", "lenet5", "tiny_vgg", "resnet_cifar", "cifar10_cnn_shared_bn"])
@pytest.mark.parametrize(("num_classes", "in_channels"), [(2, 1), (7, 3), (10, 1)])
def test_classes_and_channels_are_told_by_the_shapes(key, num_classes, in_channels):
    build = ARCHITECTURES[key].build
    with torch.device("meta"):
        shapes = build(num_classes=num_classes, in_channels=in_channels).state_dict()
    state = state_of({name: torch.ones(tensor.shape, dtype=tensor.dtype) for name, tensor in shapes.items()})
    assert sizes_in(state, build) == (num_classes, in_channels)


def test_the_sizes_in_weights_of_another_net_are_not_told():
    assert sizes_in(state_of(SMALL), ARCHITECTURES["lenet5"].build) == (None, None)
