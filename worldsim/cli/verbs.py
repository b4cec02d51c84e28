"""The verbs of `worldsim`. A new one is a module like VerbModule, defaults in configs/VERB.yaml, and a line here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Protocol, cast


class VerbModule(Protocol):
    """What a verb's module holds.

    Attributes:
        Config: Dataclass of the verb's settings; its docstring's Attributes are the help text.
        EXAMPLES: Commands that work as they stand.
        POSITIONAL: Names of the settings that may be given without their key, in order.
        CHOICES: Setting to its possible values, for completion.

    It may hold GROUPS too: names of folders of configs/ whose files set many settings at once, as +experiment=smoke.
    """

    Config: type
    EXAMPLES: tuple[str, ...]
    POSITIONAL: tuple[str, ...]
    CHOICES: dict[str, tuple[str, ...]]

    def run(self, config: Any) -> None:
        """Do what the verb says."""


@dataclass(frozen=True)
class Verb:
    """A line of the registry: where the verb is, and what it does in a few words."""

    module: str
    summary: str

    def load(self) -> VerbModule:
        """Import the verb's module."""
        return cast(VerbModule, importlib.import_module(self.module))


VERBS: dict[str, Verb] = {
    "list": Verb("worldsim.cli.list", "show the scenario families, their ranges and a sheet of thumbnails"),
    "simulate": Verb("worldsim.cli.simulate", "play scenes of a family and store the rollouts"),
    "inspect": Verb("worldsim.cli.inspect", "count, check and draw what a folder of rollouts holds"),
    "train": Verb("worldsim.cli.train", "train a model, paired with the prior or plain, on rollouts or on videos"),
    "generate": Verb(
        "worldsim.cli.generate", "go on with a scene or a clip, or open a video from text; facts go beside it"
    ),
    "bench": Verb("worldsim.cli.bench", "score videos for physical violations, or test the benchmark itself"),
    "replay": Verb("worldsim.cli.replay", "play a stored rollout or scene again, compare it, draw it better"),
    "demo": Verb(
        "worldsim.cli.demo", "generate futures by the plain and the paired model, score them, show them on one page"
    ),
    "completion": Verb("worldsim.cli.completion", "print the tab completion script of a shell"),
}
