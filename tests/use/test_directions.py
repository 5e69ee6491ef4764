"""Directions and edits against linear models, where what they change is known exactly."""

from dataclasses import replace

import pytest
import torch

import reparam as rp
from reparam.evaluation.rows import chosen_rows
from reparam.model import Codec, Space
from reparam.use.edit_scores import _read_out
from reparam.use.independence import editable

ROWS, RHO = 200, 0.7
NAMES = ("a", "b", "c")


def correlated_sources():
    """(N, 3), of which the *sample* has mean 0, variance 1 and the correlation RHO of a and b."""
    rng = torch.Generator().manual_seed(0)
    s = torch.randn(ROWS, 3, generator=rng, dtype=torch.float64)
    u, _, v = torch.linalg.svd(s - s.mean(0), full_matrices=False)
    wanted = torch.tensor([[1, RHO, 0], [RHO, 1, 0], [0, 0, 1.0]]).double()
    return ROWS**0.5 * u @ v @ torch.linalg.cholesky(wanted).T


S = correlated_sources()
W = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
SPLIT = rp.Split(S @ W.T + 7, attributes=S * torch.tensor([1.0, 20, 1]) + 100)
DATA = rp.Data(SPLIT, SPLIT, SPLIT, Space((5,), "real"), "mixed", attribute_names=NAMES)


@pytest.fixture(scope="module")
def pca():
    model = rp.build("pca", DATA.space, latent_dim=3).double()
    rp.fit(model, DATA, progress=False)
    return model.double()


def read(x):
    """The sources that x has, (…, 3)."""
    return (x - 7) @ torch.linalg.pinv(W).T


@pytest.mark.parametrize("method", ["joint", "difference"])
def test_joint_moves_one_source_and_difference_the_correlated_one_by_rho(pca, method):
    directions = rp.attribute_directions(pca, DATA, NAMES, method=method)
    strengths = torch.tensor([-2.0, 0.0, 0.5, 3.0]).double()
    along = torch.eye(3).double()
    if method == "difference":
        along[0, 1] = along[1, 0] = RHO
    for j, name in enumerate(NAMES):
        strip = rp.edit(pca, SPLIT.x[:4], directions[name], strength=strengths)
        change = read(strip) - read(SPLIT.x[:4])[:, None]
        expected = strengths[:, None] * along[j]
        assert torch.allclose(change, expected.expand_as(change), atol=1e-10)
    assert directions["b"].unit == pytest.approx(20)
    assert directions.r2 == pytest.approx(1) and directions.examples == ROWS
    scores = rp.edit_quality(pca, DATA, directions)
    leak = {"joint": 0.0, "difference": RHO / 2}[method]
    for name, leaked in zip(NAMES, (leak, leak, 0.0), strict=True):
        # The read-out is regularized by 1e-10.
        assert scores[f"moved_{name}"].value == pytest.approx(1, abs=1e-6)
        assert scores[f"leaked_{name}"].value == pytest.approx(leaked, abs=1e-6)


def test_strength_0_is_the_reconstruction_bit_for_bit():
    data = rp.load_data("digits")
    model = rp.build("vae", data.space, latent_dim=3, hidden=(16,), seed=0)
    directions = rp.attribute_directions(model, data, ["slant", "3"])
    x = data.test.x[:7]
    for direction in directions.values():
        strip = rp.edit(model, x, direction, strength=[-1.0, 0.0, 1.0])
        assert strip.shape == (7, 3, 1, 8, 8) and not strip[:, 0].equal(strip[:, 1])
        assert strip[:, 1].equal(model.reconstruct(x))
        assert rp.edit(model, x[:1], direction, strength=0)[:, 0].equal(model.reconstruct(x[:1]))


def test_an_edit_and_its_opposite_are_the_identity_of_a_linear_decoder(pca):
    direction = rp.attribute_directions(pca, DATA, NAMES)["b"]
    there = rp.edit(pca, SPLIT.x[:5], direction, strength=-2)[:, 0]
    back = rp.edit(pca, there, direction, strength=2)[:, 0]
    assert torch.allclose(back, SPLIT.x[:5], atol=1e-10)


