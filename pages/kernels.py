"""Kernel playground: what does this kernel do to my image, and how is each number made?"""

from cnnlab.ops import apply_kernel, equivariance, fit_kernel, frequency_response, separability, window_steps
from cnnlab.ui import errors, page, workbench
from cnnlab.ui.playground import beyond, controls, export, making, results

SETTINGS = (*controls.SETTINGS, *results.SETTINGS, *making.SETTINGS, *beyond.SETTINGS)
TRIES = {
    "Edges of a zone plate": (
        "Sobel X answers to vertical edges only: the rings fade where they run across.",
        {"workbench.image": "zone_plate", "kernels.preset": "sobel_x", "kernels.scaling": "signed"},
    ),
    "A stride that invents patterns": (
        "The fine outer rings come back as coarse ones: aliasing. A Gaussian before the stride would prevent it.",
        {"workbench.image": "zone_plate", "kernels.preset": "identity", "kernels.stride": 4},
    ),
    "Joints of a brick wall": (
        "A Gabor kernel answers where lines have its direction and spacing: here the upright joints.",
        {"workbench.image": "brick", "kernels.preset": "gabor", "kernels.scaling": "signed"},
    ),
}

page.head("kernels", SETTINGS)
page.chips("kernels.tries", TRIES, SETTINGS)


@page.fragment
def playground() -> None:
    """Read the controls, apply the kernel once, draw what came back: the picture first, for it is waited for."""
    left, middle, right = page.columns()
    setup = controls.read()
    grey_hw = workbench.grey(setup.longest)
    image = grey_hw if setup.channels == "grey" else workbench.colour(setup.longest)
    response = None
    with middle, errors.shown():
        response = results.respond(image, setup)
        results.pictures(image, response, setup)
    page.let_paint()
    with left:
        controls.show(setup)
    if response is None:
        return
    with right:
        results.numbers(image, response, setup)
    with page.below():
        making.show(image, response, setup)
        beyond.show(grey_hw, setup)
        export.show(response, setup)


playground()
page.code(
    "kernels.code",
    __file__,
    [apply_kernel, window_steps, separability, frequency_response, equivariance, fit_kernel],
)
