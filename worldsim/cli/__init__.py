"""The `worldsim` command: verbs with key=value settings. A verb is a module of this package and a line in VERBS."""

from worldsim.cli.command import main

__all__ = ["main"]