class Turned(Codec):
    """The same model with its latents permuted and of other signs."""

    def __init__(self, model):
        super().__init__(model.space)
        self.inner, self.order = model, torch.tensor([2, 0, 1])
        self.signs = torch.tensor([-1.0, 1, -1]).double()

    @property
    def code_space(self):
        return self.inner.code_space

    def loss(self, x, c=None, player="model"):
        raise AssertionError

    def encode(self, x, c=None):
        return self.inner.encode(x)[:, self.order] * self.signs

    def decode(self, code, c=None):
        return self.inner.decode((code * self.signs)[:, self.order.argsort()])


@pytest.mark.parametrize("method", ["joint", "difference"])
def test_permuting_and_flipping_latents_changes_no_picture(pca, method):
    strips = []
    for model in (pca, Turned(pca)):
        found = rp.attribute_directions(model, DATA, NAMES, method=method)
        strips.append(rp.edit(model, SPLIT.x[:5], found["a"], strength=[-2, 1]))
    assert torch.allclose(*strips, atol=1e-10)


class Identity(Codec):
    """z = x, under any condition."""

    def __init__(self, space, conditional=False):
        super().__init__(space)
        self.conditional = conditional

    @property
    def code_space(self):
        return Space(self.space.shape, "real")

    def loss(self, x, c=None, player="model"):
        raise AssertionError

    def encode(self, x, c=None):
        return torch.as_tensor(x).double()

    def decode(self, code, c=None):
        shift = 0.0 if c is None else c.double().view(len(c), -1).sum(1, keepdim=True)
        return code + shift


def of_classes():
    """Three classes of unequal sizes around known means."""
    rng = torch.Generator().manual_seed(2)
    labels = torch.tensor([0] * 10 + [1] * 30 + [2] * 60)
    means = torch.tensor([[0.0, 0], [4, 1], [-2, 5]]).double()
    x = means[labels] + torch.randn(100, 2, generator=rng).double()
    split = rp.Split(x, labels=labels)
    return rp.Data(split, split, split, Space((2,), "real", classes=3), "k", class_names=NAMES)


@pytest.mark.parametrize("method", ["joint", "difference"])
def test_a_class_goes_the_whole_way_from_the_mean_of_the_rest(method):
    data = of_classes()
    model = Identity(data.space)
    for names in ("labels", ["b"]):
        step = rp.attribute_directions(model, data, names, method=method)["b"].step
        is_b = data.train.labels == 1
        expected = data.train.x[is_b].mean(0) - data.train.x[~is_b].mean(0)
        assert torch.allclose(step, expected, atol=1e-12)


def test_classes_beside_a_number_are_compared_at_equal_values_of_it():
    """z = mean of the class + 3 a, with a that differs by class: joint finds both parts exactly."""
    data = of_classes()
    labels = data.train.labels
    a = labels.double() + torch.arange(100.0).double().sin()
    means = torch.tensor([[0.0, 0], [4, 1], [-2, 5]]).double()
    split = rp.Split(means[labels] + 3 * a[:, None], labels=labels, attributes=a[:, None])
    data = rp.Data(split, split, split, Space((2,), "real"), "k", NAMES, None, ("age",))
    found = rp.attribute_directions(Identity(data.space), data, ["age", "c"])
    assert torch.allclose(found["age"].step / found["age"].unit, torch.full((2,), 3.0).double())
    rest = (10 * means[0] + 30 * means[1]) / 40
    assert torch.allclose(found["c"].step, means[2] - rest, atol=1e-10)


