"""What notebooks show of scores, histories, data, models and comparisons, as small pieces of HTML.

No piece has a script or loads anything, all text of users is escaped, and colors are those of the
page around it, light or dark.
"""

from __future__ import annotations

from functools import singledispatch

from reparam.comparison import Comparison
from reparam.data import Data
from reparam.evaluation.probing import Probing
from reparam.evaluation.scores import Score, ScoreTable
from reparam.model import Model
from reparam.notebook.accuracies import probing_html, transfer_html
from reparam.notebook.compared_models import comparison_html
from reparam.notebook.data_card import data_html
from reparam.notebook.model_card import model_html
from reparam.notebook.training_curves import history_html
from reparam.notebook.value_list import score_html, scores_html
from reparam.train import History
from reparam.transfer_study import Transfer


@singledispatch
def html(thing: object) -> str | None:
    """The HTML of one of the classes below; None of any other object.

    >>> html(Score(-88.71, "nats", 100, "test", 0.25, "lower bound")).count("≥")
    1
    """
    return None


html.register(Comparison, comparison_html)
html.register(Data, data_html)
html.register(History, history_html)
html.register(Model, model_html)
html.register(Probing, probing_html)
html.register(Score, score_html)
html.register(ScoreTable, scores_html)
html.register(Transfer, transfer_html)
