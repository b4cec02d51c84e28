"""Scores of generated video: metrics, violating twins, self-test and the report."""

from worldsim.benchmarks._score import score
from worldsim.benchmarks.result import Figure, Violations
from worldsim.benchmarks.segment import Backdrop, ColourTracker
from worldsim.benchmarks.track import Tracker
from worldsim.benchmarks.twins import KINDS, NotApplicable, violate

__all__ = ["KINDS", "Backdrop", "ColourTracker", "Figure", "NotApplicable", "Tracker", "Violations", "score", "violate"]
