"""The script that Streamlit runs for every visitor: the menu, the workbench, and the page that was asked for."""

from pathlib import Path

import streamlit as st

from cnnlab.ui import errors, navigation, page, state, workbench

# Before the menu, which would otherwise make the page's Material symbol the icon of the browser's tab, and those are
# fetched from a font server outside.
st.set_page_config(page_icon=str(Path(__file__).with_name("icon.png")), layout="wide", initial_sidebar_state=248)
page.style()

found = navigation.present()
sections: dict[str, list[object]] = {}
for key, entry in found.items():
    sections.setdefault(navigation.PAGES[key].section, []).append(entry)
chosen = st.navigation(sections)  # pyright: ignore[reportArgumentType] - its own pages, typed too narrowly
st.set_page_config(page_title=f"{chosen.title} · CNN Lab")

state.arrive(chosen.url_path)
try:
    with st.sidebar, errors.shown():
        workbench.show()
    with errors.shown():
        chosen.run()
finally:
    state.settle()
