import gzip
import hashlib
import struct

import numpy as np
import pytest

from cnnlab.data import DATASETS, files, load_dataset
from cnnlab.data.idx import gather_idx, read_idx
from cnnlab.errors import InputRejected, RunFailed
from tests.conftest import DATA

CLASSES = ("a", "b")


def idx(array: np.ndarray) -> bytes:
    """By the format's own description: two zeros, type 8, number of dimensions, sizes, bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


TRAIN = np.arange(24).reshape(6, 2, 2)
TEST = np.arange(100, 112).reshape(3, 2, 2)
CONTENTS = {
    "MNIST/raw/train-images-idx3-ubyte": idx(TRAIN),
    "MNIST/raw/train-labels-idx1-ubyte": idx(np.array([0, 1, 0, 1, 0, 1])),
    "MNIST/raw/t10k-images-idx3-ubyte": idx(TEST),
    "MNIST/raw/t10k-labels-idx1-ubyte": idx(np.array([1, 0, 1])),
}


def remote(server):
    return tuple(server.remote(f"{name}.gz", gzip.compress(content)) for name, content in CONTENTS.items())


def check(gathered):
    assert gathered.pictures[:6, :, :, 0].tolist() == TRAIN.tolist()
    assert gathered.pictures[6:, :, :, 0].tolist() == TEST.tolist()
    assert gathered.labels.tolist() == [0, 1, 0, 1, 0, 1, 1, 0, 1]
    assert gathered.test.tolist() == [6, 7, 8]


def test_files_are_fetched_once(server):
    wanted = remote(server)
    for _ in range(2):
        check(gather_idx(wanted, CLASSES, None, None))
    assert len(server.asked) == 4


def test_progress_counts_all_files_together(server):
    told = []
    wanted = remote(server)
    gather_idx(wanted, CLASSES, lambda *said: told.append(said), None)
    total = sum(file.num_bytes for file in wanted)
    assert {said[0] for said in told} == {"downloading"}
    assert {said[2] for said in told} == {total}
    assert [said[1] for said in told] == sorted(said[1] for said in told)
    assert told[-1][1] == total


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("root", ["", "datasets"])
def test_copies_that_lie_here_need_no_network(server, data_dir, suffix, root):
    wanted = remote(server)
    for name, content in CONTENTS.items():
        path = data_dir / root / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if suffix else content)
    check(gather_idx(wanted, CLASSES, None, None))
    assert server.asked == []


def test_a_damaged_copy_is_fetched_anew_and_a_strangers_is_left_alone(server, data_dir):
    wanted = remote(server)
    gather_idx(wanted, CLASSES, None, None)
    ours = data_dir / "datasets" / wanted[0].path
    ours.write_bytes(b"damaged")
    theirs = data_dir / wanted[1].path
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"another")
    server.asked.clear()
    check(gather_idx(wanted, CLASSES, None, None))
    assert server.asked == [f"/{wanted[0].path}"]
    assert theirs.read_bytes() == b"another"


def test_a_server_that_has_not_the_file_is_told_with_the_way_out(server, data_dir):
    wanted = remote(server)
    server.files.clear()
    with pytest.raises(RunFailed, match="answers 404") as failure:
        gather_idx(wanted, CLASSES, None, None)
    assert f"into {data_dir / 'datasets' / 'MNIST' / 'raw'}" in str(failure.value)


def test_fetching_can_be_cancelled(server):
    with pytest.raises(RunFailed, match="cancelled"):
        gather_idx(remote(server), CLASSES, None, lambda: True)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\x08", b"\0\0\x08\x00", idx(TRAIN)[:-1], idx(TRAIN) + b"0", b"\0\0\x0d" + idx(TRAIN)[3:], b"PK" * 30],
)
def test_what_is_no_idx_file_is_refused(content):
    with pytest.raises(InputRejected, match="damaged or no IDX file"):
        read_idx(content, "it")


def test_pictures_and_labels_that_do_not_belong_together_are_refused(server, data_dir):
    for name, content in CONTENTS.items():
        path = data_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (data_dir / "MNIST/raw/t10k-labels-idx1-ubyte").write_bytes(idx(np.array([1, 0])))
    with pytest.raises(InputRejected, match="do not belong together"):
        gather_idx(remote(server), CLASSES, None, None)


@pytest.mark.parametrize("key", ["mnist", "fashion_mnist"])
def test_the_tables_name_the_files_that_torchvision_names(key):
    from torchvision.datasets import MNIST, FashionMNIST

    theirs = {"mnist": MNIST, "fashion_mnist": FashionMNIST}[key]
    assert [file.path.rsplit("/", 1)[1] for file in DATASETS[key].files] == [name for name, _ in theirs.resources]
    assert {file.path.split("/")[0] for file in DATASETS[key].files} == {theirs.__name__}
    for file in DATASETS[key].files:
        assert file.url.startswith("https://")
        assert len(bytes.fromhex(file.sha256)) == 32
    if key == "fashion_mnist":
        assert list(DATASETS[key].classes) == theirs.classes


def test_real_mnist(monkeypatch):
    if not (DATA / "MNIST").exists():
        pytest.skip(f"no MNIST at {DATA}; set CNNLAB_TEST_DATA to a folder that holds it")
    monkeypatch.setenv("CNNLAB_DATA_DIR", str(DATA))
    dataset = load_dataset("mnist")
    assert DATASETS["mnist"].is_here()
    assert [len(part) for part in (dataset.splits.train, dataset.splits.validation, dataset.splits.test)] == [
        54_001,
        5_999,
        10_000,
    ]
    # Published: 0.1307 and 0.3081 over the 60,000; counts of the test labels.
    assert dataset.mean[0] == pytest.approx(0.1307, abs=5e-4)
    assert dataset.std[0] == pytest.approx(0.3081, abs=5e-4)
    assert dataset.class_counts(dataset.splits.test) == (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
    assert not files.find(DATASETS["mnist"].files[0].path), "the plain copies were read"
    digest = hashlib.sha256(dataset.pictures[60_000:].numpy().tobytes()).hexdigest()
    raw = (DATA / "MNIST/raw/t10k-images-idx3-ubyte").read_bytes()[16:]
    assert digest == hashlib.sha256(raw).hexdigest()
