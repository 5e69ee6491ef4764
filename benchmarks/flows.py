"""Flows beside zuko: the training step, log p and samples; and regret on points of the plane.

    python benchmarks/flows.py                                # speed, 64 entries, batches of 512
    python benchmarks/flows.py --toys checkerboard two-moons --budget 60s
    python benchmarks/flows.py --toys checkerboard rings --budget 75s --peer

The same architectures on both sides, float32, on one thread, in turn. Regret is
mean log p* − log p on test rows, of models trained by `fit` for so many seconds each; `--peer`: of
zuko's spline flow as well, the architecture of `spline-autoregressive`, in the same seconds.
"""

from __future__ import annotations

import argparse
import functools
import math
import time
from collections.abc import Callable, Iterator

import torch
from results import Quantity, Result, at_least, lacking, missing, show
from rounds import machine, measured, parser, quotients, tell

import reparam as rp
from reparam.data import Data
from reparam.presets import find_preset

FEATURES, BATCH, LAYERS, HIDDEN = 64, 512, 5, (128, 128)
BINS = 8
PRESETS = ("spline-coupling", "spline-autoregressive", "real-nvp", "maf", "nice", "planar-flow")
Side = tuple[rp.Flow, torch.nn.Module]
STEP, DRAWS = "step", f"{BATCH} samples"
GOALS = {
    (name, what): Quantity(f"`{name}`, {what}: zuko / ours", goal and at_least(goal))
    for name, goals in {
        "maf": {STEP: 1.0, DRAWS: 8.0},
        "real-nvp": {STEP: 1.0, DRAWS: None},  # its splits are others in zuko
        "spline-autoregressive": {STEP: 1.0, DRAWS: 10.0},
    }.items()
    for what, goal in goals.items()
}


def pairs() -> dict[str, Side]:
    """Ours and zuko's, alike."""
    import zuko

    space, spline = rp.Space((FEATURES,), "real"), {"bins": BINS, "layers": 3, "hidden": HIDDEN}
    theirs = {"hidden_features": HIDDEN, "transforms": LAYERS}
    return {
        "maf": (rp.build("maf", space, layers=LAYERS), zuko.flows.MAF(FEATURES, **theirs)),
        "real-nvp": (
            rp.build("real-nvp", space, layers=LAYERS),
            zuko.flows.RealNVP(FEATURES, **theirs),
        ),
        "spline-autoregressive": (
            rp.build("spline-autoregressive", space, **spline),
            zuko.flows.NSF(FEATURES, bins=BINS, transforms=3, hidden_features=HIDDEN),
        ),
    }


def steps(sides: Side) -> tuple[Callable[[], object], Callable[[], object]]:
    """A step of Adam on random rows, on either side."""
    x = torch.randn(BATCH, FEATURES)

    def of(model: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], object]:
        optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            loss().backward()
            optimizer.step()

        return step

    ours, theirs = sides
    return of(ours, lambda: ours(x).objective), of(theirs, lambda: -theirs().log_prob(x).mean())


def draws(sides: Side) -> tuple[Callable[[], object], Callable[[], object]]:
    ours, theirs = sides

    @torch.no_grad()
    def zukos() -> object:
        return theirs().sample((BATCH,))

    return lambda: ours.sample(BATCH), zukos


def results(asked: argparse.Namespace) -> Iterator[Result]:
    """Samples of a fifth of the rounds, as they take seconds."""
    lacks = missing("zuko")
    if lacks:
        yield from lacking(GOALS.values(), lacks)
        return
    few = argparse.Namespace(**vars(asked) | {"rounds": max(3, asked.rounds // 5)})
    for name, both in pairs().items():
        for what, made, how in ((STEP, steps(both), asked), (DRAWS, draws(both), few)):
            seconds = measured(dict(zip(("ours", "zuko"), made, strict=True)), how)
            print(f"{name}, {what}:")
            tell(seconds)
            yield GOALS[name, what].found(quotients(seconds, "zuko", "ours"))


def ours(preset: str, data: Data, seconds: float) -> torch.Tensor:
    """log p of test rows by a preset, trained as its defaults say."""
    model = rp.build(preset, data.space, seed=0)
    train = find_preset(preset).train_on(data.space)
    rp.fit(model, data, train, budget=seconds, progress=False, device="cpu")
    with torch.no_grad():
        return model.log_prob(data.test.x).value.double()


def zukos(data: Data, seconds: float) -> torch.Tensor:
    """The same by zuko's flow: standardized rows, batches of 512, Adam with a falling rate."""
    import zuko

    torch.manual_seed(0)
    x = data.train.x.float()
    mean, std = x.mean(0), x.std(0)
    sizes = {"bins": 16, "transforms": 3, "hidden_features": (64, 64)}
    flow = zuko.flows.NSF(data.space.dimension, **sizes)
    optimizer = torch.optim.Adam(flow.parameters(), 3e-3, fused=True)
    start = time.perf_counter()
    while (past := (time.perf_counter() - start) / seconds) < 1:
        optimizer.param_groups[0]["lr"] = 3e-3 * 0.5 * (1 + math.cos(math.pi * past))
        batch = (x[torch.randint(len(x), (BATCH,))] - mean) / std
        optimizer.zero_grad(set_to_none=True)
        (-flow().log_prob(batch).mean()).backward()
        optimizer.step()
    with torch.no_grad():
        log_p = flow().log_prob((data.test.x.float() - mean) / std)
    return log_p.double() - std.log().sum()


def toys(names: list[str], presets: list[str], seconds: float, peer: bool) -> None:
    sides = {f"`{preset}`": functools.partial(ours, preset) for preset in presets}
    if peer:
        sides["zuko NSF, 3 × 16 bins"] = zukos
    print(f"Regret in nats after {seconds:g} s each.\n\n| | " + " | ".join(sides) + " |")
    print("|---" * (1 + len(sides)) + "|")
    for name in names:
        data = rp.load_data(name)
        found = []
        for side in sides.values():
            gap = data.true_log_probs("test") - side(data, seconds)
            found.append(f"{gap.mean():.3f} ± {gap.std() / len(gap) ** 0.5:.3f}")
        print(f"| {name} | " + " | ".join(found) + " |", flush=True)


def main() -> None:
    arguments = parser(__doc__, rounds=15, threads=1)
    arguments.add_argument("--toys", nargs="+", default=[])
    arguments.add_argument("--presets", nargs="+", default=list(PRESETS))
    arguments.add_argument("--budget", default="60", help="seconds of each training")
    arguments.add_argument("--peer", action="store_true", help="zuko on the toys, too")
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    if asked.toys:
        toys(asked.toys, asked.presets, float(asked.budget.removesuffix("s")), asked.peer)
        return
    print(machine(asked))
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