def test_classes_that_depend_on_other_classes_do_not_share_the_way():
    """A second group with b where labels have b: at equal values of one the other never changes."""
    data = of_classes()
    labels = data.train.labels
    split = replace(data.train, factors=(labels == 1).double()[:, None])
    names = {"factor_names": ("has",), "level_names": {"has": ("no", "yes")}}
    both = replace(data, train=split, **names)
    model = Identity(data.space)
    with pytest.raises(ValueError, match="^names: 'has:no' is a linear combination of a, b, c in"):
        rp.attribute_directions(model, both, ["b", "has:yes"])
    found = rp.attribute_directions(model, both)
    assert list(found) == ["a", "b", "c"] and "the classes of 'has' depend" in found.notes[0]
    alone = rp.attribute_directions(model, both, ["has:yes"])["has:yes"]
    assert torch.allclose(alone.step, found["b"].step, atol=1e-12)
    # First is what is asked for, and independent groups stay.
    assert editable(rp.find_attributes(both), ["has:yes"])[0] == ["has:no", "has:yes"]
    other = replace(both, train=replace(split, factors=(torch.arange(100) % 2).double()[:, None]))
    assert len(rp.attribute_directions(model, other)) == 5


def test_a_class_that_is_the_condition_changes_it_and_nothing_else():
    data = of_classes()
    model = Identity(data.space, conditional=True)
    direction = rp.attribute_directions(model, data, ["c"])["c"]
    assert direction.step is None and direction.conditional
    x, c = data.test.x[:3], torch.tensor([0, 1, 2])
    strip = rp.edit(model, x, direction, strength=[0, 1], c=c)
    assert torch.equal(strip[:, 0], x + c[:, None]) and torch.equal(strip[:, 1], x + 2)
    with pytest.raises(ValueError, match="strength: 'c' is a condition.*expected 0 or 1"):
        rp.edit(model, x, direction, strength=0.5, c=c)
    with pytest.raises(ValueError, match="c: "):
        rp.edit(model, x, direction, strength=1)


def test_a_condition_is_scored_by_what_it_changes_of_the_others_where_it_changes():
    """c is added to every pixel: of 20 rows with c = 0, 1 and 2, those with 2 already stay."""
    rng = torch.Generator().manual_seed(3)
    labels = torch.arange(60) % 3
    x = 5 * torch.rand(60, 1, 4, 4, generator=rng, dtype=torch.float64)
    split = rp.Split(x, labels=labels)
    data = rp.Data(split, split, split, Space((1, 4, 4), "real", classes=3), "k")

    class Brighter(Identity):
        def decode(self, code, c=None):
            return code * (1 - c.double().view(-1, 1, 1, 1) / 4)  # within black and white

    model = Brighter(data.space, conditional=True)
    directions = rp.attribute_directions(model, data, ["2", "ink"])
    scores = rp.edit_quality(model, data, directions, names=["2"])
    assert list(scores) == ["leaked_2"] and scores["leaked_2"].n == 40
    low, high = x.aminmax()
    low, high = float(low), float(high)
    others = labels != 2

    def ink(scaled):
        return ((scaled - low) / (high - low)).clamp(0, 1).mean((1, 2, 3))

    change = ink(x / 2) - ink(x * (1 - labels.view(-1, 1, 1, 1) / 4))
    expected = change[others].abs().mean() / directions["ink"].unit
    assert scores["leaked_2"].value == pytest.approx(expected.item())


@pytest.mark.parametrize("rows", [30, 120, 2000])
def test_read_outs_are_ridge_regressions_in_whichever_form_is_smaller(rows):
    """40 entries: fewer rows than entries, fewer than ten for each, and enough."""
    rng = torch.Generator().manual_seed(4)
    z = torch.randn(rows, 40, generator=rng, dtype=torch.float64)
    a = z[:, :2] @ torch.tensor([[1.0, 0.5], [0, 2]]).double()
    a += 0.1 * torch.randn(rows, 2, generator=rng, dtype=torch.float64)
    split = rp.Split(z, attributes=a)
    data = rp.Data(split, split, split, Space((40,), "real"), "z", attribute_names=("a", "b"))
    model = Identity(data.space)
    directions = rp.attribute_directions(model, data, ["a", "b"])
    found = _read_out(model, split, directions, ["a", "b"], seed=0)
    used = chosen_rows(rows, 250_000, 0)
    z, a = (t[used] - t[used].mean(0) for t in (z, a))
    ridge = 40 * z.square().mean() if rows < 400 else 0.0
    expected = torch.linalg.solve(z.T @ z + ridge * torch.eye(40).double(), z.T @ a)
    assert torch.allclose(found, expected, atol=1e-8)


