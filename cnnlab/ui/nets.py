"""The current net: which one, with which weights; and the models that all visitors share."""

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import streamlit as st
import torch
from torch import nn

from cnnlab.errors import InputRejected, ResourceExhausted
from cnnlab.images import Preprocessing
from cnnlab.inference import Loan, ModelCache, ModelKey
from cnnlab.inference.memory import memory_in_words
from cnnlab.inference.weights_files import check_fit, fit, sizes_in
from cnnlab.nets import ARCHITECTURES, build_seeded, store
from cnnlab.nets.seeding import build_filled
from cnnlab.nets.spec import LayerSpec, NetSpec, Problem, SpecError, build, check, from_json, label, to_json
from cnnlab.nets.summary import LayerFacts, facts_of, legal_sizes, summarize, totals
from cnnlab.nets.tracing import DoesNotFit
from cnnlab.nets.weights import Weights, is_downloaded, load_weights, weights_for
from cnnlab.train.checkpoints import read_weights
from cnnlab.ui import own_weights, run_weights, visitors, workbench
from cnnlab.ui.own_weights import UPLOAD
from cnnlab.ui.run_weights import RUN
from cnnlab.ui.text import plain
from cnnlab.ui.workbench import NET, SEED, WEIGHTS

DRAFT = "draft"
RANDOM = "random"
_SAVED = "own:"
_MOST_CLASSES = 1000
_MOST_MACS = 40_000_000_000
_MOST_BYTES = 2 * 2**30
_running = threading.BoundedSemaphore(2)
_DRAFT = "workbench.draft"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A net that a visitor is changing; it need not work.

    Args:
        name: As the visitor calls it.
        input_shape: (C, H, W).
        layers: In order.
    """

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[LayerSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentNet:
    """The net that every page works on.

    Args:
        key: Key of `ARCHITECTURES`, `own:` and the name of a saved net, `run:` and the id of a run, or `draft`.
        label: Name shown to people.
        input_shape: (C, H, W) for which it was made.
        num_classes: Length of its output.
        architecture: Key of `ARCHITECTURES` of the net that it is, or "" for one that a visitor made.
        spec: What it is made of, where a visitor made it; of a draft with faults, the layers before the first.
        problems: What is wrong with a draft.
    """

    key: str
    label: str
    input_shape: tuple[int, int, int]
    num_classes: int
    architecture: str = ""
    spec: NetSpec | None = None
    problems: tuple[Problem, ...] = ()


def of_link(text: str) -> str:
    """The key that a link names.

    Raises:
        InputRejected: There is no such net, or not for this visitor.
    """
    if text in ARCHITECTURES or (text == DRAFT and _DRAFT in st.session_state):
        return text
    if text.startswith(_SAVED) and store.exists(visitors.owner(), text.removeprefix(_SAVED)):
        return text
    if text.startswith(RUN):
        run_weights.run_of(text)
        return text
    if text == DRAFT:
        raise InputRejected(
            "it was made with a draft, which ends with its page unless it is saved; another net is shown"
        )
    if text.startswith(_SAVED):
        raise InputRejected("it was made with somebody's own net, which a link does not carry; another one is shown")
    raise InputRejected(f"there is no net called '{text[:40]}'; another one is shown in its place")


def weights_of_link(text: str) -> str:
    """The key of the weights that a link names, for the net it names.

    Raises:
        InputRejected: The net has no such weights.
    """
    if text != RANDOM and text not in weights_of(current()):
        if text.startswith(UPLOAD):
            raise InputRejected("it was made with somebody's own weights, which a link does not carry; others are used")
        raise InputRejected(f"there are no weights called '{text[:40]}' for this net; others are used")
    return text


def _saved() -> dict[str, str]:
    return {f"{_SAVED}{saved.name}": saved.name for saved in store.names(visitors.owner()) if not saved.fault}


def choices() -> dict[str, str]:
    """Key → label of every net that this visitor can take: the table, then their own."""
    named = {key: entry.label for key, entry in ARCHITECTURES.items()}
    if _DRAFT in st.session_state:
        named[DRAFT] = f"{st.session_state[_DRAFT].name} (draft)"
    return named | _saved() | run_weights.choices()


def choose(key: str) -> None:
    """Make another net the current one, with its own weights, size, channels and classes."""
    st.session_state[NET.key] = key
    for setting in (WEIGHTS, *workbench.VIEW_SETTINGS):
        st.session_state[setting.key] = None


def choose_weights(key: str) -> None:
    """Make other weights the current ones; the net is then looked at with their classes and channels."""
    st.session_state[WEIGHTS.key] = key
    if key.startswith(UPLOAD):
        st.session_state[workbench.CLASSES.key] = st.session_state[workbench.CHANNELS.key] = None


def current() -> CurrentNet:
    """The net of the workbench. One that is gone, because another window deleted it, gives way to the default.

    With weights that somebody has chosen it has their classes and channels.
    """
    net, wanted = _chosen(), st.session_state.get(WEIGHTS.key)
    weights = weights_of(net).get(wanted) if wanted and wanted != RANDOM else None
    if weights is None:
        return net
    shape = (weights.in_channels, *net.input_shape[1:])
    return replace(net, num_classes=weights.num_classes, input_shape=shape)


def _chosen() -> CurrentNet:
    key = st.session_state.get(NET.key, NET.default)
    if key.startswith(_SAVED) and not store.exists(visitors.owner(), key.removeprefix(_SAVED)):
        choose(key := NET.default)
    try:
        return of(key)
    except InputRejected:
        if not key.startswith(RUN):
            raise
        choose(NET.default)
        return of(NET.default)


def of(key: str) -> CurrentNet:
    """A net of the table as it was published, or one of the visitor's own."""
    if entry := ARCHITECTURES.get(key):
        return CurrentNet(
            key=key,
            label=entry.label,
            input_shape=entry.input_shape,
            num_classes=entry.num_classes,
            architecture=key,
        )
    if key.startswith(RUN):
        run = run_weights.run_of(key)
        facts, made_of = run_weights.facts(run), run.config.net
        return CurrentNet(
            key=key,
            label=run.net,
            input_shape=(facts.in_channels, facts.side, facts.side),
            num_classes=len(facts.classes),
            architecture=made_of if isinstance(made_of, str) else "",
            spec=made_of if isinstance(made_of, NetSpec) else None,
        )
    if key != DRAFT:
        spec = store.load(visitors.owner(), key.removeprefix(_SAVED))
        return CurrentNet(
            key=key,
            label=spec.name,
            input_shape=spec.input_shape,
            num_classes=spec.steps[-1].out_shape[0],
            spec=spec,
        )
    made = draft()
    found = check(made.layers, made.input_shape)
    working = made.layers[: len(found.steps)]
    return CurrentNet(
        key=key,
        label=f"{made.name} (draft)",
        input_shape=made.input_shape,
        num_classes=found.steps[-1].out_shape[0] if found.steps else 0,
        spec=NetSpec(made.name, made.input_shape, working) if working else None,
        problems=found.problems,
    )


