"""Decoding in the browser: how long a code takes in the page of `reparam explore`, and file sizes.

Headless Chromium at /usr/bin/chromium decodes random codes one after the other, `Program.run` of
`engine.js` beside the same program with plain loops in place of its blocked products, taking turns.
Weights are those of untrained models: the time does not depend on them. With `--page` it opens the
whole page, served and from one file, and measures it as a user meets it (`explore_page.py`).

    pip install -e '.[test]'
    python benchmarks/explore.py
    python benchmarks/explore.py --page
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from results import Quantity, Result, at_most, lacking, missing, show

import reparam as rp
from reparam.explore.program import Program, engine, program_of

CHROMIUM = "/usr/bin/chromium"
MODELS: dict[str, tuple[rp.Space, dict[str, Any]]] = {
    "digits": (rp.Space((1, 8, 8), "levels", 17), {"latent_dim": 2}),
    "28 × 28, fully connected": (rp.Space((1, 28, 28), "binary"), {"network": "mlp"}),
    "28 × 28, convolutions": (rp.Space((1, 28, 28), "binary"), {"network": "conv"}),
    "64 × 64 × 3, convolutions": (rp.Space((3, 64, 64), "levels", 256), {"network": "conv"}),
    "64 × 64 × 3, binary": (rp.Space((3, 64, 64), "binary"), {"network": "conv"}),
}
GOALS = {
    name: Quantity(f"decoding in the browser, {name}", most and at_most(most), "ms")
    for name, most in zip(MODELS, (None, 5, None, 150, 150), strict=True)
}
WARM = 20  # decodes before any is counted, in which the browser compiles the loops

PLAIN = """
function plain(program) {
    program.header.steps.forEach(([name, out, inputs, p], at) => {
        const y = program.arrays[out];
        const [x, w, b] = inputs.map((i) => program.arrays[i]);
        if (name === "linear") program.steps[at] = () => {
            for (let o = 0; o < p.outputs; o++) {
                let sum = b ? b[o] : 0;
                for (let i = 0; i < p.inputs; i++) sum += w[o * p.inputs + i] * x[i];
                y[o] = sum;
            }
        };
        if (name === "conv") program.steps[at] = () => {
            const [depth, height, width] = p.input, [outputs, high, wide] = p.output;
            const [kh, kw] = p.kernel, [py, px] = p.padding;
            for (let o = 0; o < outputs; o++)
                for (let r = 0; r < high; r++)
                    for (let s = 0; s < wide; s++) {
                        let sum = b ? b[o] : 0;
                        for (let c = 0; c < depth; c++)
                            for (let i = 0; i < kh; i++)
                                for (let j = 0; j < kw; j++) {
                                    const v = r + i - py, u = s + j - px;
                                    if (v < 0 || v >= height || u < 0 || u >= width) continue;
                                    sum += w[((o * depth + c) * kh + i) * kw + j]
                                        * x[(c * height + v) * width + u];
                                }
                        y[(o * high + r) * wide + s] = sum;
                    }
        };
    });
    return program;
}
"""
TIMED = """([header, text, warm, rounds]) => {
    const sides = {page: Program.fromBase64(header, text), plain: null};
    sides.plain = plain(Program.fromBase64(header, text));
    const size = header.code.shape.reduce((a, b) => a * b, 1);
    const taken = {page: [], plain: []};
    let apart = 0;
    for (let round = 0; round < warm + rounds; round++) {
        const code = Float32Array.from({length: size}, () => 4 * Math.random() - 2);
        const made = {};
        for (const side of round % 2 ? ["page", "plain"] : ["plain", "page"]) {
            const start = performance.now();
            made[side] = sides[side].run(code);
            if (round >= warm) taken[side].push(performance.now() - start);
        }
        made.page.forEach((v, i) => { apart = Math.max(apart, Math.abs(v - made.plain[i])); });
    }
    return {taken, apart};
}"""


class Taken(NamedTuple):
    """Milliseconds of each decode by side, and how far apart what the sides make is at most."""

    milliseconds: Mapping[str, list[float]]
    apart: float


def in_page(programs: Mapping[str, Program], decodes: int) -> dict[str, Taken]:
    from playwright.sync_api import sync_playwright

    found = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as p:
        path = Path(folder, "page.html")
        path.write_text(f"<script>{engine()}{PLAIN}</script>", encoding="utf-8")
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, program in programs.items():
            tab = browser.new_page()  # which has compiled nothing yet
            tab.goto(path.as_uri())
            header = json.loads(program.json)
            made = tab.evaluate(TIMED, [header, program.base64, WARM, decodes])
            found[name] = Taken(made["taken"], made["apart"])
            tab.close()
        browser.close()
    return found


def share(values: list[float], part: float) -> float:
    return sorted(values)[min(int(part * len(values)), len(values) - 1)]


def needed() -> str:
    """What there is to install before anything can be measured."""
    return missing("playwright", "test") or ("" if Path(CHROMIUM).exists() else CHROMIUM)


def results(asked: argparse.Namespace) -> Iterator[Result]:
    if lacks := needed():
        yield from lacking(GOALS.values(), lacks)
        return
    torch.manual_seed(0)
    programs = {
        name: program_of(rp.build("vae", space, **changes))
        for name, (space, changes) in MODELS.items()
    }
    for name, taken in in_page(programs, asked.decodes).items():
        print(described(name, programs[name], taken))
        yield GOALS[name].found(taken.milliseconds["page"])


def described(name: str, program: Program, taken: Taken) -> str:
    page, plain = (taken.milliseconds[side] for side in ("page", "plain"))
    median = statistics.median(page)
    return (
        f"{name}: {median:.2f} ms, 95 % below {share(page, 0.95):.2f}, least {min(page):.2f}; "
        f"plain loops {statistics.median(plain):.2f}, least {min(plain):.2f}; "
        f"{program.products / 1e6:.2f} million products, "
        f"{program.products / median / 1000:.0f} thousand a ms; "
        f"{len(program.base64) + len(program.json)} bytes of page, "
        f"{program.entries / 1e6:.2f} million entries, foretold {program.milliseconds:.1f} ms; "
        f"{2 * program.weights} of weights; apart {taken.apart:.1e}"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--decodes", type=int, default=100, help="or moves of a slider")
    arguments.add_argument("--json", type=Path, help="file for what was found")
    arguments.add_argument("--page", action="store_true", help="measure the whole page, as used")
    asked = arguments.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if asked.page:
        from explore_page import pages

        show(pages(asked.decodes, needed()), asked.json)
    else:
        show(results(asked), asked.json)


if __name__ == "__main__":
    main()
