"""Whether every preset computes on the device what it computes on the CPU, and comes back."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mixed_speed
import torch
from gpu_task import Row, Settings, Task
from torch import Tensor

import reparam as rp
from reparam import numerics
from reparam.checkpoint import read_tensors
from reparam.model import Descend, Generator
from reparam.presets import PRESETS
from reparam.train.folder import STATE_FILE
from reparam.train.state import validation_batches

# Sums of a few hundred float32 products in a few layers, in another order: 1e-7 each.
LOSS, GRADIENT = 1e-4, 1e-3
# Whatever of these a preset takes; what else makes one small it says itself.
SMALL: dict[str, Any] = {"latent_dim": 4, "hidden": (32,), "dropout": 0.0}


def tasks(settings: Settings, presets: list[str]) -> dict[str, list[Task]]:
    """On digits, and on a table where a preset takes columns of all kinds."""
    on = {"": digits(), ", table": few(mixed_speed.sides()["mixed"])}
    pairs = [(preset, where) for where in on for preset in presets]
    pairs = [pair for pair in pairs if fits(pair[0], on[pair[1]].space)]

    def task(of: Callable[..., Iterable[Row]], preset: str, where: str) -> Task:
        return Task(f"{preset}{where}", lambda: of(preset, on[where], settings))

    parts = {"contract": contract, "scores": scores}
    return {part: [task(of, *pair) for pair in pairs] for part, of in parts.items()}


def fits(preset: str, space: rp.Space) -> bool:
    return PRESETS[preset].accepts.refusal(space) is None


def contract(preset: str, data: rp.Data, settings: Settings) -> Iterator[Row]:
    """All points, of a model that was trained for a moment on the CPU."""
    torch.backends.cudnn.allow_tf32 = False  # the CPU has no such rounding
    model = small(preset, data.space)
    rp.fit(model, data, epochs=1, device="cpu", progress=False)
    yield from losses(model, data, settings.device)
    if isinstance(model, Generator):
        yield samples(model, settings.device)
    yield saved(model, settings.device)
    if any(isinstance(stage, Descend) for stage in model.stages):
        yield resumed(preset, data, settings.device)


def scores(preset: str, data: rp.Data, settings: Settings) -> Iterator[Row]:
    """Everything that is measured of a model trained on the device, there and on the CPU."""
    model = small(preset, data.space)
    rp.fit(model, data, epochs=2, device=settings.device, progress=False)
    there, here = rp.evaluate(model, data), rp.evaluate(copy.deepcopy(model).cpu(), data)
    yield Row("scores", str(len(there)))
    timed = {name for name, score in there.items() if "second" in f"{name} {score.unit}"}
    names = (there.keys() | here.keys()) - timed
    apart = [name for name in names if not agree(there.get(name), here.get(name))]
    yield Row("apart", ", ".join(sorted(apart)) or "none")


def agree(one: rp.Score | None, other: rp.Score | None) -> bool:
    """Within float32 rounding, or four standard errors of what draws decide."""
    if one is None or other is None:
        return False
    error = math.hypot(one.stderr or 0.0, other.stderr or 0.0)
    return abs(one.value - other.value) <= 4 * error + LOSS * abs(other.value) + 1e-6


def digits() -> rp.Data:
    """A part of the digits of 8 × 8."""
    return few(rp.load_data("digits"))


def few(data: rp.Data) -> rp.Data:
    rows = {"train": 200, "valid": 50, "test": 50}
    parts = [getattr(data, name).take(slice(0, n)) for name, n in rows.items()]
    return rp.Data(*parts, space=data.space, name=data.name)


def small(preset: str, space: rp.Space) -> Any:
    chosen = PRESETS[preset]
    wanted = {name: value for name, value in SMALL.items() if name in chosen.parameters}
    torch.manual_seed(0)
    return chosen(space, **wanted | dict(chosen.small))


@contextmanager
def noise_from_the_cpu(seed: int) -> Iterator[None]:
    """Inside, losses draw the same noise on every device."""
    generator, drawn = torch.Generator().manual_seed(seed), numerics.noise

    def noise(like: Tensor, kind: Any = "normal", _: object = None) -> Tensor:
        return drawn(like, kind, generator)

    numerics.noise = noise
    try:
        yield
    finally:
        numerics.noise = drawn


def losses(model: Any, data: rp.Data, device: str) -> list[Row]:
    """Loss and gradients of every player: largest differences, relative."""
    sides = [copy.deepcopy(model).train(), copy.deepcopy(model).to(device).train()]
    loss, gradient = 0.0, 0.0
    descents = [stage for stage in model.stages if isinstance(stage, Descend)]
    players = [p.name for d in descents for p in d.players] or ["model"]
    for player in players:
        found = []
        for side in sides:
            side.zero_grad()
            with noise_from_the_cpu(1):
                (batch,) = validation_batches(side, data.train, side.anchor.device, slice(32))
                objective = side.loss(batch.x, batch.c, player, **batch.targets).objective
            if objective.requires_grad:
                objective.backward()
            found.append((objective.detach().cpu().double(), gradients(side)))
        (a, g), (b, h) = found
        loss = max(loss, float((a - b).abs() / a.abs()))
        if len(g):
            gradient = max(gradient, float((g - h).norm() / g.norm()))
    return [
        Row("loss, relative", verdict(loss, LOSS)),
        Row("gradient, relative", verdict(gradient, GRADIENT)),
    ]


def gradients(model: torch.nn.Module) -> Tensor:
    found = [p.grad.cpu().double().flatten() for p in model.parameters() if p.grad is not None]
    return torch.cat(found) if found else torch.empty(0)


def verdict(difference: float, allowed: float) -> str:
    """NaN is no agreement."""
    return f"{difference:.1e}: {'equal' if difference <= allowed else 'DIFFERENT'}"


def samples(model: Generator, device: str) -> Row:
    """Seeded by a generator of the device, and with one of the CPU what the CPU draws."""
    moved = copy.deepcopy(model).to(device).eval()

    def draw(side: Generator, seed: int, generator: str) -> Tensor:
        return side.sample(16, generator=torch.Generator(generator).manual_seed(seed))

    one, again, other = (draw(moved, seed, device) for seed in (1, 1, 2))
    seeded = torch.equal(one, again) and not torch.equal(one, other)
    fine = seeded and bool(one.isfinite().all()) and one.device.type == torch.device(device).type
    here, there = draw(model.eval(), 3, "cpu"), draw(moved, 3, "cpu").cpu()
    same = float((here == there).float().mean())
    return Row("samples", f"{'seeded' if fine else 'NOT SEEDED'}, {same:.1%} those of the CPU")


def saved(model: Any, device: str) -> Row:
    """Every number, there and back."""
    moved = copy.deepcopy(model).to(device)
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "there", Path(folder) / "here"
        rp.save(moved, first)
        rp.save(model, second)
        pairs = [(rp.load(first), moved.cpu()), (rp.load(second).to(device).cpu(), model)]
    same = all(equal_weights(a.state_dict(), b.state_dict()) for a, b in pairs)
    return Row("saved and loaded", "equal" if same else "DIFFERENT")


def equal_weights(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def resumed(preset: str, data: rp.Data, device: str) -> Row:
    """A run in two pieces beside one in one piece, and that beside itself once more."""
    said: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:

        def trained(name: str, *epochs: int) -> Tensor:
            out, how = Path(folder) / name, {"progress": False}
            # A falling learning rate would depend on how many epochs there are to be in all.
            once = {"epochs": epochs[0], "device": device, "schedule": "constant"}
            history = rp.fit(small(preset, data.space), data, out=out, **once, **how)
            said.update(w for w in history.warnings if "captured" in w)
            for more in epochs[1:]:
                rp.resume(out, data=data, epochs=more, **how)
            tensors = read_tensors(out / STATE_FILE)[0]
            weights = [t.double().flatten() for k, t in tensors.items() if k.startswith("model/")]
            return torch.cat(weights)

        whole, pieces, again = trained("whole", 2), trained("pieces", 1, 2), trained("again", 2)
    why = f"; {said.pop()}" if said else ""
    if torch.equal(whole, pieces):
        return Row("resumed", f"equal bit for bit{why}")
    far = [float((whole - other).abs().max()) for other in (pieces, again)]
    return Row("resumed", f"differs by {far[0]:.1e}; two whole runs by {far[1]:.1e}{why}")
