"""Scores of generated video: metrics, violating twins, self-test and the report."""

from worldsim.benchmarks._score import score
from worldsim.benchmarks._self_test import CheatRow, Row, cheat_test, self_test
from worldsim.benchmarks.brought_masks import load_object_masks, masks_of_points
from worldsim.benchmarks.report import Entry, write_report
from worldsim.benchmarks.result import Figure, Violations
from worldsim.benchmarks.segment import Backdrop, ColourTracker
from worldsim.benchmarks.track import Tracker
from worldsim.benchmarks.twin_frames import NotApplicable
from worldsim.benchmarks.twins import KINDS, violate

__all__ = [
    "KINDS",
    "Backdrop",
    "CheatRow",
    "ColourTracker",
    "Entry",
    "Figure",
    "NotApplicable",
    "Row",
    "Tracker",
    "Violations",
    "cheat_test",
    "load_object_masks",
    "masks_of_points",
    "score",
    "self_test",
    "violate",
    "write_report",
]
