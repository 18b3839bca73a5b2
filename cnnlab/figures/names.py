"""Names of classes and runs, as charts can show them."""


def shown(name: str, longest: int = 16) -> str:
    """Cut to `longest` characters, and with nothing in it that Plotly would take for HTML."""
    cut = name if len(name) <= longest else f"{name[: longest - 1]}…"
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
