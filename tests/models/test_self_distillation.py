"""Self-distillation: the teacher is an average, and both ends that outputs can collapse to."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.model import Batch, Solve
from reparam.models.self_distillation import SHARES_DECAY
from reparam.train.collapse import alike
from reparam.train.optimizers import trainable

SMALL = {"width": 8, "layers": 1, "heads": 2, "prototypes": 6}
DIGITS = rp.Space((1, 8, 8), "levels", levels=17)


def random_x(n: int = 5, shape: tuple[int, ...] = (1, 8, 8), seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(17, (n, *shape), generator=generator).double()


def small(space: rp.Space = DIGITS, **parameters: object) -> rp.SelfDistillation:
    return rp.build("dino", space, seed=0, **SMALL | parameters).double()


def moved(model: rp.SelfDistillation, seed: int = 0) -> rp.SelfDistillation:
    """The model with another student and another center."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in [*model.student.parameters(), model.center]:
            p += 0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return model


# -------------------------------------------------------------------------------- the teacher


def test_the_teacher_is_the_average_of_all_students():
    """θ_t = λⁿ θ₀ + (1 − λ) Σ λⁿ⁻ⁱ θᵢ, of every weight, and the center that of mean outputs."""
    model, x, keep = small(momentum=0.9, center=0.7), random_x(), 0.9
    optimizer = torch.optim.SGD(trainable([model]), lr=0.5)
    students = [[p.detach().clone() for p in model.student.parameters()]]
    means, shares = [], []
    for _ in range(6):
        loss = model.loss(x)
        optimizer.zero_grad()
        loss.objective.backward()
        optimizer.step()
        assert all(p.grad is None and not p.requires_grad for p in model.teacher.parameters())
        with torch.no_grad():
            model.after_step(loss)
        students.append([p.detach().clone() for p in model.student.parameters()])
        means.append(loss.statistics["outputs"] / (2 * len(x)))
        shares.append(loss.statistics["shares"] / (2 * len(x)))
    assert not torch.equal(students[0][0], students[-1][0])
    for place, found in enumerate(model.teacher.parameters()):
        wanted = keep**6 * students[0][place]
        for step in range(1, 7):
            wanted = wanted + (1 - keep) * keep ** (6 - step) * students[step][place]
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)
    center = sum(0.3 * 0.7 ** (5 - step) * mean for step, mean in enumerate(means))
    torch.testing.assert_close(model.center, center, rtol=1e-12, atol=1e-14)
    d = SHARES_DECAY
    running = sum((1 - d) * d ** (5 - step) * share for step, share in enumerate(shares))
    torch.testing.assert_close(model.shares, running, rtol=1e-12, atol=1e-14)


def test_what_is_not_finite_never_reaches_the_teacher():
    """A gradient may spoil a weight for a while, and a batch the outputs."""
    model, x = moved(small()), random_x()
    loss = model.loss(x)
    bad = loss._replace(statistics={n: v * math.nan for n, v in loss.statistics.items()})
    with torch.no_grad():
        next(model.student.parameters()).view(-1)[0] = math.nan
        model.after_step(bad)
    assert all(value.isfinite().all() for value in model.teacher.state_dict().values())
    assert model.center.isfinite().all() and model.shares.isfinite().all()


def test_the_code_is_that_of_the_teacher_and_its_layers_are_in_the_stack():
    model, x = small(), random_x()
    before = model.encode(x)
    assert before.shape == (5, 8, 4, 4) and model.token_grid == (4, 4)
    torch.testing.assert_close(model.pooled(before), before.mean((2, 3)))
    assert torch.equal(moved(model).encode(x), before)
    of_stack = [p for layer in model.stack() for p in layer.parameters()]
    assert [*map(id, of_stack)] == [*map(id, model.teacher.tokens.parameters())]
    weights = model.attention(x)
    assert weights.shape == (5, 2, 16, 16)
    torch.testing.assert_close(weights.sum(3), torch.ones(5, 2, 16, dtype=x.dtype))


# -------------------------------------------------------------------------------- the loss


def test_the_loss_is_the_cross_entropy_of_each_view_given_the_other():
    """Equation 3 and algorithm 1, written out."""
    model, x = moved(small(views={"noise": 0.3})), random_x()
    torch.manual_seed(1)
    loss = model.loss(x)
    torch.manual_seed(1)
    u, v = model.views.draw(x / 16, model.space, 2)
    assert not torch.equal(u, v)

    def outputs(network: torch.nn.Module, seen: Tensor) -> Tensor:
        return network(model.patches(seen))

    found = torch.zeros(5, dtype=x.dtype)
    for one, other in ((u, v), (v, u)):
        p = ((outputs(model.teacher, one) - model.center) / 0.04).softmax(1)
        q = (outputs(model.student, other) / 0.1).softmax(1)
        found -= 0.5 * (p * q.log()).sum(1)
    torch.testing.assert_close(loss.terms["distillation"], found)
    torch.testing.assert_close(loss.objective, found.mean())
    assert (loss.terms["distillation"] >= loss.terms["output_entropy"] - 1e-12).all()


def test_constants_stay_constant_in_every_view():
    """What moves, brightens or is noise in a view is no news of a pixel that never varies."""
    model = small(rp.Space((1, 8, 8), "real"), views={"noise": 0.5})
    x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[:, :, :3] = 7.0
    for stage in model.stages[:-1]:
        stage.solve(model, [Batch(x)])
    given: list[Tensor] = []
    model.student.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    model.loss(x)
    views = model.patches.inverse(given[0])
    assert len(views) == 10 and not views[:, :, :3].any()
    assert views[:, :, 3:].all()


