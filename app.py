"""Starts the lab: `streamlit run app.py`, or `uvicorn app:app` for a server without a screen.

Only a launcher. The script that draws is `cnnlab/ui/shell.py`: were it here, Streamlit would take the `pages/` folder
beside it for its older kind of multipage app whenever the first visitor of a fresh server follows a link to a page.
"""

import streamlit as st
from starlette.middleware import Middleware

from cnnlab.ui import errors, run_stream, server, visitors

app = st.App(
    server.SHELL,
    routes=run_stream.routes(),
    lifespan=server.lifespan,
    middleware=[Middleware(visitors.GiveNumber)],
    on_script_error=errors.show,
)
