"""What there is to see before anything is trained: the pictures as the net gets them, the schedule, the time."""

import itertools
import time

import streamlit as st

from cnnlab.figures import palette
from cnnlab.train.config import OWN_PICTURES, TrainConfig
from cnnlab.train.probing import Probe
from cnnlab.train.sampling import num_steps
from cnnlab.train.schedules import factor
from cnnlab.ui import errors
from cnnlab.ui.jobs import Job
from cnnlab.ui.text import plain
from cnnlab.ui.training import augmenting, data_sets, expecting, own_pictures
from cnnlab.ui.training.setup import Setup, say_recipe

_SHOWN, _COLUMNS = 32, 8
_POINTS = 240
_LOOKS_S = 0.5
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 150, 58, 34, 12


def pictures(setup: Setup) -> None:
    """Draw the first batch, or the way to the pictures, and below it the schedule."""
    say_recipe(setup)
    if setup.dataset is None:
        with st.container(key="training-way"):
            if setup.config.data == OWN_PICTURES:
                own_pictures.show_way(setup.config)
            else:
                data_sets.show_way(setup.config)
    else:
        if setup.config.data == OWN_PICTURES:
            own_pictures.say_taken()
        _first_batch(setup)
    with errors.shown():
        _schedule(setup)


def _first_batch(setup: Setup) -> None:
    assert setup.dataset is not None
    dataset, config = setup.dataset, setup.config
    num_train = len(dataset.splits.train)
    size = min(config.batch_size, num_train)
    shown = min(_SHOWN, size - size % _COLUMNS or size)  # whole rows
    st.image(augmenting.first_batch(dataset, config, shown, min(_COLUMNS, shown)), width="stretch")
    done = ", ".join(data_sets.step_labels(config.augment)) or "nothing"
    of_batch = f"The first {shown} pictures of" if shown < size else "All pictures of"
    seen = "may" if shown < size and config.augment.steps else "will"
    st.caption(
        f"{of_batch} the first batch, as the net {seen} see them. Done to them, differently each time: {plain(done)}."
    )


def _schedule(setup: Setup) -> None:
    config = setup.config
    num_train = len(setup.dataset.splits.train) if setup.dataset else 0
    per_epoch = num_steps(num_train, config.batch_size) if num_train else 100
    st.image(_drawn_schedule(config, per_epoch), width="stretch")
    when = " until validation stalls" if config.schedule == "plateau" else ""
    steps = f"{per_epoch:,} steps an epoch, {per_epoch * config.epochs:,} in all" if num_train else "pictures to come"
    st.caption(f"The learning rate over the run{when}; {steps}.")


def _drawn_schedule(config: TrainConfig, per_epoch: int) -> str:
    """The learning rate against the epochs, as SVG: numbers only, nothing of it comes from outside."""
    total = config.epochs * per_epoch
    steps = sorted({round(index * (total - 1) / (_POINTS - 1)) for index in range(_POINTS)})
    right, floor = _WIDTH - 12, _HEIGHT - _BOTTOM
    points = []
    for step in steps:
        x = _LEFT + (right - _LEFT) * step / max(1, total - 1)
        y = floor - (floor - _TOP) * min(1.0, factor(config, step, per_epoch))
        points.append(f"{x:.1f},{y:.1f}")
    ink = "#A9B1B9" if st.context.theme.type == "dark" else "#5A6169"
    every = max(1, -(-config.epochs // 10))
    ticks = "".join(
        f'<text x="{_LEFT + (right - _LEFT) * epoch / config.epochs:.1f}" y="{floor + 14}" '
        f'text-anchor="middle">{epoch}</text>'
        for epoch in range(0, config.epochs + 1, every)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="11" fill="{ink}">'
        f'<g stroke="{ink}" stroke-opacity="0.3"><line x1="{_LEFT}" x2="{right}" y1="{floor}" y2="{floor}"/>'
        f'<line x1="{_LEFT}" x2="{right}" y1="{_TOP}" y2="{_TOP}"/></g>'
        f'<polyline points="{" ".join(points)}" fill="none" stroke="{palette.TRAIN}" stroke-width="2" '
        'stroke-linejoin="round"/>'
        f'<text x="{_LEFT - 6}" y="{_TOP + 4}" text-anchor="end">{config.lr:g}</text>'
        f'<text x="{_LEFT - 6}" y="{floor + 4}" text-anchor="end">0</text>{ticks}'
        f'<text x="{(_LEFT + right) / 2:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">epochs</text></svg>'
    )


def numbers(setup: Setup) -> None:
    """Draw how much there is to learn from, and how long it will take."""
    if setup.dataset is not None:
        splits = setup.dataset.splits
        rows = {
            "classes": f"{len(setup.dataset.classes)}",
            "training pictures": f"{len(splits.train):,}",
            "validation pictures": f"{len(splits.validation):,}",
            "test pictures": f"{len(splits.test):,}",
            "size": " × ".join(map(str, setup.dataset.pictures.shape[1:3])) + " px",
        }
        st.markdown(table(rows))
    if reason := expecting.too_large(setup):
        st.caption(reason)
        return
    job = expecting.of(setup)
    if job is None:
        st.caption("How long it will take is measured once pictures and net fit each other.")
        return
    _expected(job, setup)


def _expected(job: Job[Probe | None], setup: Setup) -> None:
    was_pending = _is_pending(job)
    ticks = itertools.count()

    @st.fragment(run_every=_LOOKS_S if was_pending else None)
    def look() -> None:
        if next(ticks) and was_pending and job.is_over:
            st.rerun()  # the page draws this again, without a clock
        if _is_pending(job):
            st.metric("Expected time", "…")
            st.caption("Measuring a few steps.")
        elif job.error is not None:
            errors.show(job.error)
        else:
            assert job.result is not None
            _say(job.result, setup.config.epochs)

    with st.container(key="training-expected"):
        look()


def _is_pending(job: Job[Probe | None]) -> bool:
    """Whether it has told nothing; one that was stopped never will, and another takes its place."""
    return job.result is None and job.error is None


def _say(found: Probe, epochs: int) -> None:
    st.metric("Expected time", duration(found.seconds_per_epoch * epochs))
    threads = f", {found.threads} thread{'' if found.threads == 1 else 's'}" if found.device == "CPU" else ""
    steps = f"{found.steps} step{'' if found.steps == 1 else 's'}"
    st.caption(
        f"{duration(found.seconds_per_epoch)} an epoch, {found.images_per_s:,.0f} pictures/s on "
        f"{plain(found.device)}{threads}; measured just now with {steps}. Other work on this machine makes it longer."
    )


def table(rows: dict[str, str]) -> str:
    """Names on the left, numbers on the right."""
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"| | |\n|:--|--:|\n{lines}"


def percent(share: float) -> str:
    """A share as people write it."""
    return f"{100 * share:.2f} %"


def duration(seconds: float) -> str:
    """A time as people say it, with as many digits as it is known to."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02} min"


def ago(then: float) -> str:
    """How long ago a moment was."""
    seconds = max(0.0, time.time() - then)
    for limit, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= limit:
            count = int(seconds // limit)
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"
