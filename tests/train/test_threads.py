"""How many threads a step is worth."""

import pytest
import torch

import reparam as rp


@pytest.mark.parametrize(
    ("preset", "parameters", "threads"),
    [
        ("vae", {"hidden": (16,)}, 1),
        ("sigma-vae", {"hidden": (16,)}, 1),  # a scale is no weight, whatever its shape
        ("vae", {"hidden": (1024, 1024)}, 2),
        ("vae", {"network": "conv"}, 2),
        ("pixel-cnn", {"width": 4, "layers": 1}, 2),
        ("image-transformer", {"width": 64, "layers": 1, "heads": 2}, 2),  # as wide as x is long
        ("made", {"hidden": (16,)}, 1),
    ],
)
def test_small_fully_connected_steps_take_one_thread(preset, parameters, threads):
    before, seen = torch.get_num_threads(), []
    binary = preset in ("pixel-cnn", "made", "image-transformer")
    x = torch.rand(120, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = rp.load_data((x > 0.5).to(torch.uint8) if binary else x)
    model = rp.build(preset, data.space, **parameters)
    for module in model.modules():
        module.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        rp.fit(model, data, epochs=1, progress=False)
        assert set(seen) == {threads} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
