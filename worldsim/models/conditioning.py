"""What a denoiser is told beside the noisy video, and how a Setup becomes tokens."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.scene import SHAPES, Body, Polygon, Setup

SETUP_FEATURES = 32


@dataclass(frozen=True)
class Conditioning:
    """All that a denoiser may be told.

    Attributes:
        setup: (B, S, F) Setup tokens, one for the world and one a body.
        hint: (B, C, T, H, W) the prior's rasterised roll-out, in [-1, 1] or as a latent.
        hint_given: (B,) 1 where the hint is to be used; a dropped hint is zeroed and told so.
        text: (B, W, F) tokens of the text, zero after its end.
        actions: (B, T, A) ctrl held over the frame interval that ends at each frame; the first frame's are zero. Those
            of the frames of a latent frame stand side by side.
    """

    setup: Tensor | None = None
    hint: Tensor | None = None
    hint_given: Tensor | None = None
    text: Tensor | None = None
    actions: Tensor | None = None

    def map(self, function: Any) -> Conditioning:
        """Apply a function to every tensor that is there."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Conditioning(**{name: None if value is None else function(value) for name, value in fields.items()})

    def without_hint(self) -> Conditioning:
        """The same, with the hint off."""
        if self.hint_given is None:
            return self
        return dataclasses.replace(self, hint_given=torch.zeros_like(self.hint_given))

    def without_text(self) -> Conditioning:
        """The same, with an empty text."""
        if self.text is None:
            return self
        return dataclasses.replace(self, text=torch.zeros_like(self.text))


def setup_tokens(setups: Sequence[Setup], dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, 1 + N + P, 32) tokens: the world's, one a body, one for the corners of each polygon; zero-padded to the most.

    Lengths are in units of what the camera sees at its target, positions and directions in camera axes, so that the
    tokens do not hang on where the world's origin is.
    """
    rows = [
        [
            _world_features(s),
            *(_body_features(body, s) for body in s.bodies),
            *(_corner_features(body, body.shape, s) for body in s.bodies if isinstance(body.shape, Polygon)),
        ]
        for s in setups
    ]
    longest = max(len(row) for row in rows)
    tokens = np.zeros((len(rows), longest, SETUP_FEATURES))
    for i, row in enumerate(rows):
        for j, features in enumerate(row):
            tokens[i, j, : len(features)] = features
    return torch.tensor(tokens, dtype=dtype)


def _scale(setup: Setup) -> float:
    camera = setup.camera
    if camera.kind == "orthographic":
        return camera.extent
    distance = float(np.linalg.norm(np.subtract(camera.target, camera.position)))
    return 2 * distance * math.tan(math.radians(camera.fov) / 2)


def _world_features(setup: Setup) -> list[float]:
    camera, scale = setup.camera, _scale(setup)
    gravity = camera.rotation @ np.array(setup.law.gravity) / (scale * setup.fps**2) * 100
    return [
        1.0,
        float(setup.planar),
        float(setup.shading == "flat"),
        float(camera.kind == "orthographic"),
        camera.fov / 90,
        camera.width / camera.height,
        math.log(scale),
        *gravity,
        setup.law.drag / setup.fps,
        setup.fps / 24,
        *setup.background,
    ]


def _corner_features(body: Body, shape: Polygon, setup: Setup) -> list[float]:
    """The body's colour, by which its token is known, and its corners; as many as a polygon may have fit."""
    corners = np.array(shape.vertices) / _scale(setup) * 4
    return [-1.0, *body.colour, *corners.flatten()]


def _body_features(body: Body, setup: Setup) -> list[float]:
    camera, scale = setup.camera, _scale(setup)
    shape = body.shape
    sizes = [
        getattr(shape, name)
        for name in ("radius", "half_length", "major_radius", "minor_radius")
        if hasattr(shape, name)
    ]
    sizes = list(getattr(shape, "half_extents", sizes)) or [shape.thickness if math.isfinite(shape.thickness) else 0.0]
    sizes = [size / scale * 4 for size in sizes] + [0.0] * (3 - len(sizes))
    place = [0.0] * 10
    if body.state is not None:
        place[0] = 1.0
        place[1:4] = list(camera.rotation @ np.subtract(body.state.position, camera.target) / scale * 2)
        # The two body axes that fix an orientation without the sign that a quaternion leaves open.
        place[4:7] = list(camera.rotation @ body.state.rotation[:, 2])
        place[7:10] = list(camera.rotation @ body.state.rotation[:, 0])
    return [
        0.0,
        *(float(shape.kind == kind) for kind in SHAPES),
        *sizes,
        math.log(body.mass) / 3,
        body.friction,
        body.restitution,
        *body.colour,
        *place,
    ]
