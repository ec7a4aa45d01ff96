"""HTML and SVG as text that cannot be mistaken for plain text: whatever is not `Markup` is escaped."""

from base64 import b64encode
from html import escape
from typing import Any, final

VOID = {"meta", "img", "br"}  # elements without an end tag


@final
class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """`<name attributes>children</name>`; children that are no Markup are escaped, attributes that are None left out.

    `class_` becomes class, and an underscore a hyphen: `stroke_width=2`.
    """
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    start = "".join(f' {key}="{escape(str(value))}"' for key, value in pairs)
    if name in VOID:
        return Markup(f"<{name}{start}>")
    return Markup(f"<{name}{start}>{joined(*children)}</{name}>")


def joined(*children: Any) -> Markup:
    """One after the other; None is nothing. No line breaks within a number."""
    plain = (child if isinstance(child, Markup) else escape(str(child)) for child in children if child)
    return Markup("".join(plain).replace("\N{THIN SPACE}", "\N{NARROW NO-BREAK SPACE}"))


def data_uri(data: bytes, kind: str) -> str:
    """A file inside the page, such as of the kind image/png."""
    return f"data:{kind};base64,{b64encode(data).decode()}"


def table(head: list[Any], rows: list[list[Any]], class_: str = "numbers") -> Markup:
    """Cells of one column are aligned by the class of the table; the first of a row names it."""
    cells = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    top = element("tr", *(element("th", cell, scope="col") for cell in head))
    return element(
        "div", element("table", element("thead", top), element("tbody", *cells), class_=class_), class_="scroll"
    )
