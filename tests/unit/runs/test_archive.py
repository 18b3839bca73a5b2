"""A run as a zip, to take along; and zips from strangers."""

import dataclasses
import io
import json
import pickle
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnlab.errors import InputRejected, LabError, ResourceExhausted
from cnnlab.nets.spec import NetSpec, build, layer
from cnnlab.runs import archive, store
from cnnlab.runs.archive import export_zip, import_zip
from cnnlab.runs.journal import Journal, read_events, read_history, to_line
from cnnlab.runs.store import Run, TestResult
from cnnlab.train.checkpoints import NetFacts, epochs_in, read_weights, weights_file, write_weights
from cnnlab.train.config import TrainConfig
from cnnlab.train.events import TrainEvent
from tests.unit.runs.making import ENDED, OTHER, OWNER, STARTED, WHOLE_RUN, epoch_ended, measured, stepped

NET = NetSpec("Small", (1, 8, 8), (layer("flatten"), layer("linear", out_features=2)))
CONFIG = TrainConfig(net=NET, data="digits", epochs=2, lr=0.125)
FACTS = NetFacts(classes=("zero", "one"), in_channels=1, side=8, mean=(0.5,), std=(0.25,))
RESULT = TestResult(epoch=2, accuracy=0.7, loss=0.5, num_pictures=10, confusion=((4, 1), (2, 3)), time=2000.0)

Files = dict[str, bytes]


def make_run(told: tuple[TrainEvent, ...] = WHOLE_RUN) -> Run:
    run = store.create(OWNER, CONFIG, name="Mine 第一")
    folder = store.folder(run.id)
    with Journal.open(folder) as journal:
        for event in told:
            journal.append(event)
    for epoch in range(3):
        torch.manual_seed(epoch)
        write_weights(weights_file(folder, epoch), build(NET), FACTS)
    store.tag(run.id, ("slow",))
    store.note_progress(run.id, 2, 2, 0.875)
    store.set_state(run.id, "finished", "All epochs are done.")
    return store.get(run.id)


def unpacked(data: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist()}


def packed(files: Files, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return file.getvalue()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNLAB_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        return export_zip(make_run().id, with_tensorboard=True)


def refused(data: bytes, says: str) -> None:
    """It is refused in words, and nothing of it is kept."""
    with pytest.raises(InputRejected, match=says):
        import_zip(data, OWNER)
    assert store.of_owner(OWNER) == ()
    home = store.folder("x" * 26).parent
    assert not home.exists() or [path.name for path in home.iterdir() if path.is_dir()] == []


# --- there and back ------------------------------------------------------------------------------------------------


def test_a_run_comes_back_as_a_new_one_of_whoever_takes_it_in() -> None:
    run = make_run()
    store.publish(run.id, True)
    store.set_test(run.id, RESULT)
    copy = import_zip(export_zip(run.id), OTHER)
    assert copy.id != run.id
    assert copy == dataclasses.replace(
        store.get(run.id), id=copy.id, owner=OTHER, created=copy.created, is_published=False
    )
    assert store.get(copy.id) == copy
    assert tuple(read_events(store.folder(copy.id))) == WHOLE_RUN
    assert read_history(store.folder(copy.id)).best_epoch == 2
    assert TrainConfig.from_yaml((store.folder(copy.id) / "config.yaml").read_text()) == CONFIG
    assert store.of_owner(OWNER) == (store.get(run.id),)


@pytest.mark.parametrize(("weights", "epochs"), [("best", (1,)), ("last", (2,)), ("all", (0, 1, 2))])
def test_the_weights_that_were_chosen_come_along(weights: str, epochs: tuple[int, ...]) -> None:
    run = make_run()
    store.note_progress(run.id, 2, 1, 0.875)
    copy = import_zip(export_zip(run.id, weights=weights), OTHER)
    there, here = store.folder(run.id), store.folder(copy.id)
    assert epochs_in(here) == epochs
    for epoch in epochs:
        assert weights_file(here, epoch).read_bytes() == weights_file(there, epoch).read_bytes()
        assert read_weights(weights_file(here, epoch)).keys() == {"1.weight", "1.bias"}


def test_where_the_best_weights_are_gone_the_last_come_along() -> None:
    run = make_run()
    store.note_progress(run.id, 0, 0, None)
    assert epochs_in(store.folder(import_zip(export_zip(run.id), OTHER).id)) == (2,)


def test_nothing_in_the_zip_says_whose_it_was_or_on_which_machine(exported: bytes) -> None:
    files = unpacked(exported)
    assert json.loads(files["run.json"]).keys() == {"format", "name", "tags", "state", "reason", "test"}
    assert all(OWNER.encode() not in content for content in files.values())


def test_files_for_tensorboard_come_along_when_asked_for(exported: bytes) -> None:
    names = {name.rpartition("/")[0] for name in unpacked(exported)}
    assert names == {"", "weights", "tensorboard/train", "tensorboard/validation"}
    assert not [name for name in unpacked(export_zip(make_run().id)) if name.startswith("tensorboard")]


def test_a_run_that_went_on_is_interrupted_in_the_copy() -> None:
    run = make_run(WHOLE_RUN[:9])
    store.set_state(run.id, "running")
    copy = import_zip(export_zip(run.id), OTHER)
    assert (copy.state, copy.epochs_done, copy.best_epoch) == ("interrupted", 1, 1)
    assert "when it was packed" in copy.reason


def test_a_run_that_never_began_can_be_packed_and_taken_in() -> None:
    run = store.create(OWNER, CONFIG)
    copy = import_zip(export_zip(run.id), OTHER)
    assert (copy.state, copy.epochs_done, copy.best_accuracy) == ("interrupted", 0, None)
    assert list(read_events(store.folder(copy.id))) == []


def test_damaged_events_stay_behind() -> None:
    run = make_run()
    path = store.folder(run.id) / "events.jsonl"
    path.write_bytes(b"damaged\n" + path.read_bytes() + b'{"torn')
    copy = import_zip(export_zip(run.id), OTHER)
    assert tuple(read_events(store.folder(copy.id))) == WHOLE_RUN


def test_losses_that_are_no_numbers_come_along() -> None:
    copy = import_zip(export_zip(make_run((STARTED, stepped(1, float("nan")), ENDED)).id), OTHER)
    assert str(read_history(store.folder(copy.id)).steps.loss) == "[nan]"


def test_a_zip_that_was_packed_anew_by_hand_is_taken_in(exported: bytes) -> None:
    files = {"weights/": b"", "tensorboard/": b""} | unpacked(exported)
    assert import_zip(packed(files), OWNER).name == "Mine 第一"
    assert import_zip(packed(files, zipfile.ZIP_STORED), OWNER).name == "Mine 第一"


def test_what_is_not_there_cannot_be_packed() -> None:
    with pytest.raises(InputRejected, match="no such run"):
        export_zip("x" * 26)


def test_weights_that_are_too_many_for_a_zip_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 100_001_500)  # three files have 700 bytes each
    run = make_run()
    export_zip(run.id)
    with pytest.raises(
        ResourceExhausted, match=r"The weights take 0 MB, and a zip up to 100 MB\. Take those of the best"
    ):
        export_zip(run.id, weights="all")


