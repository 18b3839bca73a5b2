"""Architecture explorer: what is this net made of, what does each layer cost, and what does it see?"""

from cnnlab.nets.comparison import compare
from cnnlab.nets.flow import run_through
from cnnlab.nets.receptive_field import effective_field
from cnnlab.nets.spec import from_module, from_pytorch, to_pytorch
from cnnlab.nets.summary import summarize
from cnnlab.ui import errors, net_choice, page
from cnnlab.ui.explorer import controls, diagram, tabs

SETTINGS = (*controls.SETTINGS, *tabs.SETTINGS)
TRIES = {
    "Where the parameters sit": (
        "LeNet-5: the bars below the layers. The convolutions do most of the work, the first linear layer holds most "
        "of the parameters.",
        {"workbench.net": "lenet5", "workbench.weights": None, "architecture.measure": "params"},
    ),
    "A net that cannot take the picture": (
        "AlexNet at 32 px: the map has shrunk to nothing before the last pooling. Move the input size to find the "
        "smallest side it takes.",
        {"workbench.net": "alexnet", "workbench.weights": None, "workbench.size": 32},
    ),
    "The way around": (
        "ResNet-18: each block adds what it has learnt to what came in. Open a block with the plus above it.",
        {"workbench.net": "resnet18", "workbench.weights": None},
    ),
}

page.head("architecture", SETTINGS)
page.chips("architecture.tries", TRIES, SETTINGS)


@page.fragment
def explorer() -> None:
    """Read the controls, describe the net once, draw it, then what goes with it."""
    net_choice.follow()
    setup = controls.read()
    controls.show(setup)
    with errors.shown():
        diagram.show(setup)
    page.let_paint()
    controls.failure(setup)
    with errors.shown():
        diagram.numbers(setup)
    with page.below():
        tabs.show(setup)


explorer()
page.code(
    "architecture.code",
    __file__,
    [summarize, run_through, effective_field, compare, from_module, from_pytorch, to_pytorch],
)
