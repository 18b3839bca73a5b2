"""What loading a package costs: which other packages it brings along."""

import subprocess
import sys

import pytest


def loaded_by(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.check_output([sys.executable, "-c", script], text=True).split())


@pytest.mark.parametrize("package", ["cnnlab", "cnnlab.errors", "cnnlab.ops", "cnnlab.images", "cnnlab.figures.charts"])
def test_the_core_does_not_load_streamlit(package: str) -> None:
    assert "streamlit" not in loaded_by(f"import {package}")


@pytest.mark.parametrize("package", ["cnnlab.ops", "cnnlab.images", "cnnlab.figures.pictures"])
def test_what_the_kernel_page_needs_loads_neither_torch_nor_plotly(package: str) -> None:
    assert {"torch", "torchvision", "plotly", "skimage", "sklearn", "scipy"}.isdisjoint(loaded_by(f"import {package}"))


def test_the_parts_of_the_kernel_page_do_not_load_torch() -> None:
    statement = "from cnnlab.ui.playground import beyond, controls, export, making, results"
    assert {"torch", "torchvision", "sklearn", "scipy"}.isdisjoint(loaded_by(statement))