def test_a_number_that_is_part_of_the_condition_moves_alone():
    space = Space((5,), "real", attributes=3)
    data = rp.Data(SPLIT, SPLIT, SPLIT, space, "mixed", attribute_names=NAMES)
    model = Identity(space, conditional=True)
    found = rp.attribute_directions(model, data, NAMES)
    c = SPLIT.attributes[:2]
    strip = rp.edit(model, SPLIT.x[:2], found["b"], strength=[0, 2], c=c)
    assert torch.equal(strip[:, 0], model.reconstruct(SPLIT.x[:2]) + c.sum(1, keepdim=True))
    change = (strip[:, 1] - strip[:, 0]).double()
    assert torch.allclose(change, torch.full_like(change, 40.0))
    there = rp.edit(model, SPLIT.x[:2], found["b"], to=130, c=c)[:, 0]
    expected = SPLIT.x[:2] + (c[:, 0] + 130 + c[:, 2])[:, None]
    assert torch.allclose(there.double(), expected)


def test_a_flag_of_the_condition_is_measured_from_0_to_1():
    """Decoded x are z plus the condition's sum: the mean, ``ink``, has no other way to change."""
    x = torch.linspace(40, 200, 30).round()[:, None, None, None].expand(-1, 1, 2, 2)
    flags, age = (torch.arange(30) % 3 == 0).double(), torch.arange(30).double() % 7
    split = rp.Split(x, attributes=torch.stack([flags, age], 1))
    space = Space((1, 2, 2), "levels", 256, attributes=2)
    data = rp.Data(split, split, split, space, "flat", attribute_names=("old", "age"))

    class Lit(Identity):
        def decode(self, code, c=None):
            return code + 51 * (c[:, 0] == 1).double()[:, None, None, None]

    model = Lit(space, conditional=True)
    found = rp.attribute_directions(model, data, ["old", "ink"])
    assert found["old"].conditional and found["old"].attribute.kind == "flag"
    scores = rp.edit_quality(model, data, found, names=["old"])
    assert list(scores) == ["leaked_old"]  # ends of -0.5 and 1.5 would light nothing
    assert scores["leaked_old"].value == pytest.approx(0.2 / found["ink"].unit)
    assert scores["leaked_old"].stderr == pytest.approx(0, abs=1e-12)


def test_examples_of_which_something_is_unknown_are_left_out(pca):
    found = rp.find_attributes(DATA)
    holes = found.values.clone()
    holes[::10, 1] = torch.nan
    directions = rp.attribute_directions(pca, DATA, NAMES, attributes=replace(found, values=holes))
    assert directions.examples == ROWS - ROWS // 10
    scores = rp.edit_quality(pca, DATA, directions)
    # Codes are linear in sources, whichever rows tell it; the read-out is regularized by 1e-10.
    assert scores["moved_b"].value == pytest.approx(1, abs=1e-6)
    assert scores["leaked_b"].value == pytest.approx(0, abs=1e-6)


def test_where_no_example_changes_nothing_is_measured():
    data = of_classes()
    one = rp.Split(data.test.x[-5:], data.test.labels[-5:])
    data = replace(data, test=one, train=replace(data.train, factors=data.train.x[:, :1]))
    model = Identity(data.space, conditional=True)
    found = rp.attribute_directions(model, data, ["c", "factor 0"])
    assert rp.edit_quality(model, data, found, names=["c"]) == {}


