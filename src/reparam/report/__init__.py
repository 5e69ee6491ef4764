"""The report: pictures and numbers of trained models in one self-contained HTML page."""

from reparam.report.page import write_page
from reparam.report.trained import TrainedModel

__all__ = ["TrainedModel", "write_page"]
