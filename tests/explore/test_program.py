"""Decoders that run in a page give what they give here, in headless Chromium."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from browsers import HANGS
from conftest import COLUMNS, random_c, random_x, tiny_model
from torch import Tensor, nn
from torch.nn import functional as F

import reparam as rp
from reparam.explore.facts import facts
from reparam.explore.program import Program, engine, program_of
from reparam.explore.subject import Subject
from reparam.model import Decoder, Space

CODES = 200
GRAY = 1 / 255  # what a picture may be off by

GRAY_IMAGE, COLOR_IMAGE = (1, 10, 14), (3, 9, 11)
PICTURES = [
    ("vae", Space((1, 8, 8), "binary"), {}),
    ("vae", Space(GRAY_IMAGE, "binary"), {"network": "conv", "batch_norm": True}),
    ("vae", Space(COLOR_IMAGE, "levels", 256), {"network": "conv"}),
    ("vae", Space(COLOR_IMAGE, "levels", 8), {"network": "conv", "likelihood": "categorical"}),
    ("vae", Space((7,), "levels", 256), {"likelihood": "discretized-normal"}),
    ("vae", Space((7,), "levels", 17), {"likelihood": "discretized-logistic", "mixture": 3}),
    ("vae", Space(COLOR_IMAGE, "real"), {"network": "conv"}),
    ("sigma-vae", Space((1, 8, 8), "levels", 17), {}),
    ("cvae", Space((1, 8, 8), "binary", classes=3), {}),
    ("cvae", Space((7,), "real", attributes=2), {}),
    ("ae", Space((1, 8, 8), "levels", 17), {}),
    ("ae-gmm", Space((1, 8, 8), "binary"), {}),
    ("pca", Space((1, 8, 8), "levels", 17), {}),
    ("pca", Space((7,), "real"), {}),
    ("hierarchical-vae", Space((1, 8, 8), "binary"), {}),
    ("real-nvp", Space((7,), "real"), {}),
    ("gan", Space((1, 8, 8), "levels", 17), {}),
]
RUN = """([header, text, codes, conditions]) => {
    const program = Program.fromBase64(header, text);
    return codes.map((code, i) => [...program.run(code, conditions && conditions[i])]);
}"""


@pytest.fixture(scope="module")
def tab(browser, tmp_path_factory):
    """A page from a file that has the engine and nothing else."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    policy = "default-src 'none'; script-src 'unsafe-inline'"
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    path.write_text(f"{head}<script>{engine()}</script>", encoding="utf-8")
    page = browser.new_page()
    page.set_default_timeout(HANGS)
    page.goto(path.as_uri())
    return page


def in_page(tab: Any, program: Program, codes: Tensor, c: Tensor | None = None) -> Tensor:
    header = json.loads(program.json)
    given = None if c is None else c.tolist()
    rows = tab.evaluate(RUN, [header, program.base64, codes.flatten(1).tolist(), given])
    shape = program.header["output"]["shape"]
    return torch.tensor(rows, dtype=torch.float64).view(len(codes), *shape)


