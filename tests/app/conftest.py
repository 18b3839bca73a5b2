"""Pages in Streamlit's own test harness: all that Python does for a page, without a browser."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def opened() -> Callable[..., AppTest]:
    """Open a page by its key, with what a link would carry."""

    def open_page(key: str, **link: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "cnnlab" / "ui" / "shell.py"), default_timeout=30)
        app.switch_page(str(ROOT / "pages" / f"{key}.py"))
        for name, value in link.items():
            app.query_params[name] = value
        return app.run()

    return open_page
