"""How a run's model draws: options of which each model has its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from reparam.cli.options import option
from reparam.limits import called

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.inspection import FromNoise
    from reparam.model import Generator

SamplerName = Literal["ddpm", "ddim", "reverse-sde", "predictor-corrector", "ode"]


@Parameter(name="*")
@dataclass(frozen=True)
class Drawing:
    """How x is drawn, where the model leaves a choice.

    Args:
        temperature: Of a flow: by what its noise is scaled; below 1 no draws of p(x); none: 1.
        sampler: Of a diffusion model; none: the run's own.
        sampling_steps: Of a diffusion model; none: as many as by the run's own sampler.
        guidance: Of a conditional diffusion model: 1 draws of p(x|c), 0 ignores c, more
            exaggerates it; none: 1.
        eta: Of ddim: from 0, no noise on the way, to 1.
        corrections: Of predictor-corrector, after every step.
        snr: Of predictor-corrector: signal-to-noise ratio of a correction.
        method: Of ode: heun, ddim or, in continuous time, rk4.
    """

    temperature: float | None = None
    sampler: Annotated[SamplerName | None, option()] = None
    sampling_steps: int | None = None
    guidance: float | None = None
    eta: float | None = None
    corrections: int | None = None
    snr: float | None = None
    method: Annotated[Literal["heun", "ddim", "rk4"] | None, option()] = None

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def of(self, model: Generator) -> Generator:
        """The model, drawn as was asked for.

        Raises:
            ValueError: options that the model does not have.
        """
        asked = {name: v for name, v in self.given.items() if name != "temperature"}
        if not asked:
            return model
        view = model.from_noise
        if view is None:
            first = next(iter(asked))
            kind = type(model).__name__
            raise ValueError(f"{first}: {kind} is no diffusion model; {_instead(model)}")
        with called("steps", "sampling_steps"):
            return view.by(**_way(view, asked))

    def draw(self, model: Generator) -> Callable[..., Tensor]:
        """``sample`` of the model, at a temperature where it has one."""
        from reparam.models.invertible import Invertible, check_temperature

        if self.temperature is None or self.temperature == 1:
            return model.sample
        if not isinstance(model, Invertible):
            name = type(model).__name__
            raise ValueError(
                f"temperature: {name} has no base to scale, only flows do; {_instead(model)}"
            )
        return partial(model.sample, temperature=check_temperature(self.temperature))

    def told(self, model: Generator) -> str:
        """How the samples were drawn, to be said of them."""
        if self.temperature not in (None, 1):
            return f" at temperature {self.temperature:g}, not of p(x),"
        view = model.from_noise
        if view is None:
            return ""
        name, own = view.usual
        guided = f", guidance {own['guidance']:g}, not of p(x|c)," if own["guidance"] != 1 else ""
        return f" by {name} in {own['steps']} steps{guided}"


AS_IT_DRAWS = Drawing()


@contextmanager
def steps_shown(doing: str) -> Iterator[None]:
    """A bar of the steps that a model takes inside, where it takes several."""
    from reparam.news import listening
    from reparam.progress import bar

    with bar(doing) as watch, listening(lambda share: watch("steps", share)):
        yield


def _way(view: FromNoise[Generator], asked: dict[str, Any]) -> dict[str, Any]:
    """What is asked for of a sampler; steps and guidance as usual where nothing is said of them."""
    own = {("steps" if name == "sampling_steps" else name): v for name, v in asked.items()}
    usual, values = view.usual
    sampler = own.pop("sampler", usual)
    options = view.options[sampler]
    for name in own:
        if name not in options:
            has = [one for one in options if view.guides or one != "guidance"]
            words = ["--sampling-steps" if one == "steps" else f"--{one}" for one in has]
            takes = next(other for other, its in view.options.items() if name in its)
            raise ValueError(
                f"{name}: {sampler} has none, but --sampler {takes}; it has {', '.join(words)}"
            )
    kept = values if sampler == usual else {k: values[k] for k in ("steps", "guidance")}
    return {"sampler": sampler} | kept | own


def _instead(model: Generator) -> str:
    """Which options of drawing a model has."""
    from reparam.models.invertible import Invertible

    has = ["--temperature"] if isinstance(model, Invertible) else []
    view = model.from_noise
    if view is not None:
        has += ["--sampler", "--sampling-steps", *(["--guidance"] if view.guides else [])]
    if model.conditional:
        has.append("--label" if model.space.attributes is None else "--attribute")
    return f"it has {', '.join(has)}" if has else "leave it out"