def decoded(model: Decoder, codes: Tensor, c: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return model.decode(codes, c).double()


def drawn(model: Any) -> Tensor:
    if isinstance(model, rp.PCA) and model.space.is_image:  # of a scale of its own
        return model.encode(random_x(model.space, CODES)).float()
    generator = torch.Generator().manual_seed(0)
    return torch.randn(CODES, *model.code_space.shape, generator=generator)


@torch.no_grad()
def lively(model: Any, exact: bool = False) -> Any:
    """With weights that make pictures of contrast; ``exact`` ones, which half precision has."""
    generator = torch.Generator().manual_seed(3)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.uniform_(-1, 1, generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.mul_(2)
        if exact:
            parameter.copy_(parameter.half())
    return model.eval()


@pytest.mark.parametrize(("name", "space", "changes"), PICTURES, ids=lambda v: str(v)[:40])
def test_pictures_are_those_of_the_model(tab, name, space, changes):
    model = lively(tiny_model(name, space, torch.float32, **changes))
    codes, c = drawn(model), random_c(space, CODES) if model.conditional else None
    wanted = decoded(model, codes, c)
    found = in_page(tab, program_of(model), codes, c)
    top = wanted.max() - wanted.min()  # of real data, which are shown over their range
    if space.level_count is not None:
        top = torch.tensor(space.level_count - 1.0)
    assert wanted.std(0).max() > 10 * GRAY * top  # they do differ
    torch.testing.assert_close(found, wanted, rtol=0, atol=GRAY * float(top))


@pytest.mark.parametrize("name", ["vq-vae", "fsq-vae"])
def test_codes_may_be_indices(tab, name):
    space = Space((1, 8, 8), "binary")
    model = lively(tiny_model(name, space, torch.float32))
    codes = model.encode(random_x(space, CODES))
    found = in_page(tab, program_of(model), codes)
    torch.testing.assert_close(found, decoded(model, codes), rtol=0, atol=GRAY)


def test_a_file_holds_indices_that_half_precision_has_not():
    digits = rp.load_data("digits")
    model = rp.build("fsq-vae", digits.space, sizes=(8, 8, 8, 8, 5), channels=4, blocks=1)
    subject = Subject(model, digits, "a run", most=20, in_file=True)
    assert subject.codes.max() > 2048  # 2049 would be 2048
    packed = facts(subject, in_file=True)["codes"]["all"]
    held = torch.frombuffer(bytearray(base64.b64decode(packed["data"])), dtype=torch.float32)
    assert torch.equal(held.view(packed["shape"]), subject.codes.float())


def test_rows_of_a_table_in_its_units(tab):
    """Categories are the same; numbers are off by what half precision makes of weights."""
    space = Space((len(COLUMNS),), "mixed", columns=COLUMNS)
    model = lively(tiny_model("vae", space, torch.float32))
    codes = drawn(model)
    wanted, found = decoded(model, codes), in_page(tab, program_of(model), codes)
    for at, column in enumerate(COLUMNS):
        if column.kind == "category":
            assert torch.equal(found[:, at], wanted[:, at])
        else:
            scale = float(wanted[:, at].std()) or 1.0
            assert float((found - wanted)[:, at].abs().max()) < 0.01 * scale


def test_dates_in_seconds_keep_their_precision(tab):
    space = Space((3,), "real")
    model = lively(tiny_model("vae", space, torch.float32), exact=True)
    model.standardize.shift.fill_(1.7e9)
    model.standardize.scale.fill_(10.0)
    codes = drawn(model)
    found = in_page(tab, program_of(model), codes)
    torch.testing.assert_close(found, decoded(model, codes), rtol=0, atol=1e-4)


def test_columns_of_any_scale_keep_their_digits(tab):
    """A component of a column of 1e-9 would vanish in half precision beside one of 1e6."""
    model = rp.build("pca", Space((200,), "real"), latent_dim=2)
    generator = torch.Generator().manual_seed(0)
    scales = 10.0 ** torch.linspace(-9, 6, 200, dtype=torch.float64)
    model.components.copy_(scales * torch.randn(2, 200, generator=generator).double())
    codes = drawn(model)
    program = program_of(model)
    assert [constant for constant in program.header["constants"] if "rows" in constant]
    found, wanted = in_page(tab, program, codes), decoded(model, codes)
    error = (found - wanted).abs().amax(0) / wanted.abs().amax(0)
    assert float(error.max()) < 2**-10


class Everything(nn.Module):
    """Operations that networks of our own or of a user may have, beside each other."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6 * 5 * 7)
        self.group = nn.GroupNorm(3, 6)
        self.layer = nn.LayerNorm((5, 7))
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(6, 5, 3, padding=1),
                nn.Conv2d(6, 4, 1),
                nn.Conv2d(6, 4, (2, 3), stride=2, padding=(0, 1), groups=2),
                nn.Conv2d(6, 2, 3, padding=2, dilation=2, bias=False),
            ]
        )
        self.table = nn.Embedding(4, 3)

    def forward(self, z: Tensor) -> Tensor:
        h = self.first(z).view(-1, 6, 5, 7)
        normal = self.layer(self.group(h))
        made = [conv(normal) for conv in self.convs]
        made += [F.interpolate(made[0], size=(9, 13)), F.pixel_shuffle(made[1], 2)]
        made += [F.gelu(h), F.gelu(h, approximate="tanh"), F.elu(h), F.leaky_relu(h, 0.2)]
        made += [F.silu(h), F.softplus(h), F.tanh(h), torch.erf(h), torch.special.ndtr(h)]
        made += [h.softmax(1), h.log_softmax(3), h.logsumexp((1, 3)), h.amax(2), h.mean((0, 2))]
        made += [h.round(), h.floor(), h.clamp(-0.5, 0.5), h.clamp(min=0.1), h.abs().sqrt()]
        made += [torch.where(h > 0, h, 2 - h), h.flip(2), h.transpose(1, 3) * h[:, :1, :1, :6]]
        made += [torch.cat([h, h[:, 1:3] / 3], 1), torch.stack(h.chunk(3, 1)), h[:, :, ::2, 1:4]]
        made += [h.flatten(2) @ normal.flatten(2).mT, torch.einsum("bcij,ci->bj", h, h[0, :, :, 0])]
        best = h.flatten(1).argmax(1)
        made += [best, self.table(best * 0 + 2), torch.round(h * 2) / 2]
        made += [torch.expm1(h), torch.log1p(h.abs()), torch.addcmul(h, h, normal, value=0.5)]
        return torch.cat([part.flatten().to(h.dtype) for part in made])[None]


def test_each_operation(tab):
    """With weights that half precision has exactly, so that nothing is left but rounding."""
    torch.manual_seed(0)
    network = Everything()
    size = network(torch.zeros(1, 4)).shape[1]
    space = Space((size,), "real")
    model = rp.Autoencoder(space, nn.Linear(size, 4), network, latent_dim=4)
    model = lively(model, exact=True)
    codes = drawn(model)[:5]
    wanted = torch.cat([decoded(model, code[None]) for code in codes])
    found = in_page(tab, program_of(model), codes)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


EDGES = torch.linspace(-1, 1, 6, dtype=torch.float64)


class Variants(nn.Module):
    """Forms of operations that are easily taken for others."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 24)
        self.table = nn.Parameter(torch.randn(5, 3))
        self.masked = nn.Parameter(torch.randn(40, 8))
        with torch.no_grad():
            self.masked[:, 0] = -torch.inf
        self.register_buffer("integers", 10_001 * torch.arange(600).view(300, 2))
        self.register_buffer("order", torch.tensor([[2, 0, 1, 3, 5, 4]] * 4))

    def forward(self, z: Tensor) -> Tensor:
        h = self.first(z).view(4, 6)
        one, zero = 0 * h + 1, h.flatten()[None].argmax(1) * 0
        made = [
            torch.div(one, 0.1, rounding_mode="floor"),
            torch.div(h, -0.3, rounding_mode="floor"),
        ]
        made += [torch.div(h, 0.3, rounding_mode="trunc"), torch.remainder(h, -0.3)]
        made += [one.bool() + one.bool(), (h > 0) | (h < -1), ~(h > 0), h.clamp(max=0).any(1)]
        made += [h.masked_fill(h < 100, -torch.inf).logsumexp(1).clamp(min=-7)]
        made += [self.table[zero - 1], self.integers[zero + 299], self.masked[zero + 1].exp()]
        made += [(h.double() + 1_700_000_001.0) - 1_700_000_000.0, h > EDGES]
        made += [torch.slice_scatter(h, h[:, 3:5], 1, 1, 3), torch.select_scatter(h, h[:, 0], 1, 1)]
        made += [h.scatter(1, self.order, -h)]
        made += [torch.cat([torch.zeros(0), h[:, :0].flatten(), h.flatten()])]
        made += [F.softplus(h, beta=3, threshold=1), F.elu(h, 0.5), F.celu(h, 2.0), F.selu(h)]
        made += [h[-3::2, 1:-1], h.sum(-1), h.mean((-2, -1)), h.amin(-2, keepdim=True)]
        return torch.cat([part.flatten().double() for part in made])[None]


def of_network(network: nn.Module) -> Decoder:
    """An autoencoder of codes of four numbers, with this decoder in evaluation mode."""
    size = network.eval()(torch.zeros(1, 4)).shape[1]
    space = Space((size,), "real")
    return rp.Autoencoder(space, nn.Linear(size, 4), network, latent_dim=4).eval()


def test_variants_are_not_taken_for_others(tab):
    torch.manual_seed(0)
    model = of_network(Variants())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half())
    codes = drawn(model)[:5]
    wanted = torch.cat([decoded(model, code[None]) for code in codes])
    found = in_page(tab, program_of(model), codes)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        self.count.add_(1)
        return z + self.count


class Does(nn.Module):
    def __init__(self, does: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.does = does

    def forward(self, z: Tensor) -> Tensor:
        return self.does(z)


def branch(z: Tensor) -> Tensor:
    return torch.cond(z.sum() > 0, lambda x: x + 1, lambda x: x - 1, (z,))


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Does(lambda z: z.round(decimals=2)), "got round in"),
        (Does(lambda z: (z.long() & 3).float()), "got bitwise_and in"),
        (Does(lambda z: (~z.long()).float()), "got bitwise_not in"),
        (Does(lambda z: z.view(torch.int32).float()), "got view in"),
        (Does(lambda z: F.softplus(z, threshold=torch.inf)), "got softplus in"),
        (Does(lambda z: z + torch.randn(1, 4)), "got randn in"),
        (Does(branch), "has no fixed graph"),
        (Counts(), "got a buffer that decode changes in"),
        (
            Does(lambda z: F.conv2d(z.view(4, 1, 1, 1), torch.ones(2, 1, 1, 1)).view(1, 8)),
            "got conv2d in",
        ),
        (
            Does(lambda z: F.conv2d(z.view(1, 2, 2), torch.ones(2, 1, 1, 1)).view(1, 8)),
            "got conv2d in",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_forms_that_a_page_cannot_run_are_refused(network, said):
    with pytest.raises(ValueError, match=f"{said}.*serve it instead"):
        program_of(of_network(network))


def test_weights_are_halves():
    model = rp.build("vae", Space((1, 28, 28), "binary"))
    program = program_of(model)
    assert program.weights == sum(p.numel() for p in model.decoder.parameters() if p.ndim > 1)
    biases = sum(p.numel() for p in model.decoder.parameters() if p.ndim == 1)
    assert len(program.blob) <= 2 * program.weights + 4 * biases + 100
    assert len(program.json) < 10_000
    assert program.products == program.weights  # of linear layers, each once


def test_parts_are_left_in_their_modes():
    model = rp.build("vae", Space((7,), "binary"), hidden=(4,), batch_norm=True)
    model.train()
    model.decoder.eval()
    program_of(model)
    assert model.training and not model.decoder.training


class Sums(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(1)


@pytest.mark.filterwarnings("error")
def test_a_warning_of_torch_about_itself_is_not_passed_on():
    program_of(rp.build("vae", Space(GRAY_IMAGE, "binary"), hidden=(4,), network="conv"))


def test_what_a_page_cannot_run_is_named():
    space = Space((7,), "real")
    own = rp.Autoencoder(space, nn.Linear(7, 2), nn.Sequential(nn.Linear(2, 7), Sums()), 2)
    with pytest.raises(ValueError, match=r"got cumsum in decoder\.1 \(Sums\); serve it instead"):
        program_of(own)
    with pytest.raises(ValueError, match="decodes codes, as vae, ae or pca, got"):
        program_of(rp.build("made", Space((7,), "binary")))
    pixels = tiny_model("pixel-vae", Space((1, 20, 28), "binary"), torch.float32)
    with pytest.raises(ValueError, match=r"at most 2000 operations"):
        program_of(pixels)
