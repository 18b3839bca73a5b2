"""How long a pass through a net is kept."""

import gc
from typing import Any

from streamlit.testing.v1 import AppTest

from cnnlab.inference import ModelKey
from cnnlab.ui import nets


def page() -> None:
    from weakref import ref

    import streamlit as st

    from cnnlab.ui import nets, state, workbench
    from cnnlab.ui.explaining import subject as subjects

    state.arrive("page")
    state.restore([workbench._IMAGE, *workbench.NET_SETTINGS])
    subject = subjects.current()
    seen = subjects.see(subject, ())
    st.session_state["seen"] = {
        "pass": ref(seen.logits),  # a pass itself cannot be referred to weakly
        "identity": subject.asked.known.identity,
        "num_lent": nets.models().facts().num_lent,
    }


def test_a_pass_is_kept_between_runs_lends_nothing_and_goes_with_its_model():
    app = AppTest.from_function(page, default_timeout=120)
    app.query_params["net"] = "lenet5"
    app.query_params["weights"] = "random"
    first = run(app)
    again = run(app)
    assert first["pass"]() is not None
    assert again["pass"] is first["pass"]
    gc.collect()
    assert nets.models().facts().num_lent == again["num_lent"] - 1
    nets.models().forget(ModelKey(identity=first["identity"]))
    gc.collect()
    assert first["pass"]() is None
    assert run(app)["pass"]() is not None


def run(app: AppTest) -> dict[str, Any]:
    app.run()
    assert not app.exception
    return app.session_state["seen"]
