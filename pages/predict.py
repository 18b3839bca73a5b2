"""Predict: what does the net say about my picture, and how much is its word worth?"""

from cnnlab.inference import predict
from cnnlab.ui import errors, net_choice, page
from cnnlab.ui.predicting import answering, controls, numbers, tabs

SETTINGS = (*controls.SETTINGS, *tabs.SETTINGS)
TRIES = {
    "The same cat, another net": (
        "Tiny VGG takes the cat for a frog, and is surer of it than the deeper net is of the cat. Which one is right "
        "does not show in how sure it is.",
        {"workbench.net": "tiny_vgg", "workbench.weights": "tiny_vgg", "workbench.image": "cat"},
    ),
    "A checkerboard is an eight": (
        "A net for digits must say a digit, and is surer of a checkerboard than of most digits.",
        {
            "workbench.net": "simple_conv_net",
            "workbench.weights": "simple_conv_net",
            "workbench.image": "checkerboard",
        },
    ),
    "Draw a digit": (
        "Draw on the pad: the net answers with every stroke. When does a 1 become a 7?",
        {"workbench.net": "simple_conv_net", "workbench.weights": "simple_conv_net", "predict.way": "drawing"},
    ),
}

page.head("predict", SETTINGS)
page.chips("predict.tries", TRIES, SETTINGS)


@page.fragment
def answer() -> None:
    """Ask the net once; draw the picture and the answer first, then what can be set and what the answer is worth."""
    net_choice.follow()
    left, middle, right = page.columns()
    setup = prediction = None
    with middle, errors.shown():
        setup = controls.read(left)
        prediction = answering.show(setup)
    page.let_paint()
    with left:
        controls.show(setup)
    if setup is None or prediction is None:
        return
    with right, errors.shown():
        numbers.show(setup, prediction)
    with middle, errors.shown():
        numbers.onward(setup, prediction)
    with page.below():
        tabs.show(setup, prediction)


answer()
page.code("predict.code", __file__, [predict])
