"""Training dashboard: how does a net learn, and what helps it?"""

from cnnlab.train import train
from cnnlab.train.probing import probe
from cnnlab.train.schedules import factor
from cnnlab.ui import errors, page
from cnnlab.ui.training import advanced, first_look, opened, setup, tabs, watching

SETTINGS = (*setup.SETTINGS, *opened.SETTINGS, *tabs.SETTINGS)
TRIES = {
    "Ten digits in seconds": (
        "Press Start. The loss falls at once; the bold line is what the net does on digits it has not learnt from.",
        {"training.recipe": "digits_fast"},
    ),
    "A learning rate too high": (
        "The same with SGD at a rate of 5: the loss leaps off every scale, the net is left guessing, and the findings "
        "on the right say why.",
        {"training.recipe": "digits_fast", "training.optimizer": "sgd", "training.lr": 5.0},
    ),
    "Learning by heart": (
        "Half of the digits are kept for validation, nothing is shifted, and thirty epochs go by: training reaches "
        "100 % and a loss of nothing, validation stays at about 98.5 %. That is the gap.",
        {
            "training.recipe": "digits_fast",
            "training.validation": 0.5,
            "training.augment": setup.NO_AUGMENTATION,
            "training.epochs": 30,
        },
    ),
}

page.head("training", SETTINGS)
page.chips("training.tries", TRIES, SETTINGS)


@page.fragment
def dashboard() -> None:
    """Read what is set; draw the open run, or what there is to see before one, first."""
    setup.follow()
    left, middle, right = page.columns()
    run = opened.current()
    now = setup.read()
    with middle, errors.shown():
        if run:
            watching.curves(run)
        else:
            first_look.pictures(now)
    page.let_paint()
    with left, errors.shown():
        setup.show(now)
        watching.start(now)
        advanced.show(now)
    with right, errors.shown():
        if run:
            watching.panel(run)
        else:
            first_look.numbers(now)
    with page.below():
        tabs.show(now, run)


dashboard()
page.code("training.code", __file__, [train, probe, factor])
