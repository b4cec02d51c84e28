"""What a batch of Setups says, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.physics import LawParameters
from worldsim.physics.bodies import Bodies
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Setup, State
from worldsim.vision.raster import View


@dataclass(frozen=True)
class World:
    """Setups of a batch as tensors: what prior, rasteriser and readout need.

    Attributes:
        setups: One a world.
        bodies: Of the worlds.
        view: Of the worlds.
        background: (B, 3) from 0 to 1.
        law: Gravity and drag.
        fixed: (B, 1, N) poses of static bodies; dynamic ones stand at the origin.
    """

    setups: tuple[Setup, ...]
    bodies: Bodies
    view: View
    background: Tensor
    law: LawParameters
    fixed: Trajectory

    @staticmethod
    def of(setups: Sequence[Setup], device: torch.device | str = "cpu") -> World:
        """Gather setups of equal layout.

        Raises:
            ValueError: Where shading or frame rate differ.
        """
        for name in ("shading", "fps"):
            told = {getattr(setup, name) for setup in setups}
            if len(told) > 1:
                raise ValueError(f"setup.{name}: must be the same for all videos of a batch, got {sorted(told)}")
        origin = State((0.0, 0.0, 0.0))

        def rows(name: str) -> Tensor:
            return torch.tensor([[getattr(b.state or origin, name) for b in s.bodies] for s in setups])[:, None]

        names = ("position", "orientation", "linear_velocity", "angular_velocity")
        values = {name: rows(name) for name in names}
        fixed = Trajectory(**values, presence=torch.ones_like(values["position"][..., 0]), dt=1 / setups[0].fps)
        return World(
            tuple(setups),
            Bodies.from_scenes(setups).to(device),
            View.from_cameras([s.camera for s in setups]).to(device=device),
            torch.tensor([s.background for s in setups], device=device),
            LawParameters.of(setups).to(device),
            fixed.to(device),
        )
