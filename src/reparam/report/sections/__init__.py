"""The sections of the page, in their order; a new one is a module, a partial and a line here."""

from __future__ import annotations

from reparam.report.section import Section
from reparam.report.sections import (
    column_pairs,
    column_rows,
    denoising,
    entrywise,
    filters,
    hidden_units,
    imputed,
    interpolations,
    latent_map,
    line,
    out_of_distribution,
    plane,
    rates,
    reading,
    reconstructed_rows,
    reconstructions,
    sampled_columns,
    sampled_images,
    score_table,
    training,
    traversals,
)

SECTIONS: tuple[Section, ...] = (
    score_table.SECTION,
    reconstructions.SECTION,
    reconstructed_rows.SECTION,
    denoising.SECTION,
    sampled_images.SECTION,
    sampled_columns.SECTION,
    line.SECTION,
    plane.SECTION,
    column_rows.SECTION,
    column_pairs.SECTION,
    imputed.SECTION,
    entrywise.SECTION,
    interpolations.SECTION,
    latent_map.SECTION,
    filters.SECTION,
    hidden_units.SECTION,
    traversals.SECTION,
    rates.SECTION,
    out_of_distribution.SECTION,
    training.SECTION,
    reading.SECTION,
)
