"""The open run: its curves as they grow, what it says in numbers, and the buttons that steer it."""

import time
from typing import Any

import streamlit as st

from cnnlab.errors import LabError
from cnnlab.runs import store
from cnnlab.runs.store import Run
from cnnlab.train.checkpoints import resumable_epoch
from cnnlab.train.config import OWN_PICTURES, TrainConfig
from cnnlab.train.control import Command
from cnnlab.train.history import History
from cnnlab.train.recipes import RECIPES, Published
from cnnlab.ui import errors, visitors
from cnnlab.ui.components.live_curves import live_curves
from cnnlab.ui.running import runner
from cnnlab.ui.text import plain
from cnnlab.ui.training import changes, opened, own_pictures, setup
from cnnlab.ui.training.first_look import percent, table
from cnnlab.ui.training.setup import Setup

SNAPSHOT = "training.snapshot"
"""Session key under which the latest numbers of the open run are kept for other pages."""

_LR = "training.run-lr"
_TOLD = "training.told"
_BEGUN = "training.curves-begun"
_REFUSED = "training.refused"
_ANSWER_S = 0.5
_STATES = {
    "waiting": "Waiting",
    "running": "Training",
    "paused": "Paused",
    "finished": "Finished",
    "stopped": "Stopped",
    "failed": "Failed",
    "interrupted": "Interrupted",
}
_COLOURS = {"running": "blue", "paused": "orange", "finished": "green", "failed": "red", "interrupted": "orange"}


def start(setup_now: Setup) -> None:
    """Draw the button that starts a run, and why it cannot be pressed where it cannot."""
    is_own = setup_now.config.data == OWN_PICTURES
    if st.button(
        "Start training",
        key="training.start",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=not setup_now.can_start,
    ):
        setup.check_sources(setup_now.config)
        run = store.create(visitors.owner(), setup_now.config)
        try:
            _send_off(run, resume=False)
        except Exception:
            # It would wait for ever, for nobody has it in a queue.
            runner().forget(run.id)
            store.delete(run.id)
            raise
    if setup_now.faults:
        st.caption("Put right what is marked first.")
    elif setup_now.dataset is None:
        st.caption("Give your pictures first." if is_own else "The pictures have to be here first.")


def _send_off(run: Run, *, resume: bool) -> None:
    """Queue a run and open it."""
    dataset = own_pictures.prepared(run.config) if run.config.data == OWN_PICTURES else None
    runner().start(run.id, dataset=dataset, resume=resume)
    opened.show(run.id)
    st.rerun()


def curves(run: Run) -> None:
    """Draw name, state and curves of the open run."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="training-title"):
        st.markdown(f"**{plain(run.name)}**", width="content")
        st.badge(_STATES[run.state], color=_COLOURS.get(run.state, "gray"))  # pyright: ignore[reportArgumentType]
        st.space("stretch")
        st.button(
            "Close",
            key="training.close",
            icon=":material/close:",
            type="tertiary",
            on_click=opened.show,
            args=(None,),
            help="The run goes on; find it again under Your runs.",
        )
    st.caption(plain(setup.label_of(run.config, run.name)))
    _state(run)
    live_curves(
        key="training.curves",
        url=f"/api/runs/{run.id}/events",
        history=_told_before(run),
        is_live=not run.has_ended,
        published=published_of(run.config),
    )


def _told_before(run: Run) -> dict[str, Any]:
    """What the curves begin with: the same as long as the run goes on, for they listen to what comes after it."""
    history = runner().history(run.id)
    now = (run.id, run.has_ended, history.ended)
    if run.has_ended or st.session_state.get(_BEGUN, (None,))[0] != now:
        st.session_state[_BEGUN] = (now, history.to_data())
    return st.session_state[_BEGUN][1]


def published_of(config: TrainConfig) -> Published | None:
    """What the tutorial says of such a run, if it is one of a tutorial's, whatever machine it runs on."""
    for recipe in RECIPES.values():
        if recipe.published is None:
            continue
        _, faults = changes.applied(recipe.config, {"device": config.device, "threads": config.threads})
        same = changes.applied(recipe.config, {name: getattr(config, name) for name in ("device", "threads", "seed")})
        if not faults and same[0] == config:
            return recipe.published
    return None


def _state(run: Run) -> None:
    """Say in words what the run is at, where the curves do not."""
    if run.state == "waiting":
        position = runner().position(run.id)
        if position is None:
            st.info("It starts now.", icon=":material/hourglass_top:")
        else:
            ahead = "It is next." if position == 1 else f"{position - 1} before it."
            st.info(
                f"Waiting for a place: this machine trains one net at a time. {ahead} You may leave the page.",
                icon=":material/hourglass_top:",
            )
    elif run.state in ("failed", "interrupted"):
        st.error(plain(run.reason or "It ended without a word."), icon=":material/error:")
    elif run.state == "stopped" and run.reason:
        st.caption(plain(run.reason))
    if opened.is_own(run):
        _go_on(run)


def _go_on(run: Run) -> None:
    if run.state not in ("failed", "interrupted", "stopped"):
        return
    with errors.shown():
        epoch = resumable_epoch(store.folder(run.id))
        if epoch is None:
            label = "Start it again"
        else:
            label = "Go on where it stopped" if run.state == "stopped" else f"Resume from epoch {epoch}"
        if st.button(label, key="training.resume", type="primary", icon=":material/play_arrow:"):
            _send_off(run, resume=True)


def panel(run: Run) -> None:
    """Draw buttons and numbers, once a second while the run goes on."""
    st.session_state[_TOLD] = _told(run)
    with st.container(key="training-panel"):
        if opened.is_own(run) and not run.has_ended:
            _buttons(run)
        refused()
        st.fragment(_tick, run_every=None if run.has_ended else 1.0)(run.id)


