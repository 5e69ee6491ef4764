"""Coloring gray digits: hues that gray does not tell, of which draws choose and means do not."""

import numpy as np
import pytest
import torch
from colored_digits import HUES, colored_digits

import reparam as rp
from reparam.degradation import degradation


@pytest.fixture(scope="module")
def data():
    x, digits, _ = colored_digits(400)
    return rp.load_data((x // 32, digits), kind="levels", levels=8)


def test_gray_tells_nothing_of_hues():
    x, _, hues = colored_digits()
    given = degradation("gray", (3, 8, 8))
    gray = given(torch.from_numpy(x).double())[:, 0]
    brightest = gray.flatten(1).amax(1)
    means = [brightest[torch.from_numpy(hues == hue)].mean().item() for hue in range(HUES)]
    # Every color is rounded to whole bytes.
    assert max(means) - min(means) < 1
    assert set(hues.tolist()) == set(range(HUES))
    again, _, _ = colored_digits()
    assert np.array_equal(x, again)
    assert not np.array_equal(x, colored_digits(seed=1)[0])


def test_a_model_colors_and_is_scored_beside_gray_and_the_mean_color(data):
    model = rp.build("regression", data.space, seed=0, given="gray", hidden=(16,), network="mlp")
    rp.fit(model, data, epochs=30, progress=False)
    found = rp.restoration_quality(model, data)
    # It cannot know the hue. Its least squared error is of levels and not of a* and b*, so that it
    # is only near the best that one color scores; that is the mean color of the pixels.
    assert found["color_mse_of_average"].value < found["color_mse_of_gray"].value
    assert found["color_mean_mse"].value < 1.5 * found["color_mse_of_average"].value
    assert found["restoration_mse"].value < data.test.x.double().div(7).square().mean()
    assert found["spread"].value == 0
