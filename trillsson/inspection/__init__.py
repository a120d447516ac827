"""What is in a dataset: totals, rejects, durations, labels, speakers, duplicates and leaks, as text and as a page."""

from trillsson.inspection.inspecting import inspect
from trillsson.inspection.summary import Summary, summarise

__all__ = ["Summary", "inspect", "summarise"]
