"""Every term of a loss: what it is, counts and means, and whether weights are kept by it.

A new term is entered here, and nowhere else: curves and the weights that training keeps read it.
Nothing is imported, so that a command line can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Term:
    """One of the unweighted terms that ``Loss.terms`` may have.

    Args:
        definition: what it is.
        unit: in which it is counted.
        better: which direction is better; None where neither is as such.
        judges: whether weights are kept by it, where a model names no other term.
        of_a_row: whether it says something of its row, not of the batch or of the training.
    """

    definition: str
    unit: str
    better: Better | None = "lower"
    judges: bool = False
    of_a_row: bool = True

    @property
    def label(self) -> str:
        """Beside a curve.

        >>> TERMS["beta"].label, TERMS["nll"].label
        ('weight of the rate', '−log p(x), nats')
        """
        return ", ".join(filter(None, (self.definition, self.unit)))


# The first of those that judge which a loss has decides.
TERMS = {
    "bound": Term("evidence lower bound", "nats", "higher", judges=True),
    "nll": Term("−log p(x)", "nats", judges=True),
    "squared_error": Term("summed", "network units", judges=True),
    "cross_entropy": Term("", "nats, not a likelihood", judges=True),
    "column_error": Term("times the best constant's", "", judges=True),
    "masked_error": Term("of an entry of hidden patches", "network units", judges=True),
    "distortion": Term("−log p(x|z)", "nats", judges=True),
    "error": Term("share of labels that are missed", ""),
    "noise_error": Term("mean square of ε − ε̂", "of an entry, not a likelihood"),
    "rate": Term("KL(q(z|x) ‖ p(z))", "nats", None),
    "beta": Term("weight of the rate", "", None, of_a_row=False),
    "feature_error": Term("½ ‖φ(x) − φ(x′)‖² of the critic", "no likelihood"),
    "generator_loss": Term("what the generator minimizes", "", of_a_row=False),
    "critic_loss": Term("what the critic minimizes", "", None),
    "critic_real": Term("logit D(x) of data", "", None),
    "critic_drawn": Term("logit D(x) of draws", "", None, of_a_row=False),
    "r1": Term("γ/2 ‖∂D/∂x‖² at data", ""),
    "gradient_penalty": Term("10 (‖∂D/∂x‖ − 1)² between", ""),
    "prior_kl": Term("KL(q(z) ‖ p(z)) by the critic", "nats, an estimate", of_a_row=False),
    "total_correlation": Term("KL(q(z) ‖ Π q(zⱼ))", "nats", of_a_row=False),
    "dip": Term("covariance of codes − identity, squared", "", of_a_row=False),
    "mmd": Term("kernel distance of q(z) and p(z)", "", of_a_row=False),
    "sparsity": Term("Σ KL(ρ ‖ ρ̂) of units", "nats", of_a_row=False),
    "contraction": Term("‖∂z/∂x‖²", "network units"),
    "commitment": Term("‖v − sg[e]‖² of vectors", ""),
    "codebook": Term("‖sg[v] − e‖² of codes", ""),
    "perplexity": Term("exp(H) of averaged shares", "", None, of_a_row=False),
    "codes_in_use": Term("with ⅒ of the fair share", "", None, of_a_row=False),
    "restarts": Term("idle codes moved so far", "", None, of_a_row=False),
    "energy_real": Term("E of data", "nats, up to a constant", None),
    "energy_drawn": Term("E of chains", "nats, up to a constant", None, of_a_row=False),
    "contrast": Term("E(x) − E of chains", "nats, not a likelihood", None),
    "distillation": Term("−Σ P_t(u) ln P_s(v) of two views", "nats, no likelihood"),
    "output_entropy": Term("H of the teacher's outputs, mean", "nats", None),
    "teacher_entropy": Term("H of the teacher's mean output", "nats", None, of_a_row=False),
    "objective": Term("what is minimized", "", of_a_row=False),
}
JUDGES = {name: -1.0 if t.better == "higher" else 1.0 for name, t in TERMS.items() if t.judges}
