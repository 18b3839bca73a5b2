"""Words from outside, made safe to show."""


def plain(text: str) -> str:
    """Text as text: nothing in it is taken for Markdown, so no link, image or formula comes of it."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|$:~&" else c for c in text if c.isprintable())


def short(text: str) -> str:
    """At most 57 characters: the beginning, and the end with a file's extension."""
    return text if len(text) <= 57 else f"{text[:40]}…{text[-16:]}"


def paragraphs(text: str) -> str:
    """Text of several lines as text, each line on its own."""
    return "  \n".join(map(plain, text.splitlines()))
