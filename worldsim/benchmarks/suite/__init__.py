"""Suites: frozen scenes that any model is asked to continue, and the leaderboard of the answers."""

from worldsim.benchmarks.suite.generator import CallableGenerator, Generator, Question, Reference, Unanswered
from worldsim.benchmarks.suite.leaderboard import (
    Interval,
    LawRow,
    LeaderboardRow,
    bootstrap,
    row_of,
    sorted_rows,
    write_leaderboard,
)
from worldsim.benchmarks.suite.load import load_generator
from worldsim.benchmarks.suite.manifest import Case, Manifest, draw_case, list_suites, load_manifest, scene_hash
from worldsim.benchmarks.suite.report import suite_report
from worldsim.benchmarks.suite.run import Clip, SuiteConfig, finished_models, run_suite, settings_of

__all__ = [
    "CallableGenerator",
    "Case",
    "Clip",
    "Generator",
    "Interval",
    "LawRow",
    "LeaderboardRow",
    "Manifest",
    "Question",
    "Reference",
    "SuiteConfig",
    "Unanswered",
    "bootstrap",
    "draw_case",
    "finished_models",
    "list_suites",
    "load_generator",
    "load_manifest",
    "row_of",
    "run_suite",
    "scene_hash",
    "settings_of",
    "sorted_rows",
    "suite_report",
    "write_leaderboard",
]
