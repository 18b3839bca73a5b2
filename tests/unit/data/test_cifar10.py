import hashlib
import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from cnnlab.data import DATASETS, cifar10
from cnnlab.data.cifar10 import CLASSES, gather_cifar10
from cnnlab.data.pickles import read_batch
from cnnlab.errors import InputRejected

BATCHES = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]


def batch(number: int) -> bytes:
    """Ten pictures, one of each class: red is the batch, green the row, blue the column."""
    rows, columns = np.indices((32, 32))
    planes = np.stack([np.full((32, 32), number), rows, columns]).astype(np.uint8).tobytes()
    return b"".join(bytes([label]) + planes for label in range(10))


def archive(names=BATCHES) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for number, name in enumerate(names):
            content = batch(number)
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def check(gathered):
    assert gathered.pictures.shape == (60, 32, 32, 3)
    assert gathered.pictures.is_contiguous()
    assert gathered.labels.tolist() == list(range(10)) * 6
    assert gathered.test.tolist() == list(range(50, 60))
    assert gathered.pictures[0, 5, 7].tolist() == [0, 5, 7]
    assert gathered.pictures[59, 31, 0].tolist() == [5, 31, 0]


def test_the_archive_is_fetched_once_and_unpacked_once(server, monkeypatch):
    monkeypatch.setattr(cifar10, "ARCHIVE", server.remote("cifar-10-binary.tar.gz", archive()))
    assert not DATASETS["cifar10"].is_here()
    for _ in range(2):
        check(gather_cifar10())
    assert server.asked == ["/cifar-10-binary.tar.gz"]
    assert DATASETS["cifar10"].is_here()


@pytest.mark.parametrize("root", ["", "datasets"])
def test_unpacked_batches_are_read_where_they_lie(data_dir, root):
    folder = data_dir / root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for number, name in enumerate(BATCHES):
        (folder / name).write_bytes(batch(number))
    assert DATASETS["cifar10"].is_here()
    check(gather_cifar10())


def pickled(number: int) -> bytes:
    """The batch as Python 2 pickled it: protocol 2, short strings U, long ones T, bytes of numbers K."""
    rows = [batch(number)[at : at + 3073] for at in range(0, 30730, 3073)]
    pixels = b"".join(row[1:] for row in rows)

    def short(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85" + short(b"b") + b"\x87R"
        b"(K\x01K\x0aM\x00\x0c\x86cnumpy\ndtype\n" + short(b"u1") + b"K\x00K\x01\x87R"
        b"(K\x03" + short(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + len(pixels).to_bytes(4, "little") + pixels + b"tb"
    )
    return (
        b"\x80\x02}q\x01("
        + short(b"batch_label")
        + short(b"training batch 1 of 5")
        # Long lists come in pieces.
        + short(b"labels")
        + b"]("
        + b"".join(b"K" + row[:1] for row in rows[:6])
        + b"e("
        + b"".join(b"K" + row[:1] for row in rows[6:])
        + b"e"
        + short(b"data")
        + array
        + short(b"filenames")
        + b"]("
        + short(b"a.png")
        + b"K\x09eu."
    )


@pytest.mark.filterwarnings("ignore:numpy.core")
def test_the_pickled_batches_of_these_tests_are_what_pickle_loads():
    loaded = pickle.loads(pickled(3), encoding="latin1")
    assert loaded["labels"] == list(range(10))
    assert loaded["data"].tolist() == [list(batch(3)[at + 1 : at + 3073]) for at in range(0, 30730, 3073)]


def test_torchvisions_copy_is_read_and_not_unpickled(data_dir, monkeypatch):
    for load in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, load, None)
    folder = data_dir / "cifar-10-batches-py"
    folder.mkdir()
    for number, name in enumerate(BATCHES):
        (folder / name.removesuffix(".bin")).write_bytes(pickled(number))
    assert DATASETS["cifar10"].is_here()
    check(gather_cifar10())


@pytest.mark.parametrize(
    "content", [b"", b"junk", pickled(0)[:-1], pickled(0)[:2000], pickle.dumps({"labels": [1], "data": b"1"})]
)
def test_what_is_no_pickled_batch_is_refused(content):
    with pytest.raises(InputRejected, match="no batch of CIFAR-10"):
        read_batch(content, "it")


@pytest.mark.parametrize("content", [b"", batch(0)[:-1], b"\x0b" + batch(0)[1:]])
def test_damaged_batches_are_refused(data_dir, content):
    folder = data_dir / "cifar-10-batches-bin"
    folder.mkdir()
    for number, name in enumerate(BATCHES):
        (folder / name).write_bytes(batch(number))
    (folder / BATCHES[2]).write_bytes(content)
    with pytest.raises(InputRejected, match=r"Delete them, and the lab fetches"):
        gather_cifar10()


def jpeg_zip(path, damaged: bool = False):
    with zipfile.ZipFile(path, "w") as file:
        for part, number in (("test", 0), ("train", 1), ("train", 2)):
            for label, name in enumerate(CLASSES):
                stream = io.BytesIO()
                Image.new("RGB", (32, 32), (20 * label, 0, 100 * number)).save(stream, "JPEG", quality=95)
                content = stream.getvalue()
                file.writestr(f"{part}/{name}/{number:04}.jpg", content[:200] if damaged else content)


def test_a_zip_of_jpeg_files_is_taken(data_dir):
    jpeg_zip(data_dir / "cifar10-jpeg.zip")
    for _ in range(2):
        gathered = gather_cifar10()
        assert len(gathered.labels) == 30
        assert gathered.test.tolist() == list(range(20, 30))
        colours = gathered.pictures[:, 16, 16].int()
        assert (colours[:, 0] - 20 * gathered.labels).abs().max() <= 4
        assert (colours[20:, 2]).max() <= 4
        assert colours[:20, 2].min() > 90


def test_a_damaged_zip_of_jpeg_files_is_refused(data_dir):
    jpeg_zip(data_dir / "cifar10-jpeg.zip", damaged=True)
    with pytest.raises(InputRejected, match="30 of 30 pictures are damaged"):
        gather_cifar10()


def test_the_table_names_the_published_archive():
    # The checksum that the authors' page gives is an MD5; the one here is of the same file, whose size it gives, too.
    [file] = DATASETS["cifar10"].files
    assert file.url == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    assert file.num_bytes == 170_052_171
    assert len(bytes.fromhex(file.sha256)) == hashlib.sha256().digest_size
