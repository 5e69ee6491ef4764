"""Codecs of index codes whose answers are known."""

import torch

from reparam.model import Codec, Loss, Space

IMAGES = Space((1, 4, 6), "levels", 5)


class Cells(Codec):
    """One index for every 2 × 2 pixels: the upper left one, which all four of them become."""

    code_space = Space((1, 2, 3), "levels", 5)

    def loss(self, x, c=None, player="model"):
        error = (self.reconstruct(x) - x).flatten(1).square().sum(1)
        return Loss(error.mean(), {"squared_error": error})

    def encode(self, x, c=None):
        return self.prepare(x, c, "range")[0][..., ::2, ::2].long()

    def decode(self, code, c=None):
        code = self.prepare_code(code)
        return code.repeat_interleave(2, -1).repeat_interleave(2, -2)


class Grids(Cells):
    """The same indices as those of two grids: the first alone, then the other five."""

    code_space = Space((6,), "levels", 5)
    grids = ((1, 1, 1), (1, 1, 5))

    def encode(self, x, c=None):
        return super().encode(x, c).flatten(1)

    def prepare_code(self, code):
        return super().prepare_code(code).view(-1, 1, 2, 3)


def images(rows):
    """Images of which the six indices are those of each row."""
    x = torch.tensor(rows).view(-1, 1, 2, 3)
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2).to(torch.uint8)
