"""Training: one loop for every model."""

from reparam.train.folder import RunFolder
from reparam.train.history import History
from reparam.train.loop import News, fit, resume
from reparam.train.tally import NonFinite

__all__ = ["History", "News", "NonFinite", "RunFolder", "fit", "resume"]