def test_of_uniform_outputs_the_loss_is_ln_k():
    model, x = small(), random_x()
    with torch.no_grad():
        for network in (model.student, model.teacher):
            network.head.prototypes.copy_(network.head.prototypes[:1].expand(6, -1).clone())
    terms = model.loss(x).terms
    for name in ("distillation", "output_entropy", "teacher_entropy"):
        torch.testing.assert_close(terms[name], torch.full_like(terms[name], math.log(6)))


def test_of_one_prototype_for_all_the_loss_is_0():
    """Cosines differ by 2, so that at a temperature of 0.01 the others have e⁻²⁰⁰."""
    model, x = small(student_temperature=0.01, teacher_temperature=0.01), random_x()
    with torch.no_grad():
        for network in (model.student, model.teacher):
            network.head.mlp[-1].weight.zero_()
            network.head.mlp[-1].bias.copy_(torch.eye(8)[0])
            network.head.prototypes.copy_(-torch.eye(8)[:1].expand(6, -1))
            network.head.prototypes[2] *= -1
    for name, term in model.loss(x).terms.items():
        assert term.abs().max() < 1e-80, name
    assert (model.assigned(x).argmax(1) == 2).all()


def test_the_entropy_of_the_mean_does_not_depend_on_the_size_of_the_batch():
    """It is that of an average over steps: of as many rows of one kind as of several."""
    model, x = moved(small()), random_x(40)
    model.shares.copy_(torch.tensor([0.3, 0.1, 0.2, 0.05, 0.25, 0.1]))
    with torch.no_grad():
        several, single = model.loss(x).terms, model.loss(x[:1]).terms
    one, other = several["teacher_entropy"][0], single["teacher_entropy"][0]
    # One row moves the average by at most a hundredth, and −p ln p of it by that much more.
    assert abs(one - other) < (1 - SHARES_DECAY) * math.log(6 / (1 - SHARES_DECAY))


# -------------------------------------------------------------------------------- its start


def test_the_head_starts_with_directions_around_0():
    model, x = small(), random_x(30)
    (stage,) = [s for s in model.stages if isinstance(s, Solve) and s.name == "head"]
    batches = [Batch(x[:13]), Batch(x[13:])]
    stage.solve(model, batches)
    for network in (model.student, model.teacher):
        found = network.head.directions(network.features(model.patches(x / 16)))
        torch.testing.assert_close(found.mean(0), torch.zeros(8).double(), rtol=0, atol=1e-12)
    with torch.no_grad():
        model.after_step(model.loss(x))
    before = [p.clone() for p in model.student.parameters()]
    stage.solve(model, batches)  # once it has learned, nothing is moved
    assert all(map(torch.equal, before, model.student.parameters()))


# -------------------------------------------------------------------------------- collapse


def test_collapse_is_named_by_where_it_ends():
    several = torch.eye(8).repeat(4, 1)
    assert alike(several) == ""
    assert "to uniform ones" in alike(torch.full((9, 8), 1 / 8))
    assert "to the same few prototypes" in alike(torch.eye(8)[:1].expand(9, -1))


def entropies(model: rp.SelfDistillation, x: Tensor) -> tuple[float, float]:
    """Of the mean teacher output and the mean of that of single ones, as shares of ln K."""
    with torch.no_grad():
        p = model.assigned(x).double()
    whole, single = torch.special.entr(p.mean(0)).sum(), torch.special.entr(p).sum(1).mean()
    return whole.item() / math.log(p.shape[1]), single.item() / math.log(p.shape[1])


def trained(seed: int, x: Tensor, steps: int = 100, **parameters: object) -> rp.SelfDistillation:
    """Some steps on four patches; by default with views that change little."""
    views = {"crop": 0.1, "shift": 0.0, "brightness": 0.0, "offset": 0.0}
    tiny = {"patch": "4", "width": 16, "layers": 1, "heads": 2, "prototypes": 16}
    given = {"views": views, "momentum": 0.9} | tiny | parameters
    model = rp.build("dino", DIGITS, seed=seed, **given)
    torch.manual_seed(seed)
    model.stages[0].solve(model, [Batch(x)])
    optimizer = torch.optim.Adam(trainable([model]))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1, (step + 1) / 20)
        loss = model(x[torch.randint(len(x), (64,))])
        optimizer.zero_grad()
        loss.objective.backward()
        optimizer.step()
        with torch.no_grad():
            model.after_step(loss)
    return model.eval()


@pytest.fixture(scope="module")
def digits() -> Tensor:
    return rp.load_data("digits").train.x[:400].float()


@pytest.mark.parametrize("seed", range(3))
def test_with_centering_and_sharpening_outputs_do_not_collapse(seed, digits):
    whole, single = entropies(trained(seed, digits), digits)
    assert whole > 0.5
    assert single < 0.5 * whole and single < 0.25


def test_with_neither_all_outputs_become_nearly_uniform(digits):
    """Otherwise trained alike. What they tell of x falls below a tenth of ln K, and goes on to."""
    model = trained(0, digits, center=1.0, teacher_temperature=0.1)
    whole, single = entropies(model, digits)
    assert single > 0.7 and whole - single < 0.1
    assert "to uniform ones" in alike(model.assigned(digits))


@pytest.mark.parametrize("sharpens", [True, False], ids=["sharpening alone", "centering alone"])
def test_one_of_both_collapses_to_one_end_where_views_change_more(sharpens, digits):
    """Published figure 7: sharpening alone to one prototype, centering alone to uniform outputs."""
    alone = {"center": 1.0} if sharpens else {"teacher_temperature": 0.1}
    model = trained(0, digits, 150, views={}, momentum=0.95, **alone)
    whole, single = entropies(model, digits)
    if sharpens:
        assert whole < 0.05
    else:
        assert single > 0.95
    assert ("same few" if sharpens else "uniform") in alike(model.assigned(digits))
