"""A density for each class: their mixture, by the frequencies of the classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.conditions import check_labels, labels_of
from reparam.distribution import Kind
from reparam.exchange import LogPartition
from reparam.model import Batch, Density, Descend, LogProb, Loss, Model, Solve, Space, Stage
from reparam.models.conditional import count_classes, draw_classes


class PerClass(Density):
    """One unconditional density for each class: log p(x) = log Σ_y p(y) p(x|y).

    p(y) are the frequencies of the classes in training, and p(x|y) is a model of its own, learned
    from the rows of class y alone: no weight is shared, which a conditional model would do. With
    p(y|x) ∝ p(y) p(x|y) it classifies (``rp.classify``).

    The labels are c of ``loss`` alone, whose terms are those of each row's own model: of
    log p(x|y). ``log_prob`` and ``sample`` need none; of a given class they are log p(x|y) and its
    draws. A class without training rows has frequency 0 and no density: log p(x|y) = −∞.

    Args:
        space: what x is, with classes.
        build: makes the model of a class, of data of the space that it is given, which is the same
            without labels; it is called once for each class.

    Raises:
        ValueError: data without classes, or parts that have no density, take a condition or are
            trained by several players.

    Shape: x (B, *space.shape), c (B,).

    Likelihood: as the parts', of which the weakest word holds. A bound that is averaged over draws
        in nats, as of a diffusion model, makes an estimate: the logarithm of a sum of exponentials
        of what varies is too large on average.

    Cost: of training, that of one model; of log p(x), that of all.

    Reference: Ng & Jordan 2001, "On discriminative vs. generative classifiers", section 2.
    https://papers.nips.cc/paper/2020-on-discriminative-vs-generative-classifiers

    >>> import reparam as rp
    >>> space = rp.Space((2,), "real", classes=3)
    >>> model = PerClass(space, lambda alone: rp.PCA(alone, latent_dim=1))
    >>> model.log_prob(torch.zeros(5, 2)).kind, rp.classify(model, torch.zeros(5, 2)).shape
    ('exact', torch.Size([5, 3]))
    """

    def __init__(self, space: Space, build: Callable[[Space], Model]) -> None:
        if space.classes is None:
            raise ValueError(
                "per_class: expected data with class labels, got none; name their column, or use "
                "class folders"
            )
        super().__init__(space)
        alone = replace(space, classes=None, attributes=None)
        self.parts = nn.ModuleList(_checked(build(alone)) for _ in range(space.classes))
        self.register_buffer("frequencies", torch.full((space.classes,), 1 / space.classes))
        self.frequencies: Tensor
        one = self._of(0)
        self.keeps, self.judge, self.constant_terms = one.keeps, one.judge, one.constant_terms
        self.couples_rows, self.surrogate = one.couples_rows, one.surrogate
        self.normalized, self.takes_missing = one.normalized, one.takes_missing
        self.approximation, self.log_prob_draws = one.approximation, one.log_prob_draws
        self.tightens = one.tightens

    def _of(self, label: int) -> Density:
        part = self.parts[label]
        assert isinstance(part, Density)
        return part

    @property
    def seen(self) -> list[int]:
        """The classes that have training rows."""
        return self.frequencies.nonzero()[:, 0].tolist()

    @property
    def class_frequencies(self) -> Tensor:
        return self.frequencies

    @property
    def counted(self) -> int:
        return max(self._of(label).counted for label in self.seen)

    @property
    def log_partition(self) -> LogPartition | None:
        """The mean of the parts' log Z over classes, and the least effective sample size.

        An error of log Z_y is in log p(x) as often as x is of class y: the mean over examples has
        that of Σ p(y) log Z_y, where classes are as frequent in them as in training.
        """
        found = [self._of(label).log_partition for label in self.seen]
        known = [one for one in found if one is not None]
        if not known:
            return None
        values, errors, effective = (
            torch.stack([getattr(one, name).cpu() for one in known])
            for name in ("value", "stderr", "effective_samples")
        )
        shares = self.frequencies[self.seen].cpu().to(values)
        error = (shares * errors).square().sum().sqrt()
        return replace(
            known[0], value=shares @ values, stderr=error, effective_samples=effective.min()
        )

    @property
    def passes_per_sample(self) -> int:  # type: ignore[override]
        return len(self.parts) * self._of(0).passes_per_sample

    @property
    def passes_per_draw(self) -> int:  # type: ignore[override]
        return self._of(0).passes_per_draw

    @property
    def pass_cost(self) -> int:  # type: ignore[override]
        return self._of(0).pass_cost

    @property
    def unsettled(self) -> str:
        return next(filter(None, (self._of(label).unsettled for label in self.seen)), "")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Those of a part, each of all parts at once: a solve by rows of a class, one descent."""
        of_parts = zip(*(self._of(y).stages for y in range(len(self.parts))), strict=True)
        return (Solve("class frequencies", _count_classes), *map(_of_all, of_parts))

    def refuse_class(self, rows: int) -> None:
        self._of(0).refuse_rows(rows)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        """The mean over rows of what the model of each row's class has for it."""
        x, c = self.prepare(x, c)
        if c is None:
            raise ValueError("c: expected the label of each row, got None")
        objective, statistics = x.new_zeros((), dtype=self.anchor.dtype), dict[str, Tensor]()
        terms: dict[str, Tensor] = {}
        for label in self.seen:
            part, chosen = self._of(label), c == label
            if chosen.any():
                with numerics.noise_of(chosen):
                    loss = part(x[chosen])
                objective = objective + loss.objective * (len(x[chosen]) / len(x))
                for name, term in loss.terms.items():
                    whole = terms.setdefault(name, term.new_zeros(len(x), *term.shape[1:]))
                    terms[name] = whole.index_put((chosen,), term)
            else:
                loss = self._of_no_row(part, x)
                objective = objective + loss.objective
            statistics |= {f"{label}/{name}": v for name, v in loss.statistics.items()}
        return Loss(objective, terms, statistics)

    def _of_no_row(self, part: Density, x: Tensor) -> Loss:
        """Gradients and statistics of zero: processes of one run have to have the same ones."""
        if not self.training:
            return Loss(x.new_zeros(()), {})
        with torch.no_grad(), numerics.noise_of_its_own():
            seen = part(x[:1]).statistics
        weights = (p.sum() for p in part.parameters() if p.requires_grad)
        nothing = sum((0 * total for total in weights), x.new_zeros(()))
        return Loss(nothing, {}, {name: torch.zeros_like(value) for name, value in seen.items()})

    def after_step(self, loss: Loss, player: str = "model") -> None:
        for label in self.seen:
            start = f"{label}/"
            own = {
                n.removeprefix(start): v for n, v in loss.statistics.items() if n.startswith(start)
            }
            self._of(label).after_step(Loss(loss.objective, {}, own), player)

    def density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        if c is not None:
            return self._of_given(x, c, samples, generator)
        found = [self._of(label).density(x, None, samples, generator) for label in self.seen]
        shares = self.frequencies[self.seen].to(found[0].value).log()
        value = (torch.stack([one.value for one in found], 1) + shares).logsumexp(1)
        return LogProb(value, self._weakest(found, mixed=True), samples)

    def _of_given(
        self, x: Tensor, c: Tensor, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        """log p(x|y) of each row's class."""
        found, value = [], torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
        for label in self.seen:
            chosen = c == label
            if chosen.any():
                with numerics.noise_of(chosen):
                    found.append(self._of(label).density(x[chosen], None, samples, generator))
                dtype = torch.promote_types(value.dtype, found[-1].value.dtype)
                value = value.to(dtype).index_put((chosen,), found[-1].value.to(dtype))
        return LogProb(value, self._weakest(found), samples)

    def _weakest(self, found: list[LogProb], mixed: bool = False) -> Kind:
        """The weakest word for what is known of the parts; exact where there is none."""
        if mixed and self.log_prob_draws and not self.tightens:
            return "estimate"
        order = get_args(Kind)
        return max((one.kind for one in found), key=order.index, default=order[0])

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        if c is None:
            c = draw_classes(self.frequencies, self.anchor.new_empty(n), generator)
        parts, rows = [], []
        for label in c.unique().tolist():
            self._refuse_unseen(label)
            chosen = c == label
            with numerics.noise_of(chosen):
                parts.append(self._of(label).sample(int(chosen.sum()), generator=generator))
            rows.append(chosen.nonzero()[:, 0])
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def _refuse_unseen(self, label: int) -> None:
        if not self.frequencies[label]:
            name = label if self.class_names is None else repr(self.class_names[label])
            raise ValueError(f"c: class {name} had no training rows, and has no draws")

    def _condition(self, c: object, rows: int) -> Tensor | None:
        """A class that is given, which none has to be."""
        if c is None:
            return None
        labels = labels_of(c, rows, self.class_names)
        return check_labels(labels, rows, self.space.classes).to(self.anchor.device)


def _checked(part: Model) -> Density:
    """The model of a class; ValueError where there cannot be one of each."""
    name = type(part).__name__
    if not isinstance(part, Density):
        raise ValueError(f"per_class: expected a model with a density, got {name}; take pca or vae")
    if part.conditional:
        raise ValueError(
            f"per_class: expected an unconditional model of each class, got a conditional {name}; "
            "leave out conditional or per_class"
        )
    if any(isinstance(stage, Descend) and stage.players for stage in part.stages):
        raise ValueError(
            f"per_class: expected a model trained by one loss, got {name}, which several players "
            "train; take vae or real-nvp"
        )
    return part


class _RowsOf:
    """The rows of a class in batches that can be read again, without labels."""

    def __init__(self, batches: Iterable[Batch], label: int) -> None:
        self.batches, self.label = batches, label

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            assert batch.c is not None
            chosen = batch.c == self.label
            if chosen.any():
                yield Batch(batch.x[chosen])


def _of_all(stages: tuple[Stage, ...]) -> Stage:
    """The same stage of every part as one of the whole."""
    first = stages[0]
    if isinstance(first, Descend):
        return Descend(first.name)

    def solve(model: Model, batches: Iterable[Batch]) -> None:
        assert isinstance(model, PerClass)
        for label in model.seen:
            stage, part = stages[label], model.parts[label]
            assert isinstance(stage, Solve) and isinstance(part, Model)
            stage.solve(part, _RowsOf(batches, label))

    return Solve(first.name, solve)


@torch.no_grad()
def _count_classes(model: Model, batches: Iterable[Batch]) -> None:
    assert isinstance(model, PerClass)
    count_classes(model.frequencies, batches)
