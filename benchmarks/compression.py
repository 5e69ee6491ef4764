"""How long files of models are beside what the models say, and how fast they are written and read.

    python benchmarks/compression.py --runs runs/vae runs/pixels      # runs of `reparam fit`
    python benchmarks/compression.py vae vae-8bit --epochs 5          # or trained here a little
    python benchmarks/compression.py --quick                          # does the script itself work?

Lengths are of rows of the test split chosen at random (--rows), bits/dim: of the file, of its
payload alone, of the path taken (the sum of the rows' own bits), and of −ELBO or −log p by one
pass, with the difference of the last two and its standard error over rows. A bound is of one draw a
row. Where it is asked for (--only grids), the same difference of grids of z from 1 to 2⁻¹², in
nats, of rows that got bits back; −ELBO is then the mean of ten draws.

Speed is of --timed rows on one thread, sides taking turns: writing without
the check and with it, reading, drawing as many rows in float64 (of what is walked through entry
by entry), all at once and as many at a time as the coder takes. Shares: the networks in float64
alone, all distributions walked through with the values known, and the coder alone, the bound: the
same symbols, pushed and popped with their probabilities given.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rounds
import torch
from results import Quantity, Result, at_least, at_most, lacking, missing, show
from torch import Tensor

import reparam as rp
from reparam.chain_rule import ChainRule
from reparam.cli.runs import Where
from reparam.coding import Compressed, code, decode, estimate
from reparam.coding.rows import raw_bits
from reparam.data.named_sets import DataUnavailable
from reparam.model import Density, Distribution, LatentVariable

GRID = 64  # cells of z to a unit, as in files
REACH = 16 * GRID


class Plan(NamedTuple):
    """A model to train where no run is given."""

    preset: str
    data: str
    parameters: dict[str, Any]


QUANTIZED = {"codes": 64, "channels": 32, "second_stage": "pixel-cnn"}
PLANS = {
    "vae": Plan("vae", "binarized-mnist", {"latent_dim": 40}),
    "vae-8bit": Plan("vae", "mnist", {"latent_dim": 50}),
    "gated-pixel-cnn": Plan("gated-pixel-cnn", "binarized-mnist", {"width": 24, "layers": 4}),
    "vq-vae": Plan("vq-vae", "binarized-mnist", QUANTIZED),
    "hierarchical-vae": Plan("hierarchical-vae", "binarized-mnist", {}),
    "ladder-vae": Plan("ladder-vae", "binarized-mnist", {}),
}


WALKED = ("gated-pixel-cnn",)


def goals_of(name: str, walked: bool) -> dict[str, Quantity]:
    """How fast one writes and reads: beside a sample where both walk, else images a second."""
    of = f"files by `{name}`:"
    if walked:
        return {
            side: Quantity(f"{of} to {side} / to sample as many", at_most(1.5))
            for side in ("write", "read")
        }
    return {
        side: Quantity(f"{of} to {side}", at_least(300), "images/s") for side in ("write", "read")
    }


class Subject(NamedTuple):
    """A trained model, and test examples of its data."""

    name: str
    model: Density
    x: Tensor


def opened(path: Path) -> Subject:
    run = Where(device="cpu").open(path)
    assert isinstance(run.model, Density)
    return Subject(path.name, run.model.eval(), mixed(run.data().test.x))


def trained(name: str, asked: argparse.Namespace) -> Subject:
    plan = PLANS[name]
    words = {} if plan.data == "mnist" else {"binarize": 0.5}
    data = rp.load_data("digits", **words) if asked.quick else rp.load_data(plan.data)
    how = {"budget": asked.budget} if asked.budget else {"epochs": asked.epochs}
    model = rp.build(plan.preset, data.space, seed=0, **plan.parameters)
    assert isinstance(model, Density)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        rp.fit(model, data, seed=0, device="cpu", out=out, progress=False, **how)
    return Subject(name, model.eval(), mixed(data.test.x))


def mixed(x: Tensor) -> Tensor:
    """Rows in a random order, always the same: those of a set may be sorted."""
    return x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]


def lengths(subject: Subject, asked: argparse.Namespace) -> dict[str, Any]:
    """Bits per dimension of a file, of its parts, and of what the model says."""
    x = subject.x[: asked.rows]
    coded = code(subject.model, x, rows=asked.batch, check=False)
    assert torch.equal(decode(subject.model, coded.file).x.to(x), x), "other values came back"
    said = estimate(subject.model, x)
    differences = (coded.bits - said).double()
    error = differences.std().item() / math.sqrt(len(x))
    entries = x.numel()
    return {
        "run": subject.name,
        "way": coded.way,
        "rows": len(x),
        "raw bits/dim": round(len(x) * raw_bits(subject.model.space) / entries, 4),
        "file": round(8 * len(coded.file) / entries, 5),
        "payload": round(coded.payload_bits / entries, 5),
        "header": round(coded.header_bits / entries, 5),
        "path": round(coded.bits.sum().item() / entries, 5),
        "model": round(said.sum().item() / entries, 5),
        "payload over path, bits": round(coded.payload_bits - coded.bits.sum().item(), 1),
        "path over model, bits a row": f"{differences.mean().item():.3f} ± {error:.3f}",
        "file over model, %": round(100 * (8 * len(coded.file) / said.sum().item() - 1), 3),
        **popped(coded),
    }


def popped(coded: Compressed) -> dict[str, Any]:
    """What came back from the stack beside what was expected: do dirty bits look like noise?"""
    if coded.way != "bits back":
        return {}
    back, expected = (bits[coded.paid].mean().item() for bits in (coded.back, coded.expected))
    return {"first rows": coded.first, "back": round(back, 2), "expected": round(expected, 2)}


def grids(subject: Subject, asked: argparse.Namespace) -> dict[str, Any]:
    """By how many nats a row the path is longer than −ELBO, by the grid of z."""
    x = subject.x[: asked.rows]
    said = torch.stack([estimate(subject.model, x, seed=seed) for seed in range(10)]).mean(0)
    found: dict[str, Any] = {"run": subject.name, "rows": len(x)}
    for bits in (0, 1, 2, 3, 4, 6, 8, 10, 12):
        coded = code(subject.model, x, rows=asked.batch, check=False, grid=bits)
        excess = math.log(2) * (coded.bits - said)[coded.paid]
        error = excess.std().item() / math.sqrt(len(excess))
        found[f"2^-{bits}"] = f"{excess.mean().item():.2f} ± {error:.2f}"
    return found


class Leaf(NamedTuple):
    """Symbols, and all that the coder needs to know of them."""

    symbols: np.ndarray
    family: Any
    parameters: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, p: Distribution, values: Tensor) -> Leaf:
        import constriction

        table = p.table()
        if table is None:
            shape, model = values.shape, constriction.stream.model
            variance = p.variance
            assert variance is not None, f"{type(p).__name__}: expected a normal"
            numbers = (p.center.expand(shape), variance.sqrt().expand(shape))
            symbols = (values * GRID).round()
            family = model.QuantizedGaussian(-REACH, REACH)
            return cls(whole(symbols), family, tuple(flat(GRID * n) for n in numbers))
        levels = table.shape[-1]
        if levels == 2:
            ones = flat(table.expand(len(values), -1, -1)[..., 1])
            return cls(whole(values), constriction.stream.model.Bernoulli(perfect=False), (ones,))
        rows = table.expand(len(values), -1, -1).reshape(-1, levels).numpy()
        return cls(whole(values), constriction.stream.model.Categorical(perfect=False), (rows,))

    def push(self, coder: Any) -> None:
        coder.encode_reverse(self.symbols, self.family, *self.parameters)

    def pop(self, coder: Any) -> None:
        coder.decode(self.family, *self.parameters)


def whole(values: Tensor) -> np.ndarray:
    return values.flatten().to(torch.int32).numpy()


def flat(values: Tensor) -> np.ndarray:
    return values.double().flatten().contiguous().numpy()


def parts(p: Distribution, x: Tensor) -> list[tuple[Distribution, Tensor]]:
    """What a walk visits when all values are known, down to independent entries."""
    found: list[tuple[Distribution, Tensor]] = []

    def visit(part: Distribution, sites: Any) -> Tensor:
        values = p.part(x, sites)
        found.extend([(part, values)] if part.by_entry is not None else parts(part, values))
        return values

    p.walk(visit)
    return found


@torch.inference_mode()
def walked(model: Density, x: Tensor, batch: int) -> list[tuple[list, list]]:
    """By batch, what is pushed and what is popped: all that networks do, without a coder."""
    found = []
    for rows in x.double().split(batch):
        if isinstance(model, ChainRule):
            found.append((parts(model.distribution(len(rows)), rows), []))
            continue
        assert isinstance(model, LatentVariable)
        q = model.posterior(rows)
        z = q.center
        pushed = parts(model.likelihood(z), rows) + parts(model.prior().repeat(len(rows)), z)
        found.append((pushed, parts(q, z) if model.log_prob_draws else []))
    return found


def leaves(model: Density, x: Tensor, batch: int) -> tuple[list[Leaf], list[Leaf]]:
    """All that is pushed and all that is popped while a file is written."""
    with torch.inference_mode():
        both = walked(model, x, batch)
        pushed = [Leaf.of(p, values) for these, _ in both for p, values in these]
        return pushed, [Leaf.of(p, values) for _, these in both for p, values in these]


def coder_alone(pushed: list[Leaf], popped: list[Leaf], reading: bool) -> Callable[[], None]:
    """The stack's work in one direction; what it starts with is filled outside of the clock."""
    import constriction

    def filled() -> Any:
        coder = constriction.stream.stack.AnsCoder()
        for leaf in popped if not reading else pushed:
            leaf.push(coder)
        return coder

    ready = filled()

    def work() -> None:
        coder = ready.clone()
        for leaf in reversed(pushed if reading else popped):
            leaf.pop(coder)
        for leaf in popped if reading else pushed:
            leaf.push(coder)

    return work