def test_models_are_measured_in_evaluation_mode_and_left_in_their_own():
    data = rp.load_data("digits")
    model = rp.build("vae", data.space, latent_dim=2, hidden=(8,), batch_norm=True, seed=0)
    rp.fit(model, data, epochs=1, progress=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    steps, scores = [], []
    for training in (False, True):
        found = rp.attribute_directions(model.train(training), data, ["ink", "3"])
        steps.append(found["ink"].step)
        scores.append(rp.edit_quality(model, data, found, n=50)["moved_ink"].value)
        assert model.training == training
    assert torch.equal(*steps) and scores[0] == scores[1]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_to_goes_to_a_value(pca):
    found = rp.attribute_directions(pca, DATA, NAMES)
    moved = rp.edit(pca, SPLIT.x[:1], found["b"], to=120, at=SPLIT.attributes[0, 1].item())
    assert read(moved[0, 0])[1].item() == pytest.approx((120 - 100) / 20)
    with pytest.raises(ValueError, match="at: expected the value of 'b'"):
        rp.edit(pca, SPLIT.x[:1], found["b"], to=120)


def test_to_of_a_measure_starts_at_the_reconstruction():
    """Brightness of flat images is linear in x: there the value is reached exactly."""
    level = torch.linspace(40, 200, 30).round()
    x = level[:, None, None, None].expand(-1, 1, 4, 4).to(torch.uint8)
    split = rp.Split(x)
    data = rp.Data(split, split, split, Space((1, 4, 4), "levels", 256), "flat")
    model = Identity(data.space)
    ink = rp.attribute_directions(model, data, ["ink"])["ink"]
    moved = rp.edit(model, x[:3], ink, to=0.5)[:, 0]
    assert torch.allclose(moved, torch.full_like(moved, 127.5))


def test_what_examples_do_not_say_is_refused_by_name(pca):
    values = torch.stack([S[:, 0], S[:, 1], 2 * S[:, 0] - S[:, 1], torch.ones(ROWS).double()], 1)
    names = (*NAMES, "d")
    split = rp.Split(SPLIT.x, attributes=values)
    data = rp.Data(split, split, split, DATA.space, "mixed", attribute_names=names)
    with pytest.raises(ValueError, match="'c' is a linear combination of a, b in"):
        rp.attribute_directions(pca, data, NAMES)
    rp.attribute_directions(pca, data, NAMES, method="difference")
    with pytest.raises(ValueError, match="'d' is the same in all 200"):
        rp.attribute_directions(pca, data, ["a", "d"])
    assert list(rp.attribute_directions(pca, data)) == ["a", "b"]
    with pytest.raises(ValueError, match="expected some of a, b, c, d; got 'e'"):
        rp.attribute_directions(pca, data, ["e"])
    one = rp.Split(SPLIT.x, labels=(torch.arange(ROWS) == 3).long())
    data = rp.Data(one, one, one, Space((5,), "real", classes=2), "mixed")
    with pytest.raises(ValueError, match="at least 2 training examples with '0' and 2 .*199 and 1"):
        rp.attribute_directions(pca, data, "labels")
    with pytest.raises(ValueError, match="have no labels"):
        rp.attribute_directions(pca, DATA, "labels")
    with pytest.raises(ValueError, match="at least one"):
        rp.attribute_directions(pca, DATA, [])


def test_models_without_codes_to_move_are_refused(pca):
    direction = rp.attribute_directions(pca, DATA, NAMES)["a"]
    gan = rp.build("gan", DATA.space, latent_dim=3)
    with pytest.raises(ValueError, match="has no codes of given examples.* such as vae"):
        rp.attribute_directions(gan, DATA, NAMES)
    vq = rp.build("vq-vae", Space((1, 8, 8), "levels", 17))
    with pytest.raises(ValueError, match="are indices"):
        rp.edit(vq, torch.zeros(1, 1, 8, 8), direction, strength=1)
    for wrong, got in ((torch.nan, "nan"), ([0, torch.inf], "inf")):
        with pytest.raises(ValueError, match=f"strength: expected finite numbers, got {got}$"):
            rp.edit(pca, SPLIT.x[:1], direction, strength=wrong)
    with pytest.raises(ValueError, match="strength: expected one or several"):
        rp.edit(pca, SPLIT.x[:1], direction)
    other = rp.build("pca", DATA.space, latent_dim=2)
    with pytest.raises(ValueError, match="direction: expected one of codes of shape"):
        rp.edit(other, SPLIT.x[:1], direction, strength=1)
    with pytest.raises(ValueError, match="shape"):
        rp.edit(pca, torch.zeros(1, 4), direction, strength=1)
