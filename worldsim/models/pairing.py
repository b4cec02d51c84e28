"""The pairing's road from context pixels to the hint: read states, fit the start, roll the prior out, rasterise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worldsim.physics import LawParameters, PhysicsPrior
from worldsim.physics.bodies import Bodies
from worldsim.physics.rotation import exponential
from worldsim.physics.trajectory import Trajectory, concatenate
from worldsim.scene import Setup
from worldsim.vision.raster import View, rasterise
from worldsim.vision.readout import SEEN


def check_foreseeable(setups: Sequence[Setup], by_colour: bool) -> None:
    """Refuse worlds whose future the pairing would get wrong without a word.

    Args:
        setups: Of the worlds.
        by_colour: Whether starts are read by flat colour.

    Raises:
        ValueError: For joints or a robot, whose motion the prior does not know; read by colour, for perspective, for
            worlds that are not planar, and for shaded pictures.
    """
    ask = "; without the prior (hint off, no consistency, no guidance) a model works there"
    for setup in setups:
        for name, held in (("joints", setup.joints), ("robot", setup.robot)):
            if held:
                told = len(setup.joints) if name == "joints" else "one"
                raise ValueError(f"setup.{name}: must be none where the prior foresees free bodies{ask}; got {told}")
        if not by_colour:
            continue
        for name, found, wanted in (
            ("camera.kind", setup.camera.kind, "orthographic"),
            ("planar", setup.planar, True),
            ("shading", setup.shading, "flat"),
        ):
            if found != wanted:
                raise ValueError(
                    f"setup.{name}: must be {wanted!r} where starts are read by colour, other scenes need a learned "
                    f"readout (worldsim train readout=NAME model.readout=learned); got {found!r}"
                )


def fit_start(observed: Trajectory, bodies: Bodies, gravity: Tensor, tolerance: Tensor | float) -> Trajectory:
    """The state at the last context frame that a free flight through the observed positions gives.

    Weighted least squares over p(s) = p + v s + g s^2 / 2 with s the time from the last frame; in planar worlds bodies
    other than balls turn at a constant rate. Where the flight leaves a body's residual above the tolerance, an impact
    lies within the context: the last two frames that show it are used. A body that two frames show is there at the end
    even where others hide it by then; one that the last frame alone shows is taken to be at rest, and one that an
    earlier one alone shows to be gone.

    Args:
        observed: (B, K, N), presence as weight; K of 1 leaves velocities as they are observed. What is placed in
            frames that show less than half of a body does not count.
        bodies: Static ones keep their first pose.
        gravity: (3,), (B, 3) or (B, N, 3) metres a second squared.
        tolerance: Metres, a number or (B, N).

    Returns:
        (B, 1, N) start.
    """
    position = observed.position
    batch, known, count = position.shape[:3]
    if known == 1:
        return observed
    if gravity.dim() == 2:
        gravity = gravity[:, None]
    time = (torch.arange(known, device=position.device, dtype=position.dtype) - (known - 1)) * observed.dt
    fall = 0.5 * gravity.expand(batch, count, 3)[:, None] * time[:, None, None].square()
    target = position - fall
    seen = observed.presence > SEEN
    weight = observed.presence * seen

    def solve(w: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        s = time[:, None]
        s0, s1, s2 = w.sum(1), (w * s).sum(1), (w * s * s).sum(1)
        y0, y1 = (w[..., None] * target).sum(1), (w[..., None] * s[..., None] * target).sum(1)
        determinant = (s0 * s2 - s1 * s1).clamp_min(1e-12)[..., None]
        place = (s2[..., None] * y0 - s1[..., None] * y1) / determinant
        speed = (s0[..., None] * y1 - s1[..., None] * y0) / determinant
        return place, speed

    place, speed = solve(weight, target)
    residual = target - place[:, None] - speed[:, None] * time[:, None, None]
    worst = (residual.norm(dim=-1) * seen).amax(1)
    last_two = seen.flip(1).cumsum(1).flip(1) <= 2
    late_place, late_speed = solve(weight * last_two, target)
    broken = (worst > tolerance)[..., None]
    place, speed = torch.where(broken, late_place, place), torch.where(broken, late_speed, speed)
    static = torch.tensor(bodies.static, device=position.device)
    flies = (~static & (seen.sum(1) > 1))[..., None]
    place = torch.where(flies, place, position[:, -1])
    speed = torch.where(flies, speed, torch.zeros_like(speed))
    start = observed.frames(known - 1, known)
    orientation, spin = start.orientation, start.angular_velocity
    moving = {kind for kind, held in zip(bodies.kinds, bodies.static, strict=True) if not held}
    if bodies.planar and moving != {"sphere"}:
        turns = _turns(observed)[..., None]
        whole, late = solve(weight, turns), solve(weight * last_two, turns)
        turn, rate = (torch.where(broken, b, a) for a, b in zip(whole, late, strict=True))
        upright = torch.tensor([0.0, 1.0, 0.0], dtype=position.dtype, device=position.device)
        orientation = torch.where(flies, exponential(turn * upright), orientation[:, 0])[:, None]
        spin = torch.where(flies, rate * upright, spin[:, 0])[:, None]
    presence = (flies[..., 0] | seen[:, -1]).to(position.dtype)
    return Trajectory(place[:, None], orientation, speed[:, None], spin, presence[:, None], observed.dt)


def _turns(observed: Trajectory) -> Tensor:
    """(B, K, N) radians about y, continuous in time."""
    angle = 2 * torch.atan2(observed.orientation[..., 2], observed.orientation[..., 0])
    step = angle.diff(dim=1)
    step = step - 2 * torch.pi * torch.round(step / (2 * torch.pi))
    return torch.cat([angle[:, :1], angle[:, :1] + step.cumsum(1)], 1)


def keep_where_seen(held: Trajectory, read: Trajectory, bodies: Bodies) -> Trajectory:
    """(B, 1, N): the held state of each body that the picture shows within half its extent of it, or does not show.

    For bodies that are shown elsewhere, and those that were never there before, it is the read one.
    """
    gap = (held.position - read.position).norm(dim=-1)
    near = gap < 0.5 * bodies.size[:, None, :, 0]
    keep = (held.presence > SEEN) & (near | (read.presence <= SEEN))

    def choose(name: str) -> Tensor:
        return torch.where(keep[..., None], getattr(held, name), getattr(read, name))

    names = ("position", "orientation", "linear_velocity", "angular_velocity")
    presence = torch.where(keep, held.presence, read.presence)
    return Trajectory(**{name: choose(name) for name in names}, presence=presence, dt=read.dt)


def predict(
    prior: PhysicsPrior,
    start: Trajectory,
    observed: Trajectory,
    bodies: Bodies,
    num_new: int,
    law: LawParameters | None,
) -> Trajectory:
    """(B, K + num_new, N): the observed context, its last frame the fitted start, then the prior's future."""
    future = prior(start, bodies, num_new, observed.dt, law=law, check=False)
    parts = [observed.frames(0, observed.num_frames - 1), start, future]
    return concatenate([part for part in parts if part.num_frames], axis="time")


def draw_hint(trajectory: Trajectory, bodies: Bodies, view: View, background: Tensor, shading: str) -> Tensor:
    """(B, 3, T, H, W) in [-1, 1]: the trajectory as colour, as a camera sees it.

    Flat pictures are drawn at twice the size and averaged: edges are all they have, and a disc of a pixel's radius has
    none that is straight within a pixel.
    """
    factor = 2 if shading == "flat" else 1
    raster = rasterise(
        trajectory, bodies, view.finer(factor), tau_px=0, shading=shading, background=background, channels=("colour",)
    )
    assert raster.colour is not None
    colour = raster.colour.movedim(2, 1)
    if factor > 1:
        colour = colour.unflatten(-1, (-1, factor)).unflatten(-3, (-1, factor)).mean((-3, -1))
    return colour * 2 - 1
