"""Who can answer a suite: the protocol, what is told and asked, and how answers are checked.

A Generator is told what a model may be told: context frames and the Setup, never a start state. A Reference is no model
but a row to compare with, and is shown the whole scene.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from worldsim.captions.refer import colour_name
from worldsim.engines import Rollout
from worldsim.scene import Setup

UInt8 = NDArray[np.uint8]
# What a function may be told, in the order of Generator.generate.
TOLD = ("context", "setup", "num_frames", "fps", "seed", "text")


class Unanswered(ValueError):
    """A generator cannot answer this scene at all; the clip counts 0 in the headline, and the message says why."""


@runtime_checkable
class Generator(Protocol):
    """A model that continues videos. Bring your own through this."""

    name: str

    def generate(self, context: UInt8, setup: Setup, num_frames: int, fps: float, seed: int, text: str) -> UInt8:
        """Continue a video.

        Args:
            context: (K, H, W, 3) RGB frames.
            setup: Bodies, law and camera, without the start states of what moves.
            num_frames: New frames that are asked for.
            fps: Frames a second.
            seed: Of the model's noise.
            text: What the Setup says, in words.

        Returns:
            (num_frames, H, W, 3) RGB frames that follow the context.

        Raises:
            Unanswered: Where the model cannot play such a scene.
        """
        ...


@dataclass(frozen=True)
class Question:
    """A scene of the suite with its answer.

    Attributes:
        case: Name of the scene.
        truth: The scene as played.
        context: How many of its frames are given.
    """

    case: str
    truth: Rollout
    context: int


@runtime_checkable
class Reference(Protocol):
    """A row to compare with, which knows the scene."""

    name: str

    def answer(self, question: Question) -> UInt8:
        """(num_frames, H, W, 3) frames after the context.

        Raises:
            Unanswered: Where there are none.
        """
        ...


class CallableGenerator:
    """Any function of (context, setup, num_frames, fps, seed, text), or of those of them that it names."""

    def __init__(self, name: str, function: Any, arguments: Mapping[str, Any] | None = None) -> None:
        """Take a function, with further keyword arguments of its own."""
        self.name = name
        self._function = function
        self._arguments = dict(arguments or {})
        parameters = inspect.signature(function).parameters.values()
        taken = {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        everything = any(p.kind == p.VAR_KEYWORD for p in parameters)
        if "context" not in taken and not everything:
            raise ValueError(f"model: must take an argument named context, {name} takes {', '.join(sorted(taken))}")
        self._told = tuple(word for word in TOLD if everything or word in taken)
        for word in self._arguments:
            if word in TOLD or not (everything or word in taken):
                raise ValueError(f"model_args.{word}: must be an argument of its own of {name}")

    def generate(self, context: UInt8, setup: Setup, num_frames: int, fps: float, seed: int, text: str) -> UInt8:
        """Call the function."""
        values = (context, setup, num_frames, fps, seed, text)
        given = dict(zip(TOLD, values, strict=True))
        found = self._function(**{word: given[word] for word in self._told}, **self._arguments)
        return np.asarray(found)


def check_arguments(kind: Any, given: Mapping[str, Any], word: str) -> None:
    """Refuse arguments that a class or function does not take."""
    known = inspect.signature(kind).parameters
    for name in given:
        if name not in known:
            raise ValueError(f"model_args.{name}: must be one of {', '.join(known) or 'none'} for {word}")


def checked(frames: Any, num_frames: int, context: UInt8, name: str) -> UInt8:
    """A generator's answer, refused where it is not (num_frames, H, W, 3) uint8 of the context's size."""
    shape = (num_frames, *context.shape[1:])
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.shape != shape:
        told = f"{frames.dtype} {frames.shape}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise ValueError(f"{name}: must answer with uint8 frames of shape {shape}, got {told}")
    return np.ascontiguousarray(frames)


def setup_text(setup: Setup) -> str:
    """What a Setup says, in words: what is there, and the law; nothing of where bodies start or what will happen."""
    seen: dict[str, str] = {}
    for body in setup.bodies:
        noun = body.object_name.rstrip("0123456789").replace("_", " ").strip()
        colour = "" if body.static else colour_name(body.colour) + " "
        seen.setdefault(body.object_name, f"a {colour}{noun}")
    pull = float(np.linalg.norm(setup.law.gravity))
    fall = "without gravity" if pull == 0 else f"under gravity of {pull:.3g} m/s^2"
    view = "seen from the side in a plane" if setup.planar else "in a room in space"
    return f"A video of {', '.join(seen.values())} that move {fall}, {view}."
