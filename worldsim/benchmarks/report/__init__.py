"""One self-contained HTML page of scored videos: table of figures, players, and a violation timeline below each."""

from worldsim.benchmarks.report.page import Entry, write_report

__all__ = ["Entry", "write_report"]
