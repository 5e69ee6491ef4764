"""Data as a page shows them: what they are, notes, and a few training examples."""

from __future__ import annotations

from markupsafe import Markup

from reparam.data import Data
from reparam.notebook.elements import bullets, details, facts, heading, image, piece
from reparam.notebook.showing import picture_of, table_of
from reparam.report.pictures import Brightness
from reparam.report.selection import examples
from reparam.report.summary import facts as facts_of_data
from reparam.wording import counted, listed

EXAMPLES, ROWS = 10, 4  # images in the strip, rows of a table
SIDES = (32, 40)  # pixels of an image in the strip
NAMES, NOTES = 12, 3  # that are not folded away


def data_html(data: Data) -> str:
    """Shape, kind, splits and names, some examples, and every note."""
    named = {"classes": data.class_names, "factors": data.factor_names}
    if not data.space.columns:
        named["columns"] = data.columns
    split = ", ".join(f"{name} {len(rows):,}" for name, rows in data.splits.items())
    known = {name.lower(): value for name, value in facts_of_data(data)}
    left_out = {*data.splits, "classes"}
    rows = [(name, value) for name, value in known.items() if name not in left_out]
    rows.append(("splits", split))
    rows += [(what, listed(names, NAMES)) for what, names in named.items() if names]
    notes = bullets(data.notes)
    if len(data.notes) > NOTES:
        notes = details(counted(len(data.notes), "note"), notes)
    return piece(heading(data.name, "data"), facts(rows), _strip(data), notes if data.notes else "")


def _strip(data: Data) -> Markup:
    """Training examples, of the classes in turn: one picture, or the first columns of rows."""
    few = EXAMPLES if data.space.is_image else ROWS
    x = data.train.x[examples(data.train, few, seed=0)]
    if not data.space.is_image:
        return table_of(x, data).table()
    return image(picture_of(x, Brightness.of(data), EXAMPLES, SIDES))
