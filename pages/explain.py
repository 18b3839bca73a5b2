"""Grad-CAM viewer: where in my picture does the net's answer come from, and can that explanation be trusted?"""

from cnnlab.explain import look
from cnnlab.explain.faithfulness import delete_and_insert
from cnnlab.explain.gradcam import channel_weights
from cnnlab.explain.layers import automatic
from cnnlab.figures.heat import overlay
from cnnlab.ui import errors, page
from cnnlab.ui.explaining import controls, numbers, tabs, wall

SETTINGS = (*controls.SETTINGS, *tabs.SETTINGS)
TRIES = {
    "Cat or dog?": (
        "One picture, one net, two questions: mouth and forehead speak for a cat, the eye for a dog. A map answers for "
        "the class it was asked for. Set But not to dog to see what tells the two apart.",
        {
            "workbench.image": "cat",
            "workbench.net": "resnet_cifar",
            "workbench.weights": None,
            "explain.classes": (3, 5),
        },
    ),
    "The wrong layer": (
        "The same question asked of five layers: early ones mark edges wherever they are, late ones a place. Which "
        "layer is shown decides what you believe. Click a map: the numbers and what lies below speak of it.",
        {
            "workbench.image": "cat",
            "workbench.net": "resnet_cifar",
            "workbench.weights": None,
            "explain.layers": ("features.2", "features.3", "features.4", "features.5", "features"),
        },
    ),
    "Do the methods agree?": (
        "Eigen-CAM does not know the class, guided backpropagation hardly the weights; occlusion covers patches and "
        "looks what happens. Then check them all under Faithfulness.",
        {
            "workbench.image": "cat",
            "workbench.net": "resnet_cifar",
            "workbench.weights": None,
            "explain.methods": ("gradcam", "layercam", "eigencam", "occlusion", "guided_backprop"),
        },
    ),
}

page.head("explain", SETTINGS)
page.chips("explain.tries", TRIES, SETTINGS)


@page.fragment
def viewer() -> None:
    """Read what is asked, look once, draw the maps first, then what goes with them."""
    left, middle, right = page.columns()
    setup = controls.read()
    made = None
    with middle, errors.shown():
        made = wall.show(setup)
    page.let_paint()
    with left, errors.shown():
        controls.show(setup)
    if made is None:
        return
    with right, errors.shown():
        numbers.show(setup, made[setup.chosen.id])
    with page.below():
        tabs.show(setup, made)


viewer()
page.code("explain.code", __file__, [look, channel_weights, automatic, overlay, delete_and_insert])
