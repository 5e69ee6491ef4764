"""Masked fully connected networks: MADE with its ensembles of orders, and NADE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.limits import Count, limited
from reparam.model import Column
from reparam.nets.autoregressive_network import AutoregressiveNetwork, Draw, raster_ranks
from reparam.nets.codes import CodeEmbedding, code_index, sum_of_rows
from reparam.nets.column_inputs import ColumnEmbedding, ColumnInputs

SUMS_AT_ONCE = 2**24  # of NADE's hidden units where no gradient needs them all kept


class MaskedLinear(nn.Module):
    """y = (W ⊙ M) x + b: unit k sees what comes no later than it.

    Args:
        before: (E, inputs), the degree of every input in each of E members.
        after: (E, outputs), the degree of every output.
        strict: whether an output sees only inputs of lower degree, not of its own.
        bias: whether there is a b.
        codes: K, where inputs are codes 0 … K−1 seen one-hot: W has K columns for each of them,
            which are gathered.

    Shape: (B, inputs) → (B, outputs).

    Reference: Germain et al. 2015 (MADE), eq. 8 and 9.
    https://arxiv.org/abs/1502.03509

    >>> degrees = torch.arange(3)[None]
    >>> MaskedLinear(degrees, degrees, strict=True).masks[0].int().tolist()
    [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    """

    def __init__(
        self,
        before: Tensor,
        after: Tensor,
        strict: bool = False,
        bias: bool = True,
        codes: int = 0,
    ) -> None:
        super().__init__()
        linear = nn.Linear(before.shape[1], after.shape[1], bias)  # for its initial values
        self.weight, self.bias, self.codes = linear.weight, linear.bias, codes
        if codes:
            bound = before.shape[1] ** -0.5  # one of K is seen: as with so many inputs
            size = (after.shape[1], before.shape[1] * codes)
            self.weight = nn.Parameter(torch.empty(size).uniform_(-bound, bound))
        before, after = before[:, None, :], after[:, :, None]
        masks = before < after if strict else before <= after
        self.register_buffer("masks", masks.to(self.weight.dtype), persistent=False)
        self.masks: Tensor

    def forward(self, h: Tensor, member: int | Tensor = 0) -> Tensor:
        if not self.codes:
            return F.linear(h, self.masked(member), self.bias)
        y = _of_codes(h, self.masked(member), self.codes)
        return y if self.bias is None else y + self.bias

    def masked(self, member: int | Tensor = 0) -> Tensor:
        if isinstance(member, int):
            mask = self.masks[member]
        else:
            mask = self.masks.index_select(0, member.view(1)).squeeze(0)
        if not self.codes:
            return self.weight * mask
        return (self.weight.unflatten(1, (-1, self.codes)) * mask[:, :, None]).flatten(1)


def _of_codes(index: Tensor, weight: Tensor, codes: int) -> Tensor:
    """The product of codes (B, D), seen one-hot, with a matrix (outputs, D·K): (B, outputs)."""
    return sum_of_rows(index, weight.T.unflatten(0, (-1, codes)))


class MADE(AutoregressiveNetwork):
    """A masked multilayer perceptron whose outputs for entry i see the entries before i.

    Every unit has a degree: an entry its place in the order, a hidden unit a number drawn between
    the least degree below it and the last but one place. A connection exists where degrees do not
    fall, and outputs see lower degrees only. Without hidden layers it is the logistic
    autoregression of fully visible belief networks.

    Args:
        shape: of x.
        parameters: P, numbers per entry.
        hidden: widths of the hidden layers.
        orders: how many orders of the entries: the first is row by row (channels innermost), the
            others random.
        masks: how many draws of the hidden degrees; member m has order m mod ``orders``.
        direct: whether inputs reach the outputs directly as well.
        context: F, numbers of the context, added to the first hidden layer and to the outputs.
        gain: factor of the outputs' first weights; a small one starts near 0, whatever is seen; 0
            at 0, whatever the context, too.
        columns: of mixed x, whose names are seen one-hot, and missing entries as such.
        codes: K, where entries are codes without an order, seen one-hot; 0: as numbers.

    Shape: x (B, *shape), context (B, F) → (B, P, *shape).

    Cost: one pass of the dense network; drawing all entries computes every unit once.

    Reference: Germain et al. 2015, "MADE: masked autoencoder for distribution estimation", eq. 8 to
    11; Frey 1998 for fully visible belief networks.
    https://arxiv.org/abs/1502.03509

    >>> MADE((1, 3, 3), 1, hidden=(16,))(torch.zeros(2, 1, 3, 3)).shape
    torch.Size([2, 1, 1, 3, 3])
    """

    @limited
    def __init__(
        self,
        shape: Sequence[int],
        parameters: int,
        hidden: Sequence[Count] = (500,),
        *,
        orders: Count = 1,
        masks: Count = 1,
        direct: bool = False,
        activation: type[nn.Module] = nn.ReLU,
        context: int = 0,
        gain: float = 1.0,
        columns: Sequence[Column] | None = None,
        codes: int = 0,
    ) -> None:
        super().__init__()
        self.shape, self.parameters_per_entry = tuple(shape), parameters
        self.context_features, self.codes = context, codes
        self.members = max(orders, masks)
        self.degrees = _degrees(shape, tuple(hidden), orders, masks)
        ranks = self.degrees[0]
        outputs = ranks.repeat(1, parameters)  # parameter by parameter, entries innermost
        self.inputs = ColumnInputs(columns) if columns else None
        seen = ranks if self.inputs is None else ranks[:, self.inputs.entries]
        before = [seen, *self.degrees[1:]]
        layers = [
            MaskedLinear(*degrees, codes=0 if index else codes)
            for index, degrees in enumerate(pairwise(before))
        ]
        self.layers, self.activation = nn.ModuleList(layers), activation()
        of_codes = 0 if hidden else codes
        self.head = MaskedLinear(before[-1], outputs, strict=True, codes=of_codes)
        self.missing = None
        if columns:
            first, strict = (self.degrees[1], False) if hidden else (outputs, True)
            self.missing = MaskedLinear(ranks, first, strict, bias=False)
            nn.init.zeros_(self.missing.weight)
        with torch.no_grad():
            for parameter in self.head.parameters():
                parameter.mul_(gain)
        direct = direct and bool(hidden)
        self.direct = None
        if direct:
            self.direct = MaskedLinear(seen, outputs, strict=True, bias=False, codes=codes)
        widths = [*hidden[:1], outputs.shape[1]] if context else []
        self.context = nn.ModuleList(nn.Linear(context, width, bias=False) for width in widths)
        for layer in () if gain else (self.direct, *self.context[-1:]):
            if layer is not None:
                nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, context: Tensor | None = None, member: int | Tensor = 0) -> Tensor:
        x = x.flatten(1)
        missing = None if self.missing is None else self.missing(x.isnan().to(x), member)
        if self.codes:
            x = code_index(x, self.codes)
        elif self.inputs is not None:
            x = self.inputs(x)
        h = x
        for index, layer in enumerate(self.layers):
            h = layer(h, member)
            if index == 0 and missing is not None:
                h = h + missing
            if index == 0 and self.context:
                h = h + self.context[0](context)
            h = self.activation(h)
        y = self.head(h, member)
        if missing is not None and not self.layers:
            y = y + missing
        if self.direct is not None:
            y = y + self.direct(x, member)
        if self.context:
            y = y + self.context[-1](context)
        return y.view(x.shape[0], self.parameters_per_entry, *self.shape)

    def ranks_of(self, member: int = 0) -> Tensor:
        return self.degrees[0][member]

    def generate(
        self, rows: int, draw: Draw, context: Tensor | None = None, member: int = 0
    ) -> None:
        """Every hidden unit is computed once, as soon as all that it sees is drawn.

        Rows are innermost, so that what is read and written is in one piece. Units are sorted by
        degree: those which are not computed yet are the last, and left out.
        """
        order = self.degrees[0][member].argsort().tolist()
        added = [module(context).T for module in self.context]
        layers = [layer for layer in self.layers if isinstance(layer, MaskedLinear)]
        weights = [layer.masked(member) for layer in layers]
        heads = [self._by_entry(self.head.masked(member)), self._by_entry(self.head.bias[:, None])]
        heads += [] if self.direct is None else [self._by_entry(self.direct.masked(member))]
        heads += [self._by_entry(term) for term in added[-1:]]
        groups = [_units_by_degree(d[member], len(order)) for d in self.degrees[1:]]
        h = [heads[0].new_zeros(w.shape[1], rows) for w in [*weights, heads[0][0]]]
        if self.codes:
            h[0] = torch.zeros(rows, len(order), dtype=torch.int64, device=h[0].device)
        for place, entry in enumerate(order):
            seen = len(h[0])
            for index, layer in enumerate(layers):
                units = groups[index][place]
                if units.start < units.stop:
                    bias = layer.bias[units, None]
                    y = self._sum(bias, weights[index][units], h[index], seen)
                    y = y + added[0][units] if index == 0 and added else y
                    h[index + 1][units] = self.activation(y)
                seen = units.stop
            weight, bias, *terms = (term[entry] for term in heads)
            y = self._sum(bias, weight, h[-1], seen)
            if self.direct is not None:
                y = self._sum(y, terms.pop(0), h[0], len(h[0]))
            y = y + terms[0] if terms else y
            value = draw(y.T.unsqueeze(2), slice(entry, entry + 1))
            if self.codes:
                h[0][:, entry] = code_index(value.squeeze(1), self.codes)
            elif self.inputs is None:
                h[0][entry] = value.squeeze(1)
            else:
                h[0][self.inputs.slots[entry]] = self.inputs.of_entry(value, entry).T

    def _sum(self, bias: Tensor, weight: Tensor, h: Tensor, seen: int) -> Tensor:
        """bias + weight h of the units that are computed; or of codes, one-hot, all of them."""
        if h.is_floating_point():
            return torch.addmm(bias, weight[:, :seen], h[:seen])
        return bias + _of_codes(h, weight, self.codes).T

    def _by_entry(self, of_outputs: Tensor) -> Tensor:
        """What belongs to the outputs (P · D, n), as that of each entry's, (D, P, n)."""
        parts = of_outputs.view(self.parameters_per_entry, -1, of_outputs.shape[1])
        return parts.transpose(0, 1).contiguous()


def _degrees(
    shape: Sequence[int], hidden: tuple[int, ...], orders: int, masks: int
) -> list[Tensor]:
    """The degrees of the entries and of every hidden layer, each (members, units).

    They are part of what the network is, so they depend on nothing but these sizes. Units being
    exchangeable, those of a layer are sorted: what is computed together then lies together.
    """
    generator = torch.Generator().manual_seed(0)
    dimension, members = math.prod(shape), max(orders, masks)
    first = [raster_ranks(shape)]
    member = torch.arange(members)
    ranks = first + [torch.randperm(dimension, generator=generator) for _ in range(orders - 1)]
    drawn: list[list[Tensor]] = [[] for _ in hidden]
    for _ in range(masks if hidden else 0):
        least = 0
        for width, draws in zip(hidden, drawn, strict=True):
            highest = max(dimension - 1, least + 1)  # the last place is seen by nothing
            unsorted = torch.randint(least, highest, (width,), generator=generator)
            draws.append(unsorted.sort().values)
            least = int(draws[-1][0])
    by_mask = [torch.stack(draws)[member % masks] for draws in drawn]
    return [torch.stack(ranks)[member % orders], *by_mask]


def _units_by_degree(degrees: Tensor, places: int) -> list[slice]:
    """For every place, the units that are complete once all places before it are drawn.

    A unit of degree d sees the places 0 … d: it is computed when place d + 1 is next.
    """
    edges = torch.searchsorted(degrees, torch.arange(-1, places)).tolist()
    return [slice(a, b) for a, b in pairwise(edges)]


class NADE(AutoregressiveNetwork):
    """One hidden layer per entry, with tied weights: a_i = c + W x_{<i}, y_i = b_i + V_i σ(a_i).

    The sums a_i differ by one column of W from entry to entry, so that all of them cost O(HD).

    Args:
        shape: of x; entries come row by row, channels innermost.
        parameters: P, numbers per entry.
        hidden: H, the width.
        context: F, numbers of the context, added to a and to y.
        columns: of mixed x, of whose names each has a column of W, and missing entries one of M.
        codes: K, where entries are codes without an order, each with a column of W; 0: as numbers.

    Shape: x (B, *shape), context (B, F) → (B, P, *shape).

    Cost: O(HD) per example; training keeps B·D·H activations, a pass without gradients those of a
    few rows at a time.

    Reference: Larochelle & Murray 2011, "The neural autoregressive distribution estimator", eq. 6
    and 7.

    >>> NADE((9,), 1, hidden=16)(torch.zeros(2, 9)).shape
    torch.Size([2, 1, 9])
    """

    @limited
    def __init__(
        self,
        shape: Sequence[int],
        parameters: int,
        hidden: Count = 500,
        *,
        context: int = 0,
        columns: Sequence[Column] | None = None,
        codes: int = 0,
    ) -> None:
        super().__init__()
        self.shape, dimension = tuple(shape), math.prod(shape)
        self.context_features = context
        self.order = raster_ranks(shape).argsort().tolist()
        self.columns: ColumnEmbedding | CodeEmbedding | None = None
        if codes:
            self.columns = CodeEmbedding(range(dimension), codes, hidden)
        elif columns:
            self.columns = ColumnEmbedding(columns, hidden)
        else:
            self.weight = nn.Parameter(torch.empty(dimension, hidden))  # by place in the order
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.out_weight = nn.Parameter(torch.empty(dimension, parameters, hidden))
        self.out_bias = nn.Parameter(torch.zeros(dimension, parameters))
        if self.columns is None:
            nn.init.uniform_(self.weight, -(dimension**-0.5), dimension**-0.5)  # as nn.Linear's
        nn.init.uniform_(self.out_weight, -(hidden**-0.5), hidden**-0.5)
        widths = (hidden, dimension * parameters) if context else ()
        self.context = nn.ModuleList(nn.Linear(context, width, bias=False) for width in widths)
        self.register_buffer("ranks", raster_ranks(shape), persistent=False)
        self.register_buffer("places", torch.tensor(self.order), persistent=False)
        self.ranks: Tensor
        self.places: Tensor

    def forward(self, x: Tensor, context: Tensor | None = None, member: int | Tensor = 0) -> Tensor:
        rows = max(1, SUMS_AT_ONCE // (self.out_weight.shape[0] * self.out_weight.shape[2]))
        if torch.is_grad_enabled() or len(x) <= rows:
            return self._pass(x, context)
        parts = x.split(rows)
        contexts = [context] * len(parts)
        if context is not None and len(context) > 1:
            contexts = list(context.split(rows))
        return torch.cat([self._pass(*part) for part in zip(parts, contexts, strict=True)])

    def _pass(self, x: Tensor, context: Tensor | None) -> Tensor:
        ordered = x.flatten(1)[:, self.places]  # (B, D)
        seen = self._seen(ordered[:, :-1], slice(0, -1))  # nothing sees the last entry
        first = self._first(context)[:, None].expand(x.shape[0], 1, -1)
        a = torch.cat([first, seen], 1).cumsum(1)  # (B, D, H)
        y = torch.einsum("bdh,dph->bdp", a.sigmoid(), self.out_weight) + self._bias(context)
        return y[:, self.ranks].transpose(1, 2).reshape(x.shape[0], -1, *self.shape)

    def generate(
        self, rows: int, draw: Draw, context: Tensor | None = None, member: int = 0
    ) -> None:
        a = self._first(context).expand(rows, -1)  # (B, H)
        bias = self._bias(context).expand(rows, -1, -1)
        for place, entry in enumerate(self.order):
            y = a.sigmoid() @ self.out_weight[place].T + bias[:, place]
            x = draw(y.unsqueeze(2), slice(entry, entry + 1))  # (B, 1)
            a = a + self._seen(x, slice(place, place + 1)).squeeze(1)

    def _seen(self, x: Tensor, entries: slice) -> Tensor:
        """What some entries (B, n) add to the sums of those after them, (B, n, H)."""
        if self.columns is None:
            return x.unsqueeze(2) * self.weight[entries]
        added: Tensor = self.columns(x, entries)
        return added

    def _first(self, context: Tensor | None) -> Tensor:
        """a of the first entry, (1 or B, H)."""
        bias = self.hidden_bias[None]
        return bias + self.context[0](context) if self.context else bias

    def _bias(self, context: Tensor | None) -> Tensor:
        """b, (1 or B, D, P)."""
        bias = self.out_bias[None]
        return bias + self.context[1](context).view(-1, *bias.shape[1:]) if self.context else bias