def speeds(subject: Subject, asked: argparse.Namespace) -> Iterator[Result]:
    """Images a second both ways, and what they are made of."""
    count, walks = len(subject.x[: asked.timed]), isinstance(subject.model, ChainRule)
    seconds = rounds.measured(sides_of(subject, asked), asked)
    said = {side: f"{statistics.median(taken):.4g} s" for side, taken in seconds.items()}
    show_json({"run": subject.name, "rows": count, "batch": asked.batch, **said})
    for side, goal in goals_of(subject.name, walks).items():
        if walks:
            yield goal.found(rounds.quotients(seconds, side, "sample"))
        else:
            yield goal.found(count / taken for taken in seconds[side])


def sides_of(subject: Subject, asked: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """Files both ways, networks and coder alone, and as many samples where the model walks."""
    x, model = subject.x[: asked.timed], subject.model
    exact = copy.deepcopy(model).double()
    file = code(model, x, rows=asked.batch, check=False).file
    pushed, popped = leaves(exact, x, asked.batch)
    sides: dict[str, Callable[[], object]] = {
        "write": lambda: code(model, x, rows=asked.batch, check=False),
        "write and check": lambda: code(model, x, rows=asked.batch),
        "read": lambda: decode(model, file),
        "networks": lambda: walked(exact, x, asked.batch),
        "coder, writing": coder_alone(pushed, popped, reading=False),
        "coder, reading": coder_alone(pushed, popped, reading=True),
    }
    if isinstance(model, ChainRule):
        batches = [len(part) for part in x.split(asked.batch)]
        sides["sample"] = lambda: exact.sample(len(x))
        sides["sample in batches"] = lambda: [exact.sample(n) for n in batches]
    return sides


def show_json(found: dict[str, Any]) -> None:
    print(json.dumps(found, ensure_ascii=False), flush=True)


def results(asked: argparse.Namespace) -> Iterator[Result]:
    """Those of speed; what else was asked for is printed."""
    names = asked.models or ([] if asked.runs else list(PLANS))
    without = missing("constriction", "compress")
    subjects = {path.name: lambda path=path: opened(path) for path in asked.runs}
    subjects |= {name: lambda name=name: trained(name, asked) for name in names}
    for name, make in subjects.items():
        try:
            subject, lacks = (None, without) if without else (make(), "")
        except DataUnavailable:
            subject, lacks = None, "the data (REPARAM_DATA)"
        if subject is None:
            yield from lacking(goals_of(name, name in WALKED).values(), lacks)
            continue
        if asked.only in (None, "lengths"):
            show_json(lengths(subject, asked))
        if asked.only == "grids":
            show_json(grids(subject, asked))
        if asked.only in (None, "speeds"):
            yield from speeds(subject, asked)


def main() -> None:
    parser = rounds.parser(__doc__, rounds=5, threads=1)
    parser.add_argument("models", nargs="*", help=f"of {', '.join(PLANS)}; none: all, or --runs")
    parser.add_argument("--runs", nargs="+", type=Path, default=[], help="folders of trained runs")
    parser.add_argument("--epochs", type=int, default=1, help="of models that are trained here")
    parser.add_argument("--budget", type=float, help="seconds of training in their place")
    parser.add_argument("--rows", type=int, default=10_000, help="whose file is measured")
    parser.add_argument("--timed", type=int, default=256, help="rows of which the time is taken")
    parser.add_argument("--batch", type=int, default=32, help="rows of networks in the coder")
    parser.add_argument("--only", choices=["lengths", "speeds", "grids"])
    parser.add_argument("--quick", action="store_true", help="small data, a few rows, one round")
    asked = parser.parse_args()
    if asked.quick:
        asked.rows, asked.timed, asked.rounds, asked.batch = 64, 32, 1, 16
    torch.set_num_threads(1 if asked.cpu else asked.threads)
    print(rounds.machine(asked))
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
