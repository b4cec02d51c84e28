"""One self-contained HTML page of scored videos: leaderboard, distributions, and a player with timeline for each."""

from worldsim.benchmarks.report.distribution import Sample
from worldsim.benchmarks.report.page import Board, Entry, write_report

__all__ = ["Board", "Entry", "Sample", "write_report"]
