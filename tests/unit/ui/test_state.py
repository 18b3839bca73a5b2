"""Settings, in a script that Streamlit runs as it runs a page."""

from streamlit.testing.v1 import AppTest

from cnnlab.errors import InputRejected
from cnnlab.ui import state


def two_pages() -> None:
    import streamlit as st

    from cnnlab.ui import state

    here = st.session_state.get("here", "one")
    settings = [
        state.integer("one.stride", "stride", 1, 8, 1),
        state.choice("one.mode", "mode", ["zeros", "reflect"], "zeros"),
    ]
    state.arrive(here)
    if here == "one":
        state.restore(settings)
        st.slider("Stride", 1, 8, key="one.stride")
        st.selectbox("Mode", ["zeros", "reflect"], key="one.mode")
    for sentence in state.refused():
        st.info(sentence)
    state.settle()


def opened(**link: str) -> AppTest:
    app = AppTest.from_function(two_pages)
    for name, value in link.items():
        app.query_params[name] = value
    return app.run()


def test_a_link_sets_the_controls() -> None:
    app = opened(stride="3", mode="reflect")
    assert (app.slider[0].value, app.selectbox[0].value) == (3, "reflect")


def test_a_link_is_read_once_and_then_written() -> None:
    app = opened(stride="3")
    app.slider[0].set_value(5).run()
    assert app.slider[0].value == 5
    assert app.query_params["stride"] in ("5", ["5"])


def test_defaults_do_not_stand_in_the_link() -> None:
    app = opened(stride="3")
    app.slider[0].set_value(1).run()
    assert "stride" not in app.query_params


def test_a_value_survives_going_to_another_page_and_back() -> None:
    app = opened()
    app.slider[0].set_value(4).run()
    app.session_state["here"] = "two"
    app.run()
    assert len(app.slider) == 0
    app.session_state["here"] = "one"
    app.run()
    assert app.slider[0].value == 4


def test_a_value_survives_a_run_in_which_its_control_was_not_drawn() -> None:
    def page_that_may_fail() -> None:
        import streamlit as st

        from cnnlab.ui import page, state

        state.arrive("one")
        state.restore([state.integer("one.stride", "stride", 1, 8, 1)])

        @page.fragment
        def part() -> None:
            if st.toggle("Fail"):
                raise ValueError
            st.slider("Stride", 1, 8, key="one.stride")

        part()
        state.settle()

    app = AppTest.from_function(page_that_may_fail).run()
    app.slider[0].set_value(4).run()
    app.toggle[0].set_value(True).run()
    assert app.error
    app.toggle[0].set_value(False).run()
    assert app.slider[0].value == 4


def test_what_a_link_asks_for_in_vain_is_said_and_the_rest_is_done() -> None:
    app = opened(stride="99", mode="reflect")
    assert (app.slider[0].value, app.selectbox[0].value) == (1, "reflect")
    assert [note.value for note in app.info] == ["stride is '99'; it is a whole number from 1 to 8"]


def refused(setting: state.Setting, text: str) -> bool:
    try:
        setting.parse(text)
    except InputRejected:
        return True
    return False


def test_settings_refuse_what_their_controls_could_not_hold() -> None:
    whole = state.integer("", "n", -2, 8, 0)
    real = state.number("", "x", 0.0, 1.0, 0.5)
    switch = state.flag("", "on")
    assert all(refused(whole, text) for text in ["", "9", "-3", "1.5", "1e3", "--1", "²", "9" * 5000, "nan"])
    assert all(refused(real, text) for text in ["", "nan", "inf", "1.01", "-0.1", "x"])
    assert all(refused(switch, text) for text in ["", "true", "2"])
    assert (whole.parse("-2"), real.parse("0.25"), switch.parse("1")) == (-2, 0.25, True)
