"""The boundary, in a script that Streamlit runs as it runs a page."""

import logging
import re

import pytest
from streamlit.testing.v1 import AppTest

from cnnlab.ui.text import plain, short


def user_error() -> None:
    import streamlit as st

    from cnnlab.errors import InputRejected
    from cnnlab.ui import errors

    with errors.shown():
        raise InputRejected("This is 3 px high; the lab takes 4 or more.")
    st.markdown("after")


def our_fault() -> None:
    import streamlit as st

    from cnnlab.ui import errors

    with errors.shown():
        raise KeyError("/home/secret/path")
    st.markdown("after")


def control_flow() -> None:
    import streamlit as st

    from cnnlab.ui import errors

    with errors.shown():
        st.stop()
    st.markdown("after")


def test_what_the_user_can_put_right_is_shown_as_it_stands() -> None:
    app = AppTest.from_function(user_error).run()
    assert [error.value for error in app.error] == [plain("This is 3 px high; the lab takes 4 or more.")]
    assert [text.value for text in app.markdown] == ["after"]


def test_a_fault_of_ours_shows_a_number_that_the_log_explains(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="cnnlab"):
        app = AppTest.from_function(our_fault).run()
    shown = app.error[0].value
    assert "secret" not in shown
    assert "KeyError" not in shown
    fault_id = re.search(r"\*\*([0-9a-f]{8})\*\*", shown)
    assert fault_id
    assert f"Fault {fault_id.group(1)}" in caplog.text
    assert "KeyError: '/home/secret/path'" in caplog.text
    assert not app.exception


def test_stopping_a_script_is_no_error() -> None:
    app = AppTest.from_function(control_flow).run()
    assert not app.error
    assert not app.markdown


def hostile() -> None:
    from cnnlab.errors import InputRejected
    from cnnlab.ui import errors

    with errors.shown():
        raise InputRejected("![](http://elsewhere.test/a.png) [link](http://elsewhere.test) $x$ :material/home: <b>")


def test_an_error_text_cannot_bring_in_an_image_a_link_or_a_formula() -> None:
    shown = AppTest.from_function(hostile).run().error[0].value
    assert shown.startswith("\\!\\[\\]\\(http\\:")
    assert "\\$x\\$" in shown


def test_long_names_keep_their_beginning_and_their_ending() -> None:
    assert short("a" * 80 + ".jpeg") == "a" * 40 + "…" + "a" * 11 + ".jpeg"
    assert short("cat.png") == "cat.png"