def test_an_owner_without_room_takes_nothing_in(exported: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_RUNS", 1)
    import_zip(exported, OWNER)
    with pytest.raises(ResourceExhausted, match="You have 1 runs"):
        import_zip(exported, OWNER)
    import_zip(exported, OTHER)


# --- from strangers: the zip ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"\x89PNG", b"PK\x03\x04" * 1000])
def test_what_is_no_run_in_a_zip_is_refused(data: bytes) -> None:
    refused(data, "no run that the lab packed: it (is no zip|holds no config.yaml)")


@pytest.mark.parametrize(
    "name",
    [
        *("../evil", "/etc/passwd", "C:\\evil", "weights/../../evil", "..", "evil/", "config.yaml/", "sub/config.yaml"),
        *("resume.safetensors", "weights/epoch_0001.pt", "weights/model.safetensors", "weights/epoch_1.safetensors"),
        *("weights/epoch_0001.safetensors\n", "weights/epoch_٠٠٠١.safetensors", "Config.yaml", "runs.sqlite", "a.py"),
        *("weights/epoch_0001.safetensors/../../evil", "tensorboard/../../evil", "tensorboard/train/evil"),
    ],
)
def test_names_that_are_none_of_a_run_are_refused(name: str, exported: bytes) -> None:
    refused(packed({**unpacked(exported), name: b"x"}), "it holds a file .*which does not belong to a run")


@pytest.mark.parametrize("name", ["config.yaml", "run.json", "events.jsonl"])
def test_what_is_missing_is_named(name: str, exported: bytes) -> None:
    files = unpacked(exported)
    del files[name]
    refused(packed(files), f"it holds no {name}")


def test_two_files_of_one_name_are_refused(exported: bytes) -> None:
    file = io.BytesIO(exported)
    with warnings.catch_warnings(), zipfile.ZipFile(file, "a") as zipped:
        warnings.simplefilter("ignore")
        zipped.writestr("config.yaml", "net: lenet5")
    refused(file.getvalue(), "it holds 'config.yaml' twice")


def test_links_passwords_and_uncommon_packing_are_refused(exported: bytes) -> None:
    files = unpacked(exported)
    config = files.pop("config.yaml")
    file = io.BytesIO(packed(files))
    with zipfile.ZipFile(file, "a") as zipped:
        link = zipfile.ZipInfo("config.yaml")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(link, "/etc/passwd")
    refused(file.getvalue(), "'config.yaml' is a link")
    protected = bytearray(exported)
    protected[protected.index(b"PK\x01\x02") + 8] |= 1
    refused(bytes(protected), "protected by a password")
    refused(packed({**files, "config.yaml": config}, zipfile.ZIP_LZMA), "packed in an uncommon way")


def test_bombs_are_refused_before_they_are_unpacked(exported: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    files = unpacked(exported)
    refused(packed({**files, "events.jsonl": bytes(30_000_000)}), r"'events.jsonl' is packed 1,0\d\d times smaller")
    many = {f"weights/step_{number:08}.safetensors": b"" for number in range(1200)}
    refused(packed({**files, **many}), "more than 1,100 files or 1,000 MB")
    more = {f"weights/step_{number:08}.safetensors": b"" for number in range(2300)}
    refused(packed({**files, **more}), "it holds too many files")
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    refused(exported, "This zip has 0 MB; a run has up to 0 MB")


def test_a_file_that_declares_less_than_it_holds_gives_no_more_than_declared(exported: bytes) -> None:
    data = bytearray(packed({**unpacked(exported), "events.jsonl": b"".join(map(to_line, WHOLE_RUN))}))
    at = data.index(b"events.jsonl", data.index(b"PK\x01\x02")) - 46  # in the list of contents
    data[at + 24 : at + 28] = struct.pack("<I", 100)
    refused(bytes(data), "events.jsonl")


# --- from strangers: what is inside --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (b"", "training configuration is a list of names"),
        (b"net: lenet6", "There is no net 'lenet6'"),
        (b"epochs: 100000", "epochs must be from 1 to 1"),
        (b"a: &a [1]\nb: *a", "refers to itself"),
        (b"!!python/object/apply:os.system ['true']", "no YAML"),
        (b"\xff\xfe", "config.yaml is no text"),
        (b"#" * 1_000_001, "config.yaml is larger than"),
    ],
)
def test_a_configuration_is_read_as_any_other(config: bytes, says: str, exported: bytes) -> None:
    refused(packed({**unpacked(exported), "config.yaml": config}, zipfile.ZIP_STORED), says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "another version"),
        ({"state": "sleeping"}, "another version"),
        ({"name": "a\nb"}, "characters that cannot be seen"),
        ({"name": "x" * 81}, "has 1 to 80 characters"),
        ({"tags": ["x"] * 3 + [""]}, "A tag has 1 to 30"),
        ({"tags": [str(number) for number in range(11)]}, "These are 11 tags"),
        ({"owner": OTHER}, "not the fields"),
        ({"is_published": True}, "not the fields"),
        ({"reason": "x" * 10_001}, "another version"),
        ({"test": {"epoch": 1}}, "missing"),
        ({"test": dataclasses.asdict(RESULT) | {"confusion": [[1, 2]]}}, "does not fit the classes"),
        ({"test": dataclasses.asdict(RESULT) | {"num_pictures": 11}}, "does not add up"),
        ({"test": dataclasses.asdict(RESULT) | {"num_pictures": 0, "confusion": []}}, "does not add up"),
        ({"test": dataclasses.asdict(RESULT) | {"accuracy": 1.5}}, "does not add up"),
        ({"test": dataclasses.asdict(RESULT) | {"accuracy": "NaN"}}, "does not add up"),
        ({"test": dataclasses.asdict(RESULT) | {"time": 1e300}}, "time is out of range"),
        ({"test": dataclasses.asdict(RESULT) | {"epoch": -1}}, "number is out of range"),
    ],
)
def test_what_is_said_of_a_run_is_checked(change: dict, says: str, exported: bytes) -> None:
    files = unpacked(exported)
    files["run.json"] = json.dumps(json.loads(files["run.json"]) | change).encode()
    refused(packed(files), says)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ([stepped(1)], "line 1 .*comes before the start"),
        ([STARTED, dataclasses.replace(stepped(1), step=-1)], "line 2 .*number is out of range"),
        ([STARTED, dataclasses.replace(stepped(1), step=2**60)], "number is out of range"),
        ([STARTED, dataclasses.replace(stepped(1), time=float("nan"))], "time is out of range"),
        ([STARTED, dataclasses.replace(epoch_ended(1), confusion=((1, 2, 3), (1, 2, 3)))], "confusion matrix"),
        ([STARTED, dataclasses.replace(epoch_ended(1), confusion=((1,),))], "confusion matrix"),
        ([STARTED, dataclasses.replace(measured(1), gradients=())], "another number of layers"),
        ([STARTED, measured(1), dataclasses.replace(measured(2), dead={"3": 0.5})], "other layers"),
        ([dataclasses.replace(STARTED, classes=("one",))], "nothing to train"),
        ([dataclasses.replace(STARTED, steps_per_epoch=0)], "nothing to train"),
        ([STARTED, dataclasses.replace(STARTED, layers=("1", "2"))], "goes on with another net"),
        ([dataclasses.replace(STARTED, net="x" * 10_001)], "a text is too long"),
        ([STARTED, dataclasses.replace(WHOLE_RUN[1], file="../../evil")], "names a file that is none of a run"),
    ],
)
def test_events_that_no_run_tells_are_refused(told: list[TrainEvent], says: str, exported: bytes) -> None:
    refused(packed({**unpacked(exported), "events.jsonl": b"".join(map(to_line, told))}), says)


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"[" * 100_000 + b"\n", b'{"kind":"Stepped"}\n', b"\x80\x04.\n", b"torn"]
)
def test_lines_that_are_no_events_are_refused(line: bytes, exported: bytes) -> None:
    files = unpacked(exported)
    refused(packed({**files, "events.jsonl": files["events.jsonl"] + line}, zipfile.ZIP_STORED), "events.jsonl is")


