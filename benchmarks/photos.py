"""What the default models make of a small folder of color photos in a few seconds.

150 crops of two photographs that come with scikit-learn, brought to 64 × 64; each model trains for
the same seconds, as `reparam compare` gives it.

    python benchmarks/photos.py --seconds 40
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

import reparam as rp
from reparam.comparison_defaults import default_models
from reparam.comparison_runs import Candidate

SCORES = ("reconstruction_mse", "bits_per_dim", "kernel_distance", "sample_sharpness")


def write_photos(folder: Path, count: int = 150) -> None:
    """Crops of 96 to 300 pixels, a little wider than high."""
    rng = np.random.default_rng(0)
    photos = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    for i in range(count):
        photo = photos[i % len(photos)]
        side = int(rng.integers(96, 300))
        left, top = (int(rng.integers(0, whole - side)) for whole in photo.size)
        box = (left, top, left + side, top + int(side * rng.uniform(0.8, 1)))
        photo.crop(box).save(folder / f"{i:03d}.jpg", quality=92)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder))
        data = rp.load_data(folder, size=64)
    for text in default_models(data.space, len(data.train)):
        asked = Candidate.parse(text)
        model = rp.build(asked.preset, data.space, seed=0, **asked.parameters)
        history = rp.fit(model, data, budget=arguments.seconds, seed=0, progress=False)
        scores = rp.evaluate(model, data, samples=10)
        steps = history.rows[-1]["step"] if history.rows else 0
        said = [f"{name} {scores[name].value:.4g}" for name in SCORES if name in scores]
        print(f"{text}: {steps:g} steps, {', '.join(said)}", flush=True)


if __name__ == "__main__":
    main()
