"""How much of its codebooks a model uses, and how many bits its index codes take."""

from __future__ import annotations

import math

import torch

from reparam import numerics
from reparam.data import Split
from reparam.evaluation.rows import batches
from reparam.evaluation.scores import Score, Scores, mean_score
from reparam.model import Encoder, LatentVariable
from reparam.train.collapse import index_counts


@torch.no_grad()
def code_use(model: Encoder, split: Split, name: str = "test") -> Scores:
    """``codes_in_use``, ``perplexity``, ``code_bits`` and, with a prior, ``prior_bits``.

    With H the entropy of the frequencies of the indices over the split, the perplexity is exp(H),
    and N log₂(perplexity) the bits of N indices in a code that knows these frequencies and nothing
    else. Of several codebooks, one for each grid and level of depth, H is the mean over the
    indices, and the first two scores are given for each as well: ``perplexity_layer_1`` is of the
    one next to x.

    Args:
        model: whose codes are indices.
        split: its examples.
        name: of the split.
    """
    codes = model.code_space.level_count
    assert codes is not None
    counts, bits = torch.zeros(1, codes, dtype=torch.int64), []
    for x, c, _ in batches(model, split):
        code = model.encode(x, c)
        counts = counts + index_counts(model, code).cpu()
        if isinstance(model, LatentVariable):
            bits.append(-model.prior(c).log_prob(code) / math.log(2))
    sites = model.code_space.dimension
    scores = _use(counts, len(split), name)
    scores["code_bits"] = Score(sites * math.log2(codes), "bits", len(split), name)
    if bits:
        scores["prior_bits"] = mean_score(torch.cat(bits), "bits", name)
    return scores


def _use(counts: torch.Tensor, n: int, name: str) -> Scores:
    """Of counts (codebooks, K), in all and of each codebook where there are several."""
    books, codes = counts.shape
    used, found = (counts > 0).sum(1).double(), numerics.perplexity(counts.double())
    mean = ((counts.sum(1) * found.log()).sum() / counts.sum()).exp()
    in_all = {"codes_in_use": (used.sum(), books * codes), "perplexity": (mean, codes)}
    of_each = {
        f"{title}_layer_{books - book}": (values[book], codes)
        for title, values in (("codes_in_use", used), ("perplexity", found))
        for book in range(books if books > 1 else 0)
    }
    return {
        title: Score(value.item(), f"of {most} codes", n, name)
        for title, (value, most) in (in_all | of_each).items()
    }
