"""Small models, and data, that reports are written of."""

import torch

import reparam as rp
from reparam.data import Data, Split
from reparam.report import TrainedModel
from reparam.train.history import History


def entry(label, model, **scores):
    return TrainedModel(label, model.eval(), scores, History())


def build(name, data, **parameters):
    torch.manual_seed(0)
    small = {} if name == "pca" else {"hidden": (16,), "network": "mlp"}
    model = rp.build(name, data.space, latent_dim=parameters.get("latent_dim", 2), **small)
    if name == "pca":
        rp.fit(model, data, progress=False)
    return model


def data_of(x, space, labels=None, **kwargs):
    part = Split(x, labels)
    return Data(part, part, part, space, "made", **kwargs)
