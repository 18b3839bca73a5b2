"""Saved nets: what people call them, what disks do, and two tabs at once."""

import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cnnlab.errors import InputRejected, ResourceExhausted
from cnnlab.nets.spec import NetSpec, layer
from cnnlab.nets.store import MAX_NETS, Saved, delete, exists, load, names, save

OWNER, OTHER = "a" * 16, "0123456789abcdef"


def net(name: str, outputs: int = 10) -> NetSpec:
    return NetSpec(name, (1, 8, 8), (layer("flatten"), layer("linear", out_features=outputs)))


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CNNLAB_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def files(data: Path) -> list[Path]:
    return sorted(path for path in data.rglob("*") if path.is_file())


def test_a_saved_net_comes_back_as_it_was() -> None:
    save(OWNER, net("Mine"))
    assert load(OWNER, "Mine") == net("Mine")
    assert names(OWNER) == (Saved("Mine"),)


def test_saving_again_replaces() -> None:
    save(OWNER, net("Mine", 10))
    save(OWNER, net("Mine", 5))
    assert load(OWNER, "Mine") == net("Mine", 5)
    assert len(names(OWNER)) == 1


def test_owners_do_not_see_each_other() -> None:
    save(OWNER, net("Mine"))
    assert names(OTHER) == ()
    with pytest.raises(InputRejected, match="no saved net called 'Mine'"):
        load(OTHER, "Mine")


def test_a_deleted_net_is_gone_and_deleting_it_again_does_nothing(data: Path) -> None:
    save(OWNER, net("Mine"))
    delete(OWNER, "Mine")
    delete(OWNER, "Mine")
    assert names(OWNER) == ()
    assert files(data) == []


def test_a_net_exists_from_saving_to_deleting_for_its_owner_alone() -> None:
    assert not exists(OWNER, "caf\u00e9")
    save(OWNER, net("caf\u00e9"))
    assert exists(OWNER, "caf\u00e9")
    assert exists(OWNER, "cafe\u0301")
    assert not exists(OTHER, "caf\u00e9")
    delete(OWNER, "caf\u00e9")
    assert not exists(OWNER, "caf\u00e9")


def test_looking_leaves_no_trace(data: Path) -> None:
    assert names(OWNER) == ()
    assert not exists(OWNER, "Mine")
    delete(OWNER, "Mine")
    assert not data.exists()


# --- names ---------------------------------------------------------------------------------------------------------

PEOPLE_WRITE = [
    *("LeNet", "lenet", "LENET", "con", "NUL", "aux.txt", "..", ".", ".hidden", "a.b", "a-b", "a_b", "ResNet 3 × 3"),
    *("网络 一", "Сеть", "शबकह", "é", "ß", "SS", "x" * 60, "网" * 60, "Six convolutions, shared", "net (2)"),
]


def test_names_people_write_are_all_different_nets(data: Path) -> None:
    for number, name in enumerate(PEOPLE_WRITE):
        save(OWNER, net(name, number + 1))
    assert {one.name for one in names(OWNER)} == set(PEOPLE_WRITE)
    for number, name in enumerate(PEOPLE_WRITE):
        assert load(OWNER, name) == net(name, number + 1)
    # Also where the file system does not tell case apart, and on Windows.
    on_disk = [path.name for path in files(data)]
    assert len({name.casefold() for name in on_disk}) == len(PEOPLE_WRITE)
    assert all(len(name) < 100 and name.isascii() for name in on_disk)
    assert not {name.split(".")[0] for name in on_disk} & {"con", "nul", "aux"}


def test_one_letter_in_two_spellings_is_one_name() -> None:
    assert save(OWNER, net("caf\u00e9", 1)) == "caf\u00e9"
    assert save(OWNER, net("cafe\u0301", 2)) == "caf\u00e9", "the name by which the list knows it"
    assert names(OWNER) == (Saved("caf\u00e9"),)
    assert load(OWNER, "caf\u00e9") == load(OWNER, "cafe\u0301") == net("caf\u00e9", 2)


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a\\b", "a:b", "<b>", "a|b", "a*", "💥", "`a`", "$a", '"a"'])
def test_names_that_mean_mischief_are_refused_with_words(name: str, data: Path) -> None:
    with pytest.raises(InputRejected, match="A saved net needs a name of letters, digits, spaces"):
        save(OWNER, net(name))
    with pytest.raises(InputRejected, match="There is no saved net called"):
        load(OWNER, name)
    delete(OWNER, name)
    assert not data.exists()


@pytest.mark.parametrize("owner", ["", "short", "../../../etc", "A" * 16, "a" * 65, "a" * 16 + "\n", "aaaaaaaa/aaaa"])
def test_owners_are_ids(owner: str, data: Path) -> None:
    for call in (
        lambda: save(owner, net("Mine")),
        lambda: names(owner),
        lambda: exists(owner, "Mine"),
        lambda: load(owner, "Mine"),
        lambda: delete(owner, "Mine"),
    ):
        with pytest.raises(InputRejected, match="not the id of an owner"):
            call()
    assert not data.exists()


def test_what_lies_outside_cannot_be_reached_by_name(data: Path) -> None:
    save(OWNER, net("Mine"))
    (data / "nets" / "secret.json").write_text("{}")
    for name in ("../secret", "..\\secret", str(data / "nets" / "secret")):
        delete(OWNER, name)
        with pytest.raises(InputRejected):
            load(OWNER, name)
    assert (data / "nets" / "secret.json").exists()


