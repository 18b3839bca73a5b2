"""MNIST, from the copy that PyTorch keeps; the checksums are those of TensorFlow Datasets."""

from cnnlab.data import idx
from cnnlab.data.dataset import Gathered, Progress
from cnnlab.data.entry import DatasetEntry
from cnnlab.data.files import RemoteFile
from cnnlab.downloading import Cancelled

CLASSES = tuple("0123456789")
FILES = tuple(
    RemoteFile(f"MNIST/raw/{name}", f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}", sha256, num_bytes)
    for name, sha256, num_bytes in (
        (
            "train-images-idx3-ubyte.gz",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            9_912_422,
        ),
        ("train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28_881),
        ("t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1_648_877),
        ("t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4_542),
    )
)


def gather_mnist(progress: Progress | None = None, cancelled: Cancelled | None = None) -> Gathered:
    """60,000 pictures for training and 10,000 for the test; raises as `idx.gather_idx`."""
    return idx.gather_idx(FILES, CLASSES, progress, cancelled)


MNIST = DatasetEntry(
    label="MNIST",
    about="70,000 handwritten digits of 28 × 28 pixels: the set on which convolutional nets began.",
    credit="Y. LeCun, C. Cortes and C. Burges, 1998, CC BY-SA 3.0",
    classes=CLASSES,
    num_pictures=70_000,
    channels=1,
    gather=gather_mnist,
    files=FILES,
    is_here=lambda: idx.is_here(FILES),
)