def with_header(content: bytes, change: Callable[[dict], object]) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    said = json.dumps(header).encode()
    return len(said).to_bytes(8, "little") + said + content[8 + length :]


HEADERS: list[Callable[[dict], object]] = [
    lambda header: header.clear(),
    lambda header: header.pop("__metadata__"),
    lambda header: header["__metadata__"].clear(),
    lambda header: header.update(__metadata__=[]),
    lambda header: header["__metadata__"].update(facts="{"),
    lambda header: header["__metadata__"].update(facts=7),
    lambda header: header["__metadata__"].update(facts=json.dumps(dataclasses.asdict(FACTS) | {"side": 9})),
    lambda header: header["__metadata__"].update(facts=json.dumps(dataclasses.asdict(FACTS) | {"std": [0.0]})),
    lambda header: header["__metadata__"].update(facts=json.dumps(dataclasses.asdict(FACTS) | {"mean": [1, 1]})),
    lambda header: header["__metadata__"].update(facts=json.dumps(dataclasses.asdict(FACTS) | {"classes": ["a", "b"]})),
    lambda header: header.pop("1.bias"),
    lambda header: header.update(more=header["1.bias"]),
    lambda header: header.update({"1.bias": None}),
    lambda header: header["1.bias"].update(dtype="F64"),
    lambda header: header["1.bias"].update(shape=[3]),
    lambda header: header["1.bias"].update(shape=[2, 1]),
    lambda header: header["1.bias"].update(data_offsets=[0, 8], more=1),
    lambda header: header["1.weight"].update(data_offsets=[0, 512]),
    lambda header: header["1.weight"].update(data_offsets=[-8, 504]),
    lambda header: header["1.weight"].update(data_offsets=[8, 10**30]),
    lambda header: header["1.weight"].update(data_offsets="much"),
]
CONTENTS: list[Callable[[bytes], bytes]] = [
    lambda _: b"",
    lambda content: content[:7],
    lambda content: content[:100],
    lambda content: content[:-1],
    lambda content: content + b"\0",
    lambda content: (2**63).to_bytes(8, "little") + content[8:],
    lambda content: b"\0" * 8 + content[8:],
    lambda _: pickle.dumps({"weights": [1.0]}, protocol=2),
    lambda _: (100_000).to_bytes(8, "little") + b"[" * 100_000,
    *((lambda content, change=change: with_header(content, change)) for change in HEADERS),
]