# --- disks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b'{"layers": 5}', b"[" * 700_000])
def test_a_damaged_file_is_listed_as_such_and_can_be_deleted(content: bytes, data: Path) -> None:
    save(OWNER, net("Broken"))
    (path,) = files(data)
    path.write_bytes(content)
    save(OWNER, net("Sound"))
    broken, sound = names(OWNER)
    assert broken.name == path.stem
    assert broken.fault.startswith("The file is damaged: ")
    assert sound == Saved("Sound")
    assert not exists(OWNER, "Broken")
    assert exists(OWNER, "Sound")
    for name in ("Broken", broken.name):
        with pytest.raises(InputRejected, match=r"is damaged\. Delete it and save it anew"):
            load(OWNER, name)
    delete(OWNER, broken.name)
    assert names(OWNER) == (sound,)


def test_a_net_that_is_damaged_and_mended_while_the_lab_runs_is_listed_as_it_is(data: Path) -> None:
    save(OWNER, net("Mine"))
    assert names(OWNER) == (Saved("Mine"),)
    (path,) = files(data)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    (broken,) = names(OWNER)
    assert broken.fault.startswith("The file is damaged: ")
    path.write_bytes(whole)
    assert names(OWNER) == (Saved("Mine"),)


def test_a_long_list_is_checked_once_and_then_costs_next_to_nothing() -> None:
    layers = (layer("conv", out_channels=8, kernel_size=3, padding=1), layer("relu")) * 150
    for number in range(MAX_NETS):
        save(OWNER, NetSpec(f"Net {number}", (8, 8, 8), layers))
    start = time.perf_counter()
    listed = names(OWNER)
    first = time.perf_counter() - start
    assert len(listed) == MAX_NETS
    start = time.perf_counter()
    assert names(OWNER) == listed
    assert time.perf_counter() - start < first / 10  # 0.5 ms after 220 ms on one core


def test_a_file_under_another_name_is_listed_as_such(data: Path) -> None:
    save(OWNER, net("Mine"))
    (path,) = files(data)
    path.rename(path.with_name("copied.json"))
    assert names(OWNER) == (Saved("copied", "The file holds a net called 'Mine', which belongs in another file."),)


def test_other_files_are_left_alone(data: Path) -> None:
    save(OWNER, net("Mine"))
    folder = files(data)[0].parent
    for name in (".x.tmp", "notes.txt", "Strange Name.json"):
        (folder / name).write_text("x")
    (folder / "folder.json").mkdir()
    assert names(OWNER) == (Saved("Mine"),)
    assert not exists(OWNER, "folder")


def test_fifty_nets_fit_and_one_of_them_can_still_be_replaced() -> None:
    for number in range(MAX_NETS):
        save(OWNER, net(f"Net {number}"))
    with pytest.raises(ResourceExhausted, match="You have 50 saved nets"):
        save(OWNER, net("One more"))
    save(OWNER, net("Net 7", 3))
    assert load(OWNER, "Net 7") == net("Net 7", 3)
    save(OTHER, net("One more"))


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the lab may not use its data folder"),
        (errno.EIO, "the disk answers: "),
    ],
)
def test_a_disk_that_fails_leaves_the_old_net_and_says_why(
    number: int, says: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(OWNER, net("Mine", 10))

    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ResourceExhausted, match=f"The net could not be saved: {says}"):
        save(OWNER, net("Mine", 5))
    assert load(OWNER, "Mine") == net("Mine", 10)
    assert len(files(data)) == 1, "no half-written file is left behind"


def test_a_data_folder_that_is_a_file_is_said_in_words(data: Path) -> None:
    data.write_text("")
    with pytest.raises(ResourceExhausted, match=r"could not be saved: .*Set CNNLAB_DATA_DIR"):
        save(OWNER, net("Mine"))
    with pytest.raises(ResourceExhausted, match="could not be listed"):
        names(OWNER)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_said_in_words(data: Path) -> None:
    save(OWNER, net("Mine"))
    folder = files(data)[0].parent
    folder.chmod(0o500)
    with pytest.raises(ResourceExhausted, match="may not use its data folder"):
        save(OWNER, net("Other"))
    folder.chmod(0o700)


# --- two tabs at once ----------------------------------------------------------------------------------------------


def test_readers_see_the_old_net_or_the_new_one_never_half_of_it() -> None:
    big = [NetSpec("Mine", (1, 8, 8), (layer("relu"),) * count) for count in (1, 300)]
    save(OWNER, big[0])
    done = threading.Event()

    def write() -> None:
        for number in range(40):
            save(OWNER, big[number % 2])
        done.set()

    with ThreadPoolExecutor(2) as pool:
        writer = pool.submit(write)
        while not done.is_set() and not writer.done():
            assert load(OWNER, "Mine") in big
            assert names(OWNER) == (Saved("Mine"),)
        writer.result()


def test_the_limit_holds_when_tabs_save_at_the_same_time() -> None:
    def save_one(number: int) -> bool:
        try:
            save(OWNER, net(f"Net {number}"))
        except ResourceExhausted:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(save_one, range(MAX_NETS + 10)))
    assert sum(results) == MAX_NETS == len(names(OWNER))
