"""What holds for every page of the table."""

import ast
from pathlib import Path

import pytest

from cnnlab.ui.navigation import PAGES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("key", PAGES)
def test_a_page_opens_with_its_title_and_its_question(opened, key: str) -> None:
    app = opened(key)
    assert not app.exception
    assert not app.error
    assert app.title[0].value == PAGES[key].title
    assert any(PAGES[key].question in text.value for text in app.markdown)


@pytest.mark.parametrize("key", PAGES)
def test_a_page_defines_no_classes(key: str) -> None:
    tree = ast.parse((ROOT / "pages" / f"{key}.py").read_text())
    assert not [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("key", PAGES)
def test_a_page_shows_the_current_image_of_the_link_in_its_workbench(opened, key: str) -> None:
    app = opened(key, image="coins")
    assert any("Coins" in text.value for text in app.sidebar.markdown)


@pytest.mark.parametrize("key", PAGES)
def test_a_link_to_somebody_elses_upload_says_so_and_shows_a_sample(opened, key: str) -> None:
    app = opened(key, image="upload")
    assert not app.exception
    assert any("a link does not carry" in note.value for note in app.info)


@pytest.mark.parametrize("key", PAGES)
def test_a_page_can_show_its_own_source(opened, key: str) -> None:
    assert any("Show the code" in expander.label for expander in opened(key).expander)


@pytest.mark.parametrize("channels", ["grey", "each", "sum"])
@pytest.mark.parametrize("activation", ["none", "sigmoid", "silu"])
@pytest.mark.parametrize("matrix", ["3e38,3e38", "3e38,-3e38", "9e37,-9e37"])
def test_huge_weights_are_shown_or_answered_in_words(opened, channels: str, activation: str, matrix: str) -> None:
    app = opened("kernels", kernel="own", matrix=matrix, channels=channels, activation=activation)
    assert not app.exception
    assert all("Use smaller weights" in error.value for error in app.error)


def test_every_file_in_pages_is_in_the_table() -> None:
    files = {path.stem for path in (ROOT / "pages").glob("*.py")} - {"__init__"}
    assert files == set(PAGES)


def test_every_page_of_the_table_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for entry in PAGES.values():
        assert f"| {entry.title} | {entry.question} |" in readme