@pytest.mark.parametrize("change", CONTENTS)
def test_weights_of_another_net_or_of_none_are_refused(change: Callable[[bytes], bytes], exported: bytes) -> None:
    name = "weights/epoch_0002.safetensors"
    files = unpacked(exported)
    refused(packed({**files, name: change(files[name])}, zipfile.ZIP_STORED), f"{name} does not hold the weights")


def test_weights_without_a_start_are_refused(exported: bytes) -> None:
    refused(packed({**unpacked(exported), "events.jsonl": b""}), "no event says of what")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_whatever_is_changed_in_a_zip_it_is_refused_or_can_be_used(exported: bytes, data: st.DataObject) -> None:
    files = unpacked(exported)
    name = data.draw(st.sampled_from(["", *(name for name in files if not name.startswith("tensorboard"))]))
    content = files[name] if name else exported
    at = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(0, 20))
    changed = content[:at] + data.draw(st.binary(max_size=20)) + content[at + length :]
    try:
        run = import_zip(packed({**files, name: changed}, zipfile.ZIP_STORED) if name else changed, OWNER)
    except LabError:
        return
    assert store.get(run.id) == run
    json.dumps(read_history(store.folder(run.id)).to_data(), allow_nan=False)
    for epoch in epochs_in(store.folder(run.id)):
        build(run.config.net).load_state_dict(read_weights(weights_file(store.folder(run.id), epoch)))
    store.delete(run.id)
