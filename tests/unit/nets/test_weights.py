"""Fetching from a server of our own, and files of a few kilobytes in place of real weights."""

import errno
import hashlib
import http.client
import io
import json
import os
import ssl
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import nn

from cnnlab import downloading
from cnnlab.errors import InputRejected, ResourceExhausted, RunFailed
from cnnlab.images import IMAGENET, Preprocessing
from cnnlab.nets import ARCHITECTURES, Weights, build_seeded, is_downloaded, load_weights, weights_for
from cnnlab.nets.weights import BUNDLED, bundled_weights, read_bundled, save_bundled

GREY = Preprocessing(resize=(28, 28), channels="grey", mean=(0.1307,), std=(0.3081,))


def checkpoint(model: nn.Module, *, as_zip: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer, _use_new_zipfile_serialization=as_zip)
    return buffer.getvalue()


def equal(one: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


@dataclass
class Server:
    """What it serves, how, and how often it was asked."""

    url: str = ""
    body: bytes = b""
    status: int = 200
    cut_after: int | None = None
    says_length: bool = True
    before_body: Callable[[], object] = lambda: None
    num_requests: int = 0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """Our own server; what it sends lands in a data directory of the test's own."""
    serving = Server(body=checkpoint(build_seeded("lenet5", seed=7)))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            serving.num_requests += 1
            self.send_response(serving.status)
            if serving.says_length:
                self.send_header("Content-Length", str(len(serving.body)))
            self.end_headers()
            serving.before_body()
            self.wfile.write(serving.body[: serving.cut_after])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    monkeypatch.setenv("CNNLAB_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")

    class QuietServer(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that hang up are what some tests are about."""

    with QuietServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        serving.url = f"http://127.0.0.1:{httpd.server_port}/lenet5-test.pth"
        try:
            yield serving
        finally:
            httpd.shutdown()
            thread.join()


def served(server: Server) -> Weights:
    """The weights that the server has now, described as torchvision's are."""
    return Weights(
        label="Test",
        architecture="lenet5",
        classes=tuple("0123456789"),
        preprocessing=GREY,
        file="lenet5-test.pth",
        url=server.url,
        sha256=hashlib.sha256(server.body).hexdigest()[:8],
        num_bytes=len(server.body),
        accuracy="none",
        source="a test",
    )


def left_behind(weights: Weights) -> list[str]:
    return sorted(path.name for path in weights.path.parent.glob("*")) if weights.path.parent.exists() else []


# --- fetching ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "before-1.6"])
def test_weights_are_fetched_once_and_loaded(server, as_zip):
    trained = build_seeded("lenet5", seed=7)
    server.body = checkpoint(trained, as_zip=as_zip)
    weights = served(server)
    assert not is_downloaded(weights)
    for _ in range(2):
        model = build_seeded("lenet5", seed=0)
        load_weights(model, weights)
        assert equal(model, trained)
    assert is_downloaded(weights)
    assert server.num_requests == 1
    assert left_behind(weights) == ["lenet5-test.pth"]


def test_progress_rises_to_the_whole(server):
    server.body = checkpoint(nn.Linear(300, 500))
    weights = served(server)
    seen: list[tuple[int, int]] = []
    with pytest.raises(InputRejected, match="is another"):
        load_weights(build_seeded("lenet5", seed=0), weights, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) > 3
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {len(server.body)}
    assert seen[-1][0] == len(server.body)


def test_without_an_announced_length_the_known_size_is_the_whole(server):
    server.says_length = False
    weights = served(server)
    totals = set()
    load_weights(build_seeded("lenet5", seed=0), weights, progress=lambda _, total: totals.add(total))
    assert totals == {weights.num_bytes}


def test_a_file_with_another_checksum_is_not_kept(server):
    weights = replace(served(server), sha256="00000000")
    model = build_seeded("lenet5", seed=0)
    with pytest.raises(RunFailed, match=r"not with 00000000\. It was deleted") as failure:
        load_weights(model, weights)
    assert f"put the file lenet5-test.pth into {weights.path.parent}." in str(failure.value)
    assert left_behind(weights) == []
    assert equal(model, build_seeded("lenet5", seed=0))


def test_a_connection_that_breaks_off_leaves_nothing(server):
    weights = served(server)
    server.cut_after = len(server.body) // 2
    with pytest.raises(RunFailed, match=r"broke off after 0\.1 MB of 0\.3 MB"):
        load_weights(build_seeded("lenet5", seed=0), weights)
    assert left_behind(weights) == []
    server.cut_after = None
    load_weights(build_seeded("lenet5", seed=0), weights)


def test_a_missing_file_is_named_with_the_servers_answer(server):
    server.status = 404
    with pytest.raises(RunFailed, match="answers 404 Not Found for http") as failure:
        load_weights(build_seeded("lenet5", seed=0), served(server))
    assert "put the file lenet5-test.pth into" in str(failure.value)
    assert left_behind(served(server)) == []


def test_a_server_that_is_not_there_is_named_and_the_way_out_too(server):
    weights = replace(served(server), url="http://127.0.0.1:9/lenet5-test.pth")
    with pytest.raises(RunFailed, match=r"could not be fetched: .*refused.*Check the network") as failure:
        load_weights(build_seeded("lenet5", seed=0), weights)
    assert "put the file lenet5-test.pth into" in str(failure.value)


def test_a_name_that_is_not_known_is_told(server):
    weights = replace(served(server), url="http://nowhere.invalid/lenet5-test.pth")
    with pytest.raises(RunFailed, match="could not be fetched"):
        load_weights(build_seeded("lenet5", seed=0), weights)


def test_a_server_that_falls_silent_is_given_up(server, monkeypatch):
    monkeypatch.setattr(downloading, "_SILENCE_S", 0.2)
    finished = threading.Event()
    server.before_body = lambda: finished.wait(10)
    try:
        with pytest.raises(RunFailed, match="timed out"):
            load_weights(build_seeded("lenet5", seed=0), served(server))
    finally:
        finished.set()
    assert left_behind(served(server)) == []


@pytest.mark.parametrize("says_length", [True, False])
def test_a_server_that_sends_too_much_is_cut_off(server, says_length):
    weights = served(server)
    server.body, server.says_length = bytes(3_000_000), says_length
    with pytest.raises(RunFailed, match=r"in place of 0\.3 MB: something else answers"):
        load_weights(build_seeded("lenet5", seed=0), weights)
    assert left_behind(weights) == []


def test_weights_without_room_are_not_fetched(server):
    with pytest.raises(ResourceExhausted, match="has room for"):
        load_weights(build_seeded("lenet5", seed=0), replace(served(server), num_bytes=10**18))
    assert server.num_requests == 0


def test_a_data_directory_that_is_a_file_is_told(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CNNLAB_DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(RunFailed, match=r"lenet5-test\.pth"):
        load_weights(build_seeded("lenet5", seed=0), served(server))


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ResourceExhausted, "The disk that holds /data is full"),
        (PermissionError(errno.EACCES, "Permission denied"), RunFailed, "may not write to /data"),
        (urllib.error.URLError(ssl.SSLCertVerificationError(1, "no issuer")), RunFailed, "certificate"),
        (urllib.error.URLError(TimeoutError()), RunFailed, "TimeoutError"),
        (urllib.error.URLError(PermissionError(errno.EACCES, "Permission denied")), RunFailed, "Check the network"),
        (http.client.BadStatusLine("junk"), RunFailed, "junk"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_failure_is_told_with_what_to_do(error, kind, says):
    told = downloading._in_words(error, "https://example.org/a.pth", Path("/data/a.pth"))
    assert type(told) is kind
    assert says in str(told)
    assert str(told).endswith(".")
    assert str(told).count(". ") >= 1, "what came and what to do are two sentences"


# --- cancelling, and many at once -------------------------------------------------------------------------------


def test_cancelling_leaves_no_file(server):
    server.body = checkpoint(nn.Linear(1000, 1000))
    seen: list[int] = []
    with pytest.raises(RunFailed, match="cancelled"):
        load_weights(
            build_seeded("lenet5", seed=0),
            served(server),
            progress=lambda done, _: seen.append(done),
            cancelled=lambda: len(seen) >= 2,
        )
    assert len(seen) == 2
    assert left_behind(served(server)) == []


def test_a_caller_that_leaves_in_the_middle_leaves_no_file(server):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_weights(build_seeded("lenet5", seed=0), served(server), progress=stop)
    assert left_behind(served(server)) == []


def test_threads_that_ask_at_once_fetch_once(server):
    weights, trained = served(server), build_seeded("lenet5", seed=7)
    server.before_body = lambda: time.sleep(0.1)

    def load(seed: int) -> nn.Module:
        model = build_seeded("lenet5", seed=seed)
        load_weights(model, weights)
        return model

    with ThreadPoolExecutor(6) as pool:
        assert all(equal(model, trained) for model in pool.map(load, range(6)))
    assert server.num_requests == 1


def test_who_waits_for_another_download_can_leave(server):
    arrived, finished = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        finished.wait(10)

    server.before_body = hold
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(load_weights, build_seeded("lenet5", seed=0), served(server))
        try:
            assert arrived.wait(10)
            with pytest.raises(RunFailed, match="cancelled"):
                load_weights(build_seeded("lenet5", seed=0), served(server), cancelled=lambda: True)
        finally:
            finished.set()
        first.result()
    assert left_behind(served(server)) == ["lenet5-test.pth"]


# --- what lies in the folder already ----------------------------------------------------------------------------


def test_a_file_put_there_by_hand_needs_no_network(server):
    weights = replace(served(server), url="http://127.0.0.1:9/lenet5-test.pth")
    weights.path.parent.mkdir()
    weights.path.write_bytes(server.body)
    assert is_downloaded(weights)
    model = build_seeded("lenet5", seed=0)
    load_weights(model, weights)
    assert equal(model, build_seeded("lenet5", seed=7))


def test_a_file_that_has_gone_bad_is_fetched_anew(server):
    weights = served(server)
    weights.path.parent.mkdir()
    weights.path.write_bytes(server.body[:-1] + b"?")
    load_weights(build_seeded("lenet5", seed=0), weights)
    assert weights.path.read_bytes() == server.body
    assert server.num_requests == 1


def test_parts_that_a_killed_lab_has_left_are_cleared_and_those_at_work_are_not(server):
    weights = served(server)
    weights.path.parent.mkdir()
    old, new = (weights.path.parent / f".lenet5-test.pth.{name}.part" for name in ("old", "new"))
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    load_weights(build_seeded("lenet5", seed=0), weights)
    assert not old.exists()
    assert new.exists()


def test_code_in_a_checkpoint_does_not_run(server, tmp_path):
    class Trap:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "trapped"),)

    buffer = io.BytesIO()
    torch.save({"weight": Trap()}, buffer)
    server.body = buffer.getvalue()
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        load_weights(build_seeded("lenet5", seed=0), served(server))
    assert not (tmp_path / "trapped").exists()


def test_weights_of_another_net_are_refused_before_anything_is_copied(server):
    model = build_seeded("lenet5", seed=0, num_classes=4)
    with pytest.raises(InputRejected, match="lenet5 with 10 classes and 1 channels"):
        load_weights(model, served(server))
    assert equal(model, build_seeded("lenet5", seed=0, num_classes=4))


def test_files_from_before_batches_were_counted_are_taken(server):
    trained = build_seeded("resnet_cifar", seed=7)
    state = {name: tensor for name, tensor in trained.state_dict().items() if "num_batches" not in name}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    server.body = buffer.getvalue()
    model = build_seeded("resnet_cifar", seed=0)
    load_weights(model, replace(served(server), architecture="resnet_cifar"))
    assert equal(model, trained)


# --- torchvision's ----------------------------------------------------------------------------------------------


def test_torchvisions_weights_are_described_by_torchvision():
    found = weights_for("resnet50")
    assert list(found) == ["imagenet1k_v1", "imagenet1k_v2"]
    first, second = found.values()
    assert first.accuracy == "76.13 % top-1 on ImageNet-1k"
    assert first.preprocessing == IMAGENET
    assert second.preprocessing == replace(IMAGENET, resize=232)
    assert first.url == "https://download.pytorch.org/models/resnet50-0676ba61.pth"
    assert (first.file, first.sha256) == ("resnet50-0676ba61.pth", "0676ba61")
    assert first.num_bytes == pytest.approx(97.781 * 2**20, abs=1000)
    assert first.classes[281:283] == ("tabby", "tiger cat")


@pytest.mark.parametrize("key", [key for key, entry in ARCHITECTURES.items() if entry.family == "ImageNet"])
def test_every_net_of_imagenet_has_weights_that_fit(key):
    import torchvision

    found = weights_for(key)
    assert "imagenet1k_v1" in found
    with torch.device("meta"):
        theirs = torchvision.models.get_model(key).state_dict()
        ours = ARCHITECTURES[key].build().state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {
        name: tensor.shape for name, tensor in theirs.items()
    }
    for weights in found.values():
        assert (weights.architecture, weights.num_classes, weights.in_channels) == (key, 1000, 3)
        assert len(weights.sha256) == 8
        int(weights.sha256, 16)
        assert weights.url.startswith("https://download.pytorch.org/")
        # Four bytes a weight and little else.
        assert weights.num_bytes == pytest.approx(4 * sum(tensor.numel() for tensor in ours.values()), rel=0.02)


def test_other_filters_than_the_labs_are_admitted():
    assert "bicubic" in weights_for("efficientnet_b0")["imagenet1k_v1"].accuracy


def test_nets_of_our_own_have_no_weights_at_torchvision():
    assert all(not weights.url for weights in weights_for("lenet5").values())


# --- the lab's own ----------------------------------------------------------------------------------------------


def save(model: nn.Module, path: Path, architecture: str = "lenet5") -> Weights:
    return save_bundled(
        model,
        path,
        label="Digits",
        architecture=architecture,
        classes=tuple(f"„{digit}“" for digit in range(10)),
        preprocessing=GREY,
        accuracy="99 % of nothing",
        source="a test",
    )


@pytest.mark.parametrize("key", ["lenet5", "cifar10_cnn_shared_bn"])
def test_a_bundled_file_brings_back_the_net_and_what_is_said_of_it(key, tmp_path):
    trained = build_seeded(key, seed=7).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = save(trained, tmp_path / "digits.safetensors", key)
    assert weights == read_bundled(tmp_path / "digits.safetensors") == bundled_weights(tmp_path)["digits"]
    assert weights.preprocessing == GREY
    assert (weights.architecture, weights.num_classes, weights.in_channels) == (key, 10, 1)
    assert (weights.label, weights.classes[3], weights.accuracy) == ("Digits", "„3“", "99 % of nothing")
    assert weights.num_bytes == (tmp_path / "digits.safetensors").stat().st_size
    assert is_downloaded(weights)
    model = build_seeded(key, seed=0)
    load_weights(model, weights)
    assert equal(model, trained)


def test_a_bundled_file_that_is_damaged_is_not_used(tmp_path):
    path = tmp_path / "digits.safetensors"
    weights = save(build_seeded("lenet5", seed=7), path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunFailed, match="damaged"):
        load_weights(build_seeded("lenet5", seed=0), weights)


def test_anyone_can_read_what_a_bundled_file_says(tmp_path):
    path = tmp_path / "digits.safetensors"
    save(build_seeded("lenet5", seed=7), path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    said = header["__metadata__"]
    assert said["architecture"] == "lenet5"
    assert json.loads(said["classes"])[0] == "„0“"
    assert json.loads(said["preprocessing"])["channels"] == "grey"
    assert header["classifier.5.weight"]["shape"] == [10, 84]


def test_an_empty_folder_holds_no_weights(tmp_path):
    assert bundled_weights(tmp_path) == {}
    assert bundled_weights(tmp_path / "nowhere") == {}


def test_every_file_that_comes_with_the_lab_fits_its_net():
    for path in BUNDLED.glob("*.safetensors"):
        weights = weights_for(read_bundled(path).architecture)[path.stem]
        model = build_seeded(
            weights.architecture, seed=0, num_classes=weights.num_classes, in_channels=weights.in_channels
        )
        load_weights(model, weights)