def draft() -> Draft:
    """What the visitor is changing."""
    return st.session_state[_DRAFT]


def has_draft() -> bool:
    """Whether the visitor has changes that are not saved."""
    return _DRAFT in st.session_state


def change_draft(changed: Draft) -> None:
    """Keep a changed draft and make it the current net."""
    st.session_state[_DRAFT] = changed
    if st.session_state[NET.key] != DRAFT:
        choose(DRAFT)


def drop_draft() -> None:
    """Forget the draft: it has been saved."""
    del st.session_state[_DRAFT]


def identity(net: CurrentNet, in_channels: int) -> tuple[str, str | None]:
    """What tells one structure from another: the key in the table, or the spec as JSON, whatever it is called.

    Raises:
        SpecError: A net of the visitor's own does not take so many channels.
    """
    if net.architecture:
        return net.architecture, None
    assert net.spec is not None
    return "", to_json(replace(net.spec, name="", input_shape=(in_channels, *net.spec.input_shape[1:])))


@st.cache_resource(show_spinner=False, max_entries=64)
def _structure(key: str, spec_json: str | None, num_classes: int, in_channels: int) -> nn.Module:
    with torch.device("meta"):
        if spec_json is None:
            return ARCHITECTURES[key].build(num_classes=num_classes, in_channels=in_channels).eval()
        return build(from_json(spec_json)).eval()


