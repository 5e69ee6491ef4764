"""The section of the taxonomy: where the models stand among all families, and what they reached."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from reparam.presets.places import Place, family_of, place_of_trained
from reparam.report.family_tree import OWN, Group, Leaf, family_tree, outline
from reparam.report.section import Section, Shown


class Taxonomy(NamedTuple):
    """The tree, the same as a list, and the models that stand nowhere in it."""

    tree: Markup
    outline: list[tuple[Place, list[Group]]]
    nowhere: list[int]


def build(shown: Shown) -> Taxonomy:
    leaves, nowhere = [], []
    for index, entry in enumerate(shown.entries):
        place = place_of_trained(entry.model)
        if place is None:
            nowhere.append(index)
        else:
            family = family_of(entry.model) or OWN
            leaves.append(Leaf(entry.label, family, place, entry.scores, index))
    return Taxonomy(family_tree(leaves, alone=False), outline(leaves), nowhere)


SECTION: Section = Section(
    "taxonomy",
    "Taxonomy",
    """All models in it are to make data probable, and differ in how they have log p(x): exactly, by
a bound, by Markov chains, by a solver, or not at all. Where one stands is what it declares, not
what kind its number is: a flow's density is exact, and becomes a bound where whole numbers are
dequantized. Models that were trained carry their log p(x) in nats, the Fréchet distance of their
draws, and draws per second.""",
    build,
    "taxonomy.html.j2",
    lambda shown: shown.families,
)
