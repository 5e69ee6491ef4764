"""Tables of the registries: named models, likelihoods, bijections, terms, scores, commands."""

from __future__ import annotations

import re
from itertools import groupby

from reference import in_cell

from reparam.bijections.__main__ import table as table_of_bijections
from reparam.cli.main import app
from reparam.distributions.likelihood_names import CONDITIONALS, DEFAULTS, LIKELIHOODS
from reparam.measures import SCORES
from reparam.presets import Preset, by_family
from reparam.presets.__main__ import roles, table
from reparam.terms import TERMS

SIGNS = {"higher": "↑ higher", "lower": "↓ lower", None: ""}


def written() -> dict[str, str]:
    """The pages in Markdown, by path."""
    return {
        "reference/presets.md": presets(),
        "reference/likelihoods.md": likelihoods(),
        "reference/bijections.md": bijections(),
        "reference/terms.md": terms(),
        "reference/scores.md": scores(),
        "reference/commands.md": commands(),
    }


def presets() -> str:
    """Every named model, family by family, with its parameters."""
    said = [
        "# Named models\n",
        "`rp.build(NAME, data.space, PARAMETER=…)` and `reparam fit NAME DATA PARAMETER=…` build "
        "them. `reparam models NAME` prints the same.\n",
    ]
    for family, found in by_family().items():
        said.append(f"## {family}\n")
        said += [_preset(one) for one in found]
    said += ["## What each of them is\n", "The words are those of the [vocabulary]"]
    said[-1] += "(../vocabulary.md).\n"
    return "\n".join([*said, roles()])


def _preset(one: Preset) -> str:
    facts = [("Objective", f"`{one.formula}`" if one.formula else ""), ("Paper", one.paper)]
    facts += [("Data", _accepts(one)), ("Use", one.when)]
    exact = ", ".join(one.exact) + (f", {one.exact_where}" if one.exact_where else "")
    facts += [("log p(x) is exact on", exact)]
    shown = [f"**{word}.** {value if '`' in value else in_cell(value)}" for word, value in facts]
    lines = "  \n".join(text for text, (_, value) in zip(shown, facts, strict=True) if value)
    rows = (
        (f"`{p.name}`", in_cell(p.type_name), _code(p.shown_default), in_cell(p.meaning))
        for p in one.parameters.values()
    )
    parameters = table(("parameter", "type", "default", "meaning"), rows)
    folded = "\n".join(f"    {row}" for row in parameters.splitlines())
    title = f'??? note "{len(one.parameters)} parameters"\n\n'
    return f"### `{one.name}`\n\n{in_cell(one.summary)}\n\n{lines}\n\n{title}{folded}\n"


def _accepts(one: Preset) -> str:
    kinds = ", ".join(one.accepts.kinds)
    shapes = {(True, False): "; images", (False, True): "; vectors"}
    shape = shapes.get((one.accepts.images, one.accepts.vectors), "")
    needs = "; needs labels" if one.accepts.labels else ""
    needs = needs or ("; needs labels or attributes" if one.accepts.condition else "")
    return kinds + shape + needs


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def likelihoods() -> str:
    """What p(x|z) may be, by name, and of which data."""
    said = ["# Likelihoods\n", "`likelihood=NAME` says what p(x|z) is.\n"]
    titles = {"Of decoders": LIKELIHOODS, "Of autoregressive models": CONDITIONALS}
    for title, choices in titles.items():
        rows = []
        for name, cls in choices.items():
            usual = ", ".join(kind for kind, chosen in DEFAULTS.items() if chosen == name)
            first = " ".join((cls.__doc__ or "").strip().split("\n\n")[0].split())
            rows.append((f"`{name}`", in_cell(first), ", ".join(cls.kinds), usual))
        head = ("name", "what it is", "data", "by default of")
        said += [f"## {title}\n", table(head, rows), ""]
    return "\n".join(said)


def bijections() -> str:
    """Every bijection and what its directions cost."""
    return (
        "# Bijections\n\n`forward` goes from data to noise, `inverse` back; see "
        f"[normalizing flows](../flows.md).\n\n{table_of_bijections()}\n"
    )


def terms() -> str:
    """Every term of a loss."""
    rows = (
        (f"`{name}`", in_cell(t.definition), in_cell(t.unit), SIGNS[t.better], _tick(t.judges))
        for name, t in TERMS.items()
    )
    return (
        "# Terms of losses\n\nWhat `Loss.terms` and the curves of a `History` have: unweighted, "
        "whatever the objective weighs. Where weights are the best of a training, they are the "
        "best by the first term here that judges and that the loss has.\n\n"
        + table(("term", "what it is", "unit", "better", "judges"), rows)
    )


def scores() -> str:
    """Every score that an evaluation may have, group by group."""
    said = [
        "# Scores\n",
        "What `evaluate` returns, by name. Each score has its value, its standard error, its unit, "
        "its kind (exact, a bound, an estimate) and its protocol.\n",
    ]
    ordered = sorted(SCORES.items(), key=lambda item: list(_groups()).index(item[1].group))
    for group, members in groupby(ordered, key=lambda item: item[1].group):
        rows = ((f"`{n}`", m.title, in_cell(m.definition), SIGNS[m.better]) for n, m in members)
        said += [f"## {group}\n", table(("score", "title", "what it is", "better"), rows), ""]
    return "\n".join(said)


def _groups() -> dict[str, None]:
    return {measure.group: None for measure in SCORES.values()}


def commands() -> str:
    """Every command of the command line, from its own help."""
    text = app.generate_docs(output_format="markdown")
    text = re.sub(r"## Table of Contents\n.*?(?=\*\*)", "", text, count=1, flags=re.DOTALL)
    return text.replace("# reparam\n", "# Commands\n", 1)


def _tick(flag: bool) -> str:
    return "✓" if flag else ""