def _tick(run_id: str) -> None:
    """Copy the latest snapshot into the session, and draw it."""
    with errors.shown():
        run = opened.again(run_id)
        history = runner().history(run_id)
        st.session_state[SNAPSHOT] = snapshot(run, history)
        _numbers(run, history)
        now = _told(run)
        told = st.session_state.get(_TOLD, now)
        if told[0] == run_id and told != now:
            # What stands elsewhere on the page says something else by now: buttons, state, tabs.
            st.session_state[_TOLD] = now
            st.rerun()


def _told(run: Run) -> tuple[str, str, int | None]:
    """What stands of a run outside the part that is drawn every second."""
    return run.id, run.state, runner().position(run.id) if run.state == "waiting" else None


def snapshot(run: Run, history: History) -> dict[str, Any]:
    """The run in a few numbers, for any page."""
    last, epoch = history.last, history.epochs[-1] if history.epochs else None
    return {
        "run": run.id,
        "name": run.name,
        "state": run.state,
        "step": last.step if last else 0,
        "epoch": len(history.epochs),
        "epochs": run.config.epochs,
        "loss": last.loss if last else None,
        "accuracy": last.accuracy if last else None,
        "validation_accuracy": epoch.validation_accuracy if epoch else None,
        "lr": last.lr if last else None,
        "eta_s": history.eta_s(time.time()),
    }


def _numbers(run: Run, history: History) -> None:
    """What the curves do not say themselves."""
    started = history.started
    if started is None:
        if run.state == "running":
            doing = runner().preparing(run.id)
            st.caption(f"{plain(doing.what.capitalize())}: {doing.done:,} of {doing.total:,}" if doing else "Loading …")
        return
    rows = {}
    if history.epochs:
        epoch = history.epochs[-1]
        gap = 100 * (epoch.train_accuracy - epoch.validation_accuracy)
        rows |= {
            f"**epoch {epoch.epoch}**": f"{epoch.seconds + epoch.validation_seconds:.1f} s",
            "training": percent(epoch.train_accuracy),
            "validation": percent(epoch.validation_accuracy),
            "gap": f"{gap:+.2f} points".replace("-", "−"),
        }
    if history.best is not None:
        rows[f"best: epoch {history.best.epoch}"] = percent(history.best.validation_accuracy)
    if run.test is not None:
        rows[f"**test: epoch {run.test.epoch}**"] = f"**{percent(run.test.accuracy)}**"
    rows |= {"pictures to learn from": f"{started.num_train:,}", "weights": f"{started.num_params:,}"}
    if started.num_frozen:
        rows["frozen weights"] = f"{started.num_frozen:,}"
    threads = f", {started.threads} thread{'' if started.threads == 1 else 's'}" if started.device == "CPU" else ""
    rows["device"] = plain(started.device) + threads
    st.markdown(table(rows))
    if history.ended is not None:
        st.caption(plain(history.ended.text))
    for finding in history.findings:
        st.warning(plain(finding.text), icon=":material/lightbulb:")


def _buttons(run: Run) -> None:
    if run.state == "waiting":
        st.button("Withdraw", key="training.withdraw", icon=":material/close:", on_click=_withdraw, args=(run.id,))
        return
    is_paused = run.state == "paused"
    with st.container(key="training-commands"):
        left, right = st.columns(2, gap="small")
        with left:
            if is_paused:
                _button(run, "resume", "Resume", "play_arrow")
            else:
                _button(run, "pause", "Pause", "pause")
            _button(run, "stop", "Stop", "stop", "After this step. What is learnt stays, and you can go on later.")
        with right:
            _button(run, "step", "One step", "skip_next", "Does one step, and pauses again.")
            _button(run, "snapshot", "Snapshot", "photo_camera", "Writes the weights as they are now.")
    history = runner().history(run.id)
    # The session forgets what a field holds once it is not drawn, but not whose it was.
    if st.session_state.get(f"{_LR}.of") != run.id or _LR not in st.session_state:
        st.session_state[f"{_LR}.of"] = run.id
        st.session_state[_LR] = history.last.lr if history.last else run.config.lr
    st.number_input(
        "Set the learning rate",
        value=st.session_state[_LR],
        format="%g",
        step=0.001,
        key=_LR,
        on_change=_set_lr,
        args=(run.id,),
        help="Taken from the next step on; what the schedule says later is scaled alike.",
    )


def _button(run: Run, command: str, label: str, icon: str, about: str | None = None) -> None:
    st.button(
        label,
        key=f"training.command.{command}",
        icon=f":material/{icon}:",
        on_click=_send,
        args=(run.id, command),
        help=about,
        width="stretch",
    )


def _send(run_id: str, name: str, value: float = 0.0) -> None:
    """Give a command, and wait a moment for its answer, so that the page is drawn once and right."""
    try:
        run = store.get(run_id)
        if not opened.is_own(run):
            return
        runner().command(run_id, Command(name, value))
    except LabError as error:
        st.session_state[_REFUSED] = str(error)
        return
    if name in ("pause", "resume", "stop"):
        until = time.monotonic() + _ANSWER_S
        while time.monotonic() < until and store.get(run_id).state == run.state:
            time.sleep(0.02)


def refused() -> None:
    """Say why the last command was not taken, once."""
    if told := st.session_state.pop(_REFUSED, None):
        st.error(plain(told), icon=":material/error:")


def _set_lr(run_id: str) -> None:
    if (value := st.session_state[_LR]) is not None:
        _send(run_id, "lr", float(value))


def _withdraw(run_id: str) -> None:
    try:
        if opened.is_own(store.get(run_id)):
            runner().withdraw(run_id)
    except LabError as error:
        st.session_state[_REFUSED] = str(error)
