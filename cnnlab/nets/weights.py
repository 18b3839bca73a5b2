"""Trained weights: those that come with the lab, and those that torchvision publishes.

The lab's own are safetensors files in `bundled/`, whose headers say all there is to know about them; safetensors
holds numbers and text only. Those of torchvision are fetched when first asked for, into `weights` in the data
directory, and unpickled with `weights_only`, which makes tensors and nothing else.
"""

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from cnnlab.downloading import Cancelled, Progress, download
from cnnlab.errors import InputRejected, RunFailed
from cnnlab.images import Preprocessing
from cnnlab.settings import data_dir

BUNDLED = Path(__file__).parent / "bundled"
_TORCHVISION = ("alexnet", "vgg16", "resnet18", "resnet34", "resnet50", "mobilenet_v3_small", "efficientnet_b0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Trained weights, and what one must know to use them.

    Attributes:
        label: Name shown to people.
        architecture: Key of `ARCHITECTURES`.
        classes: Names of the classes, in the order of the logits.
        preprocessing: What the net was fed in training, or the nearest that the lab has.
        file: Full path for weights that come with the lab; the bare name for those that are fetched.
        url: Where to fetch them, or "" for those that come with the lab.
        sha256: The checksum in hex: of the tensors in a file that comes with the lab, of the whole of a fetched file,
            or the digits with which it begins.
        num_bytes: Size of the file, to 1 kB for those that are fetched.
        accuracy: How good they are and on what, in words.
        source: Who trained them and how.
    """

    label: str
    architecture: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    file: str
    url: str = ""
    sha256: str
    num_bytes: int
    accuracy: str
    source: str

    @property
    def num_classes(self) -> int:
        """How many logits the net has."""
        return len(self.classes)

    @property
    def in_channels(self) -> int:
        """How many channels the net takes."""
        return len(self.preprocessing.mean)

    @property
    def path(self) -> Path:
        """Where the file is, or will be once it is fetched."""
        return data_dir() / "weights" / self.file


def weights_for(architecture: str) -> dict[str, Weights]:
    """All weights there are for an architecture, the lab's own first.

    Args:
        architecture: Key of `ARCHITECTURES`.
    """
    own = {key: weights for key, weights in bundled_weights().items() if weights.architecture == architecture}
    return own | (_of_torchvision(architecture) if architecture in _TORCHVISION else {})


def bundled_weights(folder: Path = BUNDLED) -> dict[str, Weights]:
    """The weights in a folder, by file name without its ending; reads the headers only."""
    return {path.stem: read_bundled(path) for path in sorted(folder.glob("*.safetensors"))}


def is_downloaded(weights: Weights) -> bool:
    """Whether they can be loaded without a network."""
    return weights.path.exists()


def fetch_weights(weights: Weights, *, progress: Progress | None = None, cancelled: Cancelled | None = None) -> None:
    """Make sure that the file is here and whole; returns at once where it is.

    A file that has gone bad, or that was put there by hand and is another, is deleted and fetched anew.

    Args:
        weights: Of `weights_for`.
        progress: Called with the bytes received and the bytes in all while fetching.
        cancelled: Asked again and again while fetching; True ends it.

    Raises:
        RunFailed: They could not be fetched.
        ResourceExhausted: No room for the file.
    """
    if not weights.url:
        return
    path = weights.path
    if path.exists() and not _is_intact(path, weights.sha256):
        path.unlink()
    download(
        weights.url, path, sha256=weights.sha256, num_bytes=weights.num_bytes, progress=progress, cancelled=cancelled
    )


def load_weights(
    model: nn.Module,
    weights: Weights,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> None:
    """Give a net its trained weights, fetching them first where needed. A net they do not fit stays as it is.

    Every file is checked before it is read.

    Args:
        model: Built with the architecture, the classes and the channels of `weights`; on any device.
        weights: Of `weights_for`.
        progress: As in `fetch_weights`.
        cancelled: Likewise.

    Raises:
        InputRejected: The weights are for another net.
        RunFailed: They could not be fetched, or a file that came with the lab is damaged.
        ResourceExhausted: No room for the file.
    """
    fetch_weights(weights, progress=progress, cancelled=cancelled)
    state = _fetched(weights.path) if weights.url else _read_tensors(weights)
    _check_fit(model, state, weights)
    model.load_state_dict(state)


def save_bundled(
    model: nn.Module,
    path: Path,
    *,
    label: str,
    architecture: str,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    accuracy: str,
    source: str,
    dtype: torch.dtype = torch.float32,
) -> Weights:
    """Write a trained net as one safetensors file that says of itself what `Weights` holds.

    Args:
        model: On any device, in any memory layout.
        path: Ends in .safetensors; replaced where it exists.
        label: As in `Weights`, like all that follow.
        architecture: Key of `ARCHITECTURES`.
        classes: In the order of the logits.
        preprocessing: What the net was fed.
        accuracy: "92.1 % on the 10,000 test pictures of CIFAR-10".
        source: "CNN Lab, 20 epochs on CIFAR-10".
        dtype: In which floating-point numbers are kept; `torch.float16` makes the file half as large.
    """
    # Copies, because safetensors refuses tensors that share memory, as a module used twice does.
    state = {
        name: tensor.detach().cpu().to(dtype if tensor.is_floating_point() else tensor.dtype).contiguous().clone()
        for name, tensor in model.state_dict().items()
    }
    metadata = {
        "label": label,
        "architecture": architecture,
        "classes": json.dumps(classes),
        "preprocessing": json.dumps(dataclasses.asdict(preprocessing)),
        "accuracy": accuracy,
        "source": source,
        "sha256": hashlib.sha256(_tensor_bytes(safetensors.torch.save(state))).hexdigest(),
    }
    path.write_bytes(safetensors.torch.save(state, metadata))
    return read_bundled(path)


def read_bundled(path: Path) -> Weights:
    """What a file written by `save_bundled` says of itself."""
    with safetensors.safe_open(path, framework="pt") as file:
        said = file.metadata()
    steps: dict[str, Any] = json.loads(said["preprocessing"])
    # JSON has no tuples, and Preprocessing has no lists.
    steps = {key: tuple(value) if isinstance(value, list) else value for key, value in steps.items()}
    return Weights(
        label=said["label"],
        architecture=said["architecture"],
        classes=tuple(json.loads(said["classes"])),
        preprocessing=Preprocessing(**steps),
        file=str(path.resolve()),
        sha256=said["sha256"],
        num_bytes=path.stat().st_size,
        accuracy=said["accuracy"],
        source=said["source"],
    )


def _of_torchvision(architecture: str) -> dict[str, Weights]:
    import torchvision.models  # Only here: it takes a second, and most visitors look at other nets.
    from torchvision.transforms import InterpolationMode

    found = {}
    for entry in torchvision.models.get_model_weights(architecture):
        if not entry.name.startswith("IMAGENET1K_V"):  # VGG16 also has features for a detector, without a classifier
            continue
        fed = entry.transforms()
        percent = entry.meta["_metrics"]["ImageNet-1K"]["acc@1"]
        is_bilinear = fed.interpolation == InterpolationMode.BILINEAR
        file = entry.url.rsplit("/", 1)[1]
        found[entry.name.lower()] = Weights(
            label=entry.name.replace("IMAGENET1K_V", "ImageNet-1k, version "),
            architecture=architecture,
            classes=tuple(entry.meta["categories"]),
            preprocessing=Preprocessing(
                resize=fed.resize_size[0], crop=(fed.crop_size[0],) * 2, mean=tuple(fed.mean), std=tuple(fed.std)
            ),
            file=file,
            url=entry.url,
            sha256=file.removesuffix(".pth").rsplit("-", 1)[1],
            num_bytes=round(entry.meta["_file_size"] * 2**20),
            accuracy=f"{percent:.2f} % top-1 on ImageNet-1k"
            + ("" if is_bilinear else f", resized with a {fed.interpolation.value} filter (the lab's is bilinear)"),
            source=f"torchvision, {entry.meta['recipe']}",
        )
    return found


def _fetched(path: Path) -> dict[str, torch.Tensor]:
    # Mapped, not read, so that 500 MB are not held twice; files from before PyTorch 1.6, no zip, cannot be.
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def _is_intact(path: Path, sha256: str) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(sha256)


def _read_tensors(weights: Weights) -> dict[str, torch.Tensor]:
    content = weights.path.read_bytes()
    if hashlib.sha256(_tensor_bytes(content)).hexdigest() != weights.sha256:
        raise RunFailed(f"{weights.path}, which came with the lab, is damaged. Install the lab anew.")
    return safetensors.torch.load(content)


def _tensor_bytes(content: bytes) -> bytes:
    """A safetensors file without its header, whose length stands in the first eight bytes."""
    return content[8 + int.from_bytes(content[:8], "little") :]


def _check_fit(model: nn.Module, state: Mapping[str, torch.Tensor], weights: Weights) -> None:
    """Refuse beforehand: `load_state_dict` copies what fits before it complains."""
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    given = {name: tensor.shape for name, tensor in state.items()}
    # Files from before PyTorch 0.4.1 have no count of batches; load_state_dict knows what to do.
    optional = {name for name in expected if name.endswith("num_batches_tracked")} - given.keys()
    if given != {name: shape for name, shape in expected.items() if name not in optional}:
        raise InputRejected(
            f"The weights {weights.label!r} are for {weights.architecture} with {weights.num_classes} classes and "
            f"{weights.in_channels} channels, and the net is another. Build it with these numbers."
        )