def structure(net: CurrentNet, num_classes: int, in_channels: int) -> nn.Module:
    """The net without numbers in it, on the meta device: to count and to draw. Shared: do not change it."""
    return _structure(*identity(net, in_channels), num_classes, in_channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a net does not work.

    Args:
        name: Of the layer.
        kind: Its class, or what the draft calls it.
        arrives: Shape that reaches it.
        reason: In a few words.
        message: In full, with what to do.
    """

    name: str
    kind: str
    arrives: tuple[int, ...]
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What `summarize` says of a net at one input size.

    Args:
        facts: Every layer, or those before the failing one.
        failure: Why there are no more.
    """

    facts: tuple[LayerFacts, ...]
    failure: Failure | None = None


@st.cache_resource(show_spinner=False, max_entries=512)
def _described(key: str, spec_json: str | None, num_classes: int, input_shape: tuple[int, int, int]) -> Described:
    model = _structure(key, spec_json, num_classes, input_shape[0])
    try:
        return Described(facts=summarize(model, input_shape))
    except DoesNotFit as misfit:
        failure = Failure(
            name=misfit.name, kind=misfit.kind, arrives=misfit.arrives, reason=misfit.reason, message=str(misfit)
        )
        return Described(facts=facts_of(model, misfit.calls), failure=failure)


def described(net: CurrentNet, num_classes: int, input_shape: tuple[int, int, int]) -> Described:
    """Every layer of the net at an input size, computed once for all visitors."""
    found = Described(facts=())
    if net.spec is not None or net.architecture:
        try:
            found = _described(*identity(net, input_shape[0]), num_classes, input_shape)
        except SpecError as error:
            return Described(facts=(), failure=_fault(net, error.problems, input_shape))
    if found.failure is not None or not net.problems:
        return found
    arrives = found.facts[-1].output_shape if found.facts else input_shape
    return replace(found, failure=_fault(net, net.problems, arrives))


def _fault(net: CurrentNet, problems: Sequence[Problem], arrives: tuple[int, ...]) -> Failure:
    """The first fault of a net of the visitor's own, in the words of all."""
    first = problems[0]
    number = int(first.position[0]) if first.position else 0
    layers = draft().layers if net.key == DRAFT else net.spec.layers if net.spec else ()
    return Failure(
        name=str(number or "net"),
        kind=label(layers[number - 1]) if number else "net",
        arrives=arrives,
        reason=first.message,
        message="\n".join(problem.message for problem in problems),
    )


@st.cache_resource(show_spinner=False, max_entries=256)
def _sizes(
    key: str, spec_json: str | None, num_classes: int, in_channels: int, near: int
) -> tuple[int, int | None] | None:
    return legal_sizes(_structure(key, spec_json, num_classes, in_channels), in_channels, near)


def sizes(net: CurrentNet, num_classes: int, in_channels: int) -> tuple[int, int | None] | None:
    """Smallest and largest side of a square picture that the net takes; None for either where there is none."""
    try:
        return _sizes(*identity(net, in_channels), num_classes, in_channels, net.input_shape[1])
    except SpecError:
        return None


def weights_of(net: CurrentNet) -> dict[str, Weights]:
    """Trained weights that the net can be given, by key."""
    if net.key.startswith(RUN):
        return run_weights.weights_of(run_weights.run_of(net.key))
    return (weights_for(net.key) if net.key in ARCHITECTURES else {}) | _own_weights(net)


def takes_weights(net: CurrentNet) -> bool:
    """Whether a visitor may bring weights for it: not for the net of a run, which has its own, nor one with faults."""
    return bool(net.architecture or net.spec) and not (net.key.startswith(RUN) or net.problems)


def take_weights(net: CurrentNet, name: str, data: bytes) -> str:
    """Keep the weights in a visitor's file, for a net and for this session.

    A net of the table is taken with the classes and channels that the weights are for.

    Args:
        net: One that `takes_weights`.
        name: Of the file.
        data: The whole file.

    Returns:
        The key of the weights.

    Raises:
        InputRejected: The file cannot be used, or is for another net.
        ResourceExhausted: There is no room for it.
    """
    with memory_in_words("The weights cannot be taken", "Take a smaller file, or try again when others have finished."):
        return _taken(net, name, data)


def _taken(net: CurrentNet, name: str, data: bytes) -> str:
    state = own_weights.read(data)
    num_classes, (in_channels, height, width) = net.num_classes, net.input_shape
    if net.architecture:
        found = sizes_in(state, ARCHITECTURES[net.architecture].build)
        num_classes, in_channels = found[0] or num_classes, found[1] or in_channels
        if not 2 <= num_classes <= _MOST_CLASSES:
            raise InputRejected(
                f"The weights are for {num_classes:,} classes; the lab takes 2 to {_MOST_CLASSES:,}. Take others."
            )
    try:
        check_fit(structure(net, num_classes, in_channels), state)
    except InputRejected as error:
        meant = ARCHITECTURES.get(state.architecture)
        if meant is None or state.architecture == net.architecture:
            raise
        raise InputRejected(f"The file says that it is for {meant.label}: choose that net first.\n{error}") from error
    return own_weights.keep(
        state,
        structure=_told_apart(net),
        architecture=net.architecture,
        num_classes=num_classes,
        input_shape=(in_channels, height, width),
        name=name,
    )


def _own_weights(net: CurrentNet) -> dict[str, Weights]:
    return own_weights.of(_told_apart(net)) if takes_weights(net) else {}


def _told_apart(net: CurrentNet) -> str:
    """What tells its structure from others, except for classes and channels of a net of the table."""
    return "|".join(map(str, identity(net, net.input_shape[0])))


def are_here(weights: Weights) -> bool:
    """Whether they can be used without a download."""
    return own_weights.are_own(weights) or is_downloaded(weights)


def chosen_weights(
    net: CurrentNet, num_classes: int, in_channels: int, weights_key: str | None = None
) -> Weights | None:
    """The trained weights in use: those chosen, else those that are here and fit; None for random ones.

    Args:
        net: Which.
        num_classes: That it is to have.
        in_channels: Likewise.
        weights_key: Which to take, in place of those of the workbench.
    """
    wanted = weights_key or st.session_state[WEIGHTS.key]
    known = weights_of(net)
    fitting = {
        key: weights
        for key, weights in known.items()
        if (weights.num_classes, weights.in_channels) == (num_classes, in_channels)
    }
    if wanted == RANDOM or wanted in known:
        return fitting.get(wanted)
    return next((weights for weights in fitting.values() if are_here(weights)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A net with numbers in it.

    Args:
        loan: The model stays in the cache as long as this is held.
        weights: Where the numbers come from; None for random ones.
        seed: From which random ones were drawn.
        classes: Names of the logits, or their numbers.
        identity: What tells this model from every other.
    """

    loan: Loan
    identity: str
    weights: Weights | None
    seed: int
    classes: tuple[str, ...]

    @property
    def model(self) -> nn.Module:
        """Shared by all visitors, of `cnnlab.inference.share`: whoever borrows it leaves it as it is."""
        return self.loan.model


@st.cache_resource(show_spinner=False)
def models() -> ModelCache:
    """The models of this server, one copy of each for all visitors."""
    return ModelCache()


def _filled(
    key: str,
    spec_json: str | None,
    num_classes: int,
    in_channels: int,
    seed: int,
    give_weights: Callable[[nn.Module], object],
) -> nn.Module:
    if spec_json is None:
        model = build_seeded(key, seed=seed, num_classes=num_classes, in_channels=in_channels)
    else:
        spec = from_json(spec_json)
        model = build_filled(lambda **_: build(spec), seed=seed, num_classes=num_classes, in_channels=in_channels)
    give_weights(model)
    return model


def _giver(net: CurrentNet, weights: Weights | None, forget: Callable[[], None]) -> Callable[[nn.Module], object]:
    if weights is None:
        return lambda _: None
    if own_weights.are_own(weights):
        state = own_weights.state_of(weights)  # here: who loads the model may not look into sessions

        def give(model: nn.Module) -> None:
            fit(model, state)
            # The model goes with the weights of whoever loaded it. Another who has brought the same file and is still
            # there has it loaded anew, and it then goes with theirs.
            weakref.finalize(state, forget).atexit = False

        return give
    if net.key.startswith(RUN):
        return lambda model: model.load_state_dict(read_weights(weights.path))
    return lambda model: load_weights(model, weights)


def _source(net: CurrentNet, weights: Weights) -> str:
    """What tells weights from all others, also those of an epoch from those of the same epoch after a resume."""
    if not net.key.startswith(RUN):
        return weights.file
    return f"{weights.file}|{weights.path.stat().st_mtime_ns if weights.path.exists() else 0}"


def loaded(net: CurrentNet, num_classes: int, in_channels: int, weights_key: str | None = None) -> Loaded:
    """The net with its weights. Weights that are not on this machine yet are not fetched here.

    Args:
        net: Which.
        num_classes: That it is to have.
        in_channels: Likewise.
        weights_key: As in `chosen_weights`.

    Raises:
        ResourceExhausted: There is not enough memory for it.
    """
    weights = chosen_weights(net, num_classes, in_channels, weights_key)
    if weights is not None and not are_here(weights):
        weights = None
    seed = 0 if weights else st.session_state[SEED.key]
    source = _source(net, weights) if weights else ""
    key, spec_json = identity(net, in_channels)
    told = f"{key}|{spec_json}|{num_classes}|{in_channels}|{source}|{seed}"
    cache, place = models(), ModelKey(identity=told)
    give_weights = _giver(net, weights, partial(cache.forget, place))
    load = partial(_filled, key, spec_json, num_classes, in_channels, seed, give_weights)
    with st.spinner("Filling the net with weights"):
        loan = cache.borrow(place, load)
    classes = weights.classes if weights else tuple(f"class {number}" for number in range(num_classes))
    return Loaded(loan=loan, identity=told, weights=weights, seed=seed, classes=classes)


@contextmanager
def run_of(found: Described) -> Iterator[None]:
    """Around a run of a net on a picture: refuses what one visitor must not ask of a shared server, and takes turns.

    Raises:
        ResourceExhausted: The net would compute for minutes, or take more memory than is its share, or than there is.
    """
    whole = totals(found.facts)
    if whole.macs > _MOST_MACS or whole.activation_bytes > _MOST_BYTES:
        raise ResourceExhausted(
            f"On a picture of this size the net takes {whole.macs / 1e9:,.1f} G MACs and makes maps of "
            f"{whole.activation_bytes / 2**20:,.0f} MB; the lab runs up to {_MOST_MACS / 1e9:.0f} G MACs and "
            f"{_MOST_BYTES / 2**20:,.0f} MB. Choose a smaller input size."
        )
    with (
        _running,
        memory_in_words("The net cannot run", "Choose a smaller input size, or try again when others have finished."),
    ):
        yield


def preprocessing(weights: Weights | None, input_shape: tuple[int, int, int]) -> Preprocessing:
    """What turns a picture into the net's input: as in training, at the size that is looked at.

    Raises:
        InputRejected: The net takes a number of channels that no picture has.
    """
    channels, height, width = input_shape
    if channels not in (1, 3):
        raise InputRejected(
            f"The net takes {channels} channels; a picture has 1 or 3. Set its input channels to those."
        )
    mean, std = (0.0,) * channels, (1.0,) * channels
    colours, margin = "grey" if channels == 1 else "rgb", 1.0
    if weights is not None:
        learnt = weights.preprocessing
        mean, std, colours = learnt.mean, learnt.std, learnt.channels
        if isinstance(learnt.resize, int) and learnt.crop:
            margin = learnt.resize / min(learnt.crop)
    if height != width:
        return Preprocessing(resize=(height, width), channels=colours, mean=mean, std=std)
    return Preprocessing(resize=round(height * margin), crop=(height, width), channels=colours, mean=mean, std=std)


def say_weights(known: Loaded) -> None:
    """Tell where the numbers in the net come from, and what that means for what it says."""
    if known.weights is None:
        st.caption(
            f"Random weights, seed {known.seed}: what the net says means nothing yet. Choose trained ones under "
            "Change net, where there are any."
        )
    else:
        st.caption(f"Weights {plain(known.weights.label)}: {plain(known.weights.accuracy)}.")
