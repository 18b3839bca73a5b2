"""Fashion-MNIST, from where its authors keep it; the checksums are those of TensorFlow Datasets."""

from cnnlab.data import idx
from cnnlab.data.dataset import Gathered, Progress
from cnnlab.data.entry import DatasetEntry
from cnnlab.data.files import RemoteFile
from cnnlab.downloading import Cancelled

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# The bucket by its own name, since the web site on top of it is without TLS.
_HOME = "https://fashion-mnist.s3.eu-central-1.amazonaws.com"
FILES = tuple(
    RemoteFile(f"FashionMNIST/raw/{name}", f"{_HOME}/{name}", sha256, num_bytes)
    for name, sha256, num_bytes in (
        (
            "train-images-idx3-ubyte.gz",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            26_421_880,
        ),
        ("train-labels-idx1-ubyte.gz", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", 29_515),
        ("t10k-images-idx3-ubyte.gz", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", 4_422_102),
        ("t10k-labels-idx1-ubyte.gz", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5_148),
    )
)


def gather_fashion_mnist(progress: Progress | None = None, cancelled: Cancelled | None = None) -> Gathered:
    """60,000 pictures for training and 10,000 for the test; raises as `idx.gather_idx`."""
    return idx.gather_idx(FILES, CLASSES, progress, cancelled)


FASHION_MNIST = DatasetEntry(
    label="Fashion-MNIST",
    about="70,000 grey pictures of clothes, 28 × 28 pixels: as handy as MNIST and a good deal harder.",
    credit="H. Xiao, K. Rasul and R. Vollgraf, Zalando Research, 2017, MIT",
    classes=CLASSES,
    num_pictures=70_000,
    channels=1,
    gather=gather_fashion_mnist,
    files=FILES,
    is_here=lambda: idx.is_here(FILES),
)
