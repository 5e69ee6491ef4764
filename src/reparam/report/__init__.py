"""The report: pictures and numbers of trained models in one self-contained HTML page."""

from reparam.report.entry import Entry
from reparam.report.page import write_report

__all__ = ["Entry", "write_report"]
