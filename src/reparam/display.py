"""What notebooks show in place of text: the method is here, a room high up writes the HTML."""

from __future__ import annotations

from importlib import import_module

ROOM = "reparam.notebook"  # it knows every class that is shown, so that it stands above them


class Displayed:
    """An object that notebooks show as HTML; a terminal still gets its ``repr``.

    The room is found by its name, when something is shown and no sooner. So models and data, at the
    floor, import nothing from above them, and scripts never load what only notebooks need.

    >>> Displayed()._repr_html_() is None
    True
    """

    def _repr_html_(self) -> str | None:
        """A piece of a page; None where the room knows no more than ``repr`` says."""
        found: str | None = import_module(ROOM).html(self)
        return found
