"""Toy data whose true density is known: drawn by a name and a number of rows, always the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from reparam.data.contents import Array, Contents, SplitArrays
from reparam.space import check_shape

SIZES = {"train": 50_000, "valid": 5_000, "test": 10_000}
POINTS = 4096  # whose density is computed at a time

SQUARES, SIDE = 4, 2.0  # of the checkerboard, in a row and as a length
RADII, WIDTH = (1.0, 2.0, 3.0), 0.2  # of the middle of each ring, and across it
ARMS, ALONG, ACROSS, TWIST = 5, 0.3, 0.1, 0.25  # of the pinwheel; deviations at radius 1
FARTHEST = 700.0  # radius up to which the pinwheel's twist grows: its exponential is finite
BLUR = 0.1  # deviation of the normal that draws moons and spirals off their curves
NODES = {"two-moons": 96, "spirals": 320}  # of the quadrature along each of two curves
HALF, CELLS = 4.0, 1000  # of the energies: the square [−4, 4]² and its cells along a side
COMPONENTS = ((0.3, -2.0, 0.4), (0.5, 0.0, 0.7), (0.2, 2.5, 0.3))  # weight, mean, deviation


@dataclass(frozen=True)
class Toy:
    """A density in closed form, or by quadrature, that can be drawn from.

    Args:
        about: one sentence on what it is.
        draw: n rows (n, D) by a generator, and their labels: which of several curves or arms they
            are of; None of toys without classes, those that have ``edges`` among them.
        log_density: in nats, (N,), of points (N, D); −∞ where there are none.
        edges: whether a row just inside its support may be rounded out of it.
        dimension: D.
    """

    about: str
    draw: Callable[[np.random.Generator, int], tuple[Array, Array | None]]
    log_density: Callable[[Array], Array]
    edges: bool = False
    dimension: int = 2


def toy_contents(name: str) -> Contents:
    """The three splits of a toy, with its true density.

    >>> [len(split.x) for split in toy_contents("rings").splits.values()]
    [50000, 5000, 10000]
    """
    splits = {split: SplitArrays(*draw(name, n)) for split, n in SIZES.items()}
    return Contents(splits, name, name, true_log_density=partial(log_density, name))


def draw(name: str, n: int) -> tuple[Array, Array | None]:
    """n rows (n, D) of a toy in float32, seeded by its name and n, and their labels, if any.

    >>> x, labels = draw("two-moons", 3)
    >>> x.shape, labels.tolist()
    ((3, 2), [1, 1, 0])
    """
    toy, rng = TOYS[name], np.random.default_rng([n, *name.encode()])
    x, labels = toy.draw(rng, n)
    x = x.astype(np.float32)
    while toy.edges and (outside := np.isneginf(toy.log_density(x.astype(float)))).any():
        x[outside] = toy.draw(rng, int(outside.sum()))[0]
    return x, labels


def log_density(name: str, x: Tensor) -> Tensor:
    """The true log p*(x) of a toy in nats, (N,) in float64, of points (N, D).

    Raises:
        ValueError: points of another dimension.

    >>> log_density("checkerboard", torch.tensor([[-3.0, -3.0], [-3.0, -1.0]]))
    tensor([-3.4657,    -inf], dtype=torch.float64)
    """
    toy = TOYS[name]
    check_shape(x, (toy.dimension,))
    parts = [toy.log_density(part.double().cpu().numpy()) for part in x.detach().split(POINTS)]
    return torch.from_numpy(np.concatenate(parts))


def _log_sum(terms: Array) -> Array:
    """The logarithm of the sum of the exponentials (N, K), over K."""
    top = terms.max(1)
    total: Array = top + np.log(np.exp(terms - top[:, None]).sum(1))
    return total


def _log_normal(x: Array, deviation: float | Array) -> Array:
    return -0.5 * (x / deviation) ** 2 - np.log(deviation) - 0.5 * np.log(2 * np.pi)


def _inside(inside: Array, log_area: float) -> Array:
    return np.where(inside, -log_area, -np.inf)


def _draw_checkerboard(rng: np.random.Generator, n: int) -> tuple[Array, None]:
    column = rng.integers(SQUARES, size=n)
    row = 2 * rng.integers(SQUARES // 2, size=n) + column % 2
    corner = np.stack([column, row], 1) - SQUARES / 2
    return SIDE * (corner + rng.uniform(size=(n, 2))), None


def _checkerboard(x: Array) -> Array:
    square = np.floor(x / SIDE)
    on_board = (np.abs(square + 0.5) < SQUARES / 2).all(1)
    return _inside(on_board & (square.sum(1) % 2 == 0), np.log(SQUARES**2 / 2 * SIDE**2))


def _draw_rings(rng: np.random.Generator, n: int) -> tuple[Array, None]:
    middle = rng.choice(RADII, n, p=np.divide(RADII, sum(RADII)))  # areas go as the radii
    squared = rng.uniform((middle - WIDTH / 2) ** 2, (middle + WIDTH / 2) ** 2)
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.sqrt(squared)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), None


def _rings(x: Array) -> Array:
    apart = np.abs(np.hypot(*x.T)[:, None] - RADII)
    return _inside((apart <= WIDTH / 2).any(1), np.log(2 * np.pi * sum(RADII) * WIDTH))


def _turned(x: Array, angle: Array) -> Array:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], 1)


def _arm_angle(x: Array, arm: int | Array) -> Array:
    """How far a point is turned: by its radius, which turning keeps, so that areas stay."""
    return 2 * np.pi * arm / ARMS + TWIST * np.exp(np.minimum(np.hypot(*x.T), FARTHEST))


def _draw_pinwheel(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    x = rng.normal((1, 0), (ALONG, ACROSS), (n, 2))
    arm = rng.integers(ARMS, size=n)
    return _turned(x, _arm_angle(x, arm)), arm


def _pinwheel(x: Array) -> Array:
    arms = (_turned(x, -_arm_angle(x, arm)) for arm in range(ARMS))
    terms = [_log_normal(y - (1, 0), np.array([ALONG, ACROSS])).sum(1) for y in arms]
    return _log_sum(np.stack(terms, 1)) - np.log(ARMS)


def _moons(place: Array, lower: Array) -> Array:
    angle = np.pi * place
    x = np.where(lower, 1 - np.cos(angle), np.cos(angle))
    return np.stack([x, np.where(lower, 0.5 - np.sin(angle), np.sin(angle))], 1)


def _arms(place: Array, other: Array) -> Array:
    """The root spreads the rows about evenly along the spirals, of one and a half turns each."""
    angle = 3 * np.pi * np.sqrt(place)
    sign = np.where(other, -1, 1)
    return (sign * angle / 3)[:, None] * np.stack([-np.cos(angle), np.sin(angle)], 1)


Curves = Callable[[Array, Array], Array]  # (place in [0, 1], which of two curves) to points (N, 2)


def _draw_beside(curves: Curves, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    place, which = rng.uniform(size=n), rng.uniform(size=n) < 0.5
    return curves(place, which) + BLUR * rng.normal(size=(n, 2)), which.astype(np.int64)


def _beside(curves: Curves, nodes: int, x: Array) -> Array:
    """∫ N(x; curve(u), blur²) du by Gauss and Legendre, u = s² as the spirals have a root at 0."""
    at, weight = np.polynomial.legendre.leggauss(nodes)
    s, weight = (at + 1) / 2, weight * (at + 1) / 2  # du = 2 s ds, and ds is half of d(at)
    centers = [curves(s**2, np.full(nodes, which)) for which in (False, True)]
    apart = x[:, None] - np.concatenate(centers)
    log_weight = np.log(np.tile(weight, 2) / 2)
    return _log_sum(log_weight + _log_normal(apart, BLUR).sum(2))


def _bump(x: Array, deviation: float) -> Array:
    return -0.5 * (x / deviation) ** 2


def _energy(which: int, x: Array, y: Array) -> Array:
    """−U of table 1 of Rezende & Mohamed 2015, the logarithm of a density without its constant."""
    if which == 1:
        either = np.logaddexp(_bump(x - 2, 0.6), _bump(x + 2, 0.6))
        return _bump(np.hypot(x, y) - 2, 0.4) + either
    wave = y - np.sin(np.pi * x / 2)
    if which == 2:
        return _bump(wave, 0.4)
    if which == 3:
        apart = 3 * np.exp(_bump(x - 1, 0.6))
        return np.logaddexp(_bump(wave, 0.35), _bump(wave + apart, 0.35))
    apart = 3 / (1 + np.exp((1 - x) / 0.3))
    return np.logaddexp(_bump(wave, 0.4), _bump(wave + apart, 0.35))


@cache
def _cells(which: int) -> tuple[Array, float]:
    """The energy in the middle of all cells, and the logarithm of its integral over them."""
    middles = (np.arange(CELLS) + 0.5) * (2 * HALF / CELLS) - HALF
    log_mass = _energy(which, middles[:, None], middles)
    return log_mass, float(np.log(np.exp(log_mass).mean()) + 2 * np.log(2 * HALF))


def _draw_energy(which: int, rng: np.random.Generator, n: int) -> tuple[Array, None]:
    shares = np.exp(_cells(which)[0]).ravel().cumsum()
    found = shares.searchsorted(rng.uniform(0, shares[-1], n), side="right")
    cell = np.stack(np.divmod(found, CELLS), 1)
    return (cell + rng.uniform(size=(n, 2))) * (2 * HALF / CELLS) - HALF, None


def _of_cells(which: int, x: Array) -> Array:
    """Of the cell that a point lies in: what is drawn has this density exactly."""
    cell = np.floor((x + HALF) * (CELLS / (2 * HALF))).astype(int)
    inside = ((cell >= 0) & (cell < CELLS)).all(1)
    energy, log_total = _cells(which)
    column, row = np.clip(cell, 0, CELLS - 1).T
    return np.where(inside, energy[column, row] - log_total, -np.inf)


def _draw_mixture(rng: np.random.Generator, n: int) -> tuple[Array, None]:
    weight, mean, deviation = np.transpose(COMPONENTS)
    which = rng.choice(len(COMPONENTS), n, p=weight)
    return rng.normal(mean[which], deviation[which])[:, None], None


def _mixture(x: Array) -> Array:
    weight, mean, deviation = np.transpose(COMPONENTS)
    return _log_sum(np.log(weight) + _log_normal(x - mean, deviation))


def _curves(name: str, about: str, curves: Curves) -> Toy:
    return Toy(about, partial(_draw_beside, curves), partial(_beside, curves, NODES[name]))


def _energy_toy(which: int, about: str) -> Toy:
    how = "Rezende & Mohamed 2015, within −4 and 4; 50k/5k/10k."
    draw, log_p = partial(_draw_energy, which), partial(_of_cells, which)
    return Toy(f"{about}, energy {which} of {how}", draw, log_p, edges=True)


TOYS = {
    "two-moons": _curves("two-moons", "Two half circles, blurred, in 2-D; 50k/5k/10k.", _moons),
    "rings": Toy(
        "Three thin rings of one density, with sharp edges, in 2-D; 50k/5k/10k.",
        _draw_rings,
        _rings,
        edges=True,
    ),
    "checkerboard": Toy(
        "Eight squares of a board of 4 × 4, each uniform, in 2-D; 50k/5k/10k.",
        _draw_checkerboard,
        _checkerboard,
        edges=True,
    ),
    "pinwheel": Toy(
        "Five normal arms twisted about the origin, in 2-D; 50k/5k/10k.", _draw_pinwheel, _pinwheel
    ),
    "spirals": _curves("spirals", "Two spirals, blurred, in 2-D; 50k/5k/10k.", _arms),
    "energy-1": _energy_toy(1, "Two facing crescents in 2-D"),
    "energy-2": _energy_toy(2, "A wave in 2-D"),
    "energy-3": _energy_toy(3, "A wave that splits and joins in 2-D"),
    "energy-4": _energy_toy(4, "A wave that forks in 2-D"),
    "mixture-1d": Toy(
        "A mixture of three normals, rows of one number; 50k/5k/10k.",
        _draw_mixture,
        _mixture,
        dimension=1,
    ),
}
