"""What a clip of the violations study is judged by: two readers of places and shapes, and the figures made of them.

"tracker" is reader.py's, or space_reader.py's where motion is free; "readout" is the learned readout that hint, loss
and guidance use. They share no code. What is asked of the places read, the laws themselves, is
worldsim.physics.violations for both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from data import NUM_CONTEXT, touches_of, window_start
from reader import Sight, moving, read
from space_reader import read_space
from torch import Tensor

from worldsim.data import Clip, ClipSet
from worldsim.data.clip import to_uint8
from worldsim.models.world import World
from worldsim.physics import Bodies, LawParameters, Trajectory, violations
from worldsim.physics.geometry import distances
from worldsim.vision import pixels_per_metre
from worldsim.vision.learned_readout import LearnedReadout

READERS = ("tracker", "readout")
CLIP_FRAMES = 16
DEEP = 0.35  # of the smaller radius: an overlap beyond what a reader's error makes
NEAR = 0.35  # likewise, within which two bodies count as touching
LATE = 2  # frames by which a contact may be early or late
ENOUGH = 0.8  # of the places of balls in view: clips of which less is read are not measurable
_SHOWN = 0.3  # of a ball's area, from which the readout knows where it is
_WHOLE = 0.9  # of a ball's area, from which the readout takes it that nothing in front cuts the outline
_LEAST_AREA = 3.0  # pixels


@dataclass(frozen=True)
class Sample:
    """Test clips, windows of one family that each hold a true contact.

    Attributes:
        clip: B of them.
        shown: (B, T, M) square pixels that the M moving bodies truly show.
        touches: Of each, (frame of the window, place, place) of every true contact in the new frames.
    """

    clip: Clip
    shown: Tensor
    touches: tuple[tuple[tuple[float, int, int], ...], ...]


def sample(clips: ClipSet, indices: Sequence[int]) -> Sample:
    """Windows of clips, each at its own start."""
    starts = [window_start(clips, i, CLIP_FRAMES) for i in indices]
    parts = [clips.clip([i], s, CLIP_FRAMES, NUM_CONTEXT) for i, s in zip(indices, starts, strict=True)]
    setups = tuple(setup for part in parts for setup in part.setups)
    first = parts[0]
    names = [f.name for f in dataclasses.fields(Trajectory) if f.name != "dt"]
    states = {name: torch.cat([getattr(part.trajectory, name) for part in parts]) for name in names}
    clip = dataclasses.replace(
        first,
        video=torch.cat([part.video for part in parts]),
        ids=torch.cat([part.ids for part in parts]),
        trajectory=Trajectory(**states, dt=first.trajectory.dt),
        bodies=Bodies.from_scenes(setups),
        cameras=tuple(part.cameras[0] for part in parts),
        law=LawParameters.of(setups),
        actions=torch.cat([part.actions for part in parts]),
        captions=("",) * len(parts),
        setups=setups,
    )
    shown = torch.cat([clips.coverage([i], s, CLIP_FRAMES) for i, s in zip(indices, starts, strict=True)])
    touched = tuple(
        tuple((t - s, i - 1, j - 1) for t, i, j in touches_of(clips, k) if NUM_CONTEXT - 1 < t - s < CLIP_FRAMES - LATE)
        for k, s in zip(indices, starts, strict=True)
    )
    return Sample(clip, shown.sum((-1, -2)), touched)


@dataclass(frozen=True)
class Reading:
    """What a reader says of B videos of T frames with M moving bodies.

    Attributes:
        position: (B, T, M, 3) metres.
        measured: (B, T, M) whether the place is known.
        area: (B, T, M) pixels shown.
        axes: (B, T, M, 2) eigenvalues of the covariance of what is shown, the larger first.
        whole: (B, T, M) whether nothing cuts the body's outline.
        free: Whether depth was read as well: then a ball's size tells its distance, and nothing else.
    """

    position: Tensor
    measured: Tensor
    area: Tensor
    axes: Tensor
    whole: Tensor
    free: bool = False


def by_tracker(video: Tensor, clip: Clip, free: bool = False) -> Reading:
    """Read (B, 3, T, H, W) in [-1, 1] by the independent tracker."""
    look = read_space if free else read
    sights = [look(to_uint8(v).cpu().numpy(), setup) for v, setup in zip(video, clip.setups, strict=True)]
    names = [f.name for f in dataclasses.fields(Sight)]
    return Reading(**{n: torch.from_numpy(np.stack([getattr(s, n) for s in sights])) for n in names}, free=free)


@torch.no_grad()
def by_readout(video: Tensor, clip: Clip, readout: LearnedReadout) -> Reading:
    """The same by the learned readout."""
    world, places = World.of(clip.setups), moving(clip.setups[0])
    found = readout(video, world.bodies, world.view, world.background, world.fixed)
    spread = found.moments.covariance[:, :, places].double()
    area = found.moments.area[:, :, places].double()
    axes = torch.linalg.eigvalsh(spread).flip(-1) + 1 / 12  # a pixel has a width
    position = found.trajectory.position[:, :, places].double()
    radius = world.bodies.size[:, None, places, 0].double()
    pixel = (radius.square() * torch.pi / area.clamp_min(1e-6)).sqrt()  # metres
    gap = (position[:, :, :, None] - position[:, :, None]).norm(dim=-1) - radius[..., None] - radius[..., None, :]
    gap = gap + torch.eye(len(places)) * 1e3
    apart = (gap > 1.5 * pixel[..., None]).all(-1)
    inside = found.moments.border[:, :, places] < 0.02
    share, free = found.trajectory.presence[:, :, places], not readout.config.in_plane
    whole = inside & (share > _WHOLE if free else apart)
    return Reading(position, share > _SHOWN, area, axes.clamp_min(0), whole, free)


def figures(reading: Reading, sample: Sample, known: int = NUM_CONTEXT) -> dict[str, Tensor]:
    """Figures of each clip's new frames, (B,) by name; NaN where nothing can be said.

    deepest: Of all overlaps, in radii of the smaller ball that takes part.
    overlap: Mean over frames of the deepest one, likewise.
    deep: 1 where deepest is above DEEP.
    pass_through: Events.
    met, due: True contacts that occur within LATE frames, and all of them.
    rigidity: Mean absolute log ratio of size or axes to those in the context, over frames in which a ball is whole;
        where motion is free, at the distance that the size itself tells, which leaves the shape.
    permanence: Share of balls and frames, at least half shown in truth, in which from half to twice the area is shown.
    teleport: Largest leap, in radii of the ball.
    measured: Share of balls and frames, at least half shown in truth, that can be placed.
    off: Mean distance from where the ball is in truth, in its radii, over those.
    """
    clip = sample.clip
    places = moving(clip.setups[0])
    bodies = Bodies.from_scenes(clip.setups, dtype=torch.float64)
    motion = motion_of(reading.position, reading.measured, clip.trajectory, places)
    radius, size = bodies.size[:, places, 0], radii(bodies, places)
    depth = overlaps(motion.frames(known), bodies, size)
    deepest = depth.amax((1, 2))
    through = violations.pass_through(motion.frames(known - 1), bodies)
    leap = violations.teleport(motion.frames(max(known - 2, 0)))
    due = sample.shown > 0.5 * sample.shown.amax(1, keepdim=True)
    due[:, :known] = False
    full = sample.shown.amax(1, keepdim=True)
    kept = (reading.area > 0.5 * full) & (reading.area < 2 * full)
    off = (reading.position - clip.trajectory.position[:, :, places]).norm(dim=-1) / radius[:, None]
    met = [_met(motion, bodies, size, touched, b) for b, touched in enumerate(sample.touches)]
    return {
        "deepest": deepest,
        "overlap": depth.amax(-1).mean(1),
        "deep": (deepest > DEEP).double(),
        "pass_through": through.values.sum((1, 2)),
        "met": torch.tensor(met, dtype=torch.float64),
        "due": torch.tensor([len(touched) for touched in sample.touches], dtype=torch.float64),
        "rigidity": _rigidity(reading, clip, known),
        "permanence": _share(kept, due),
        "teleport": (leap.values[:, :, places] / radius[:, None]).amax((1, 2)),
        "measured": _share(reading.measured, due),
        "off": _ratio((off * (reading.measured & due)).sum((1, 2)), (reading.measured & due).sum((1, 2))),
    }


def sharpness(video: Tensor, truth: Tensor, known: int = NUM_CONTEXT) -> Tensor:
    """(B,) PSNR against the truth in decibels, over the new frames of videos in [-1, 1]."""
    error = ((video - truth) / 2)[:, :, known:].square().mean((1, 2, 3, 4))
    return -10 * error.clamp_min(1e-10).log10()


def motion_of(position: Tensor, measured: Tensor, rest: Trajectory, places: list[int]) -> Trajectory:
    """(B, T, N) of all bodies: what moves as read, present where it can be placed; the others where they stand."""
    whole = rest.position.double().clone()
    whole[:, :, places] = position
    presence = torch.ones(whole.shape[:3], dtype=torch.float64)
    presence[:, :, places] = measured.double()
    plain = Trajectory.from_positions(whole, rest.dt)
    turned = rest.orientation.double().clone()
    turned[:, :, places] = plain.orientation[:, :, places]
    return dataclasses.replace(plain, orientation=turned, presence=presence)


def radii(bodies: Bodies, places: list[int]) -> Tensor:
    """(B, N) of the balls in metres, infinite for what stands."""
    size = torch.full(bodies.size.shape[:2], torch.inf, dtype=torch.float64)
    size[:, places] = bodies.size[:, places, 0].double()
    return size


def overlaps(motion: Trajectory, bodies: Bodies, size: Tensor) -> Tensor:
    """(B, T, P) depths of the pairs' overlaps in radii of the smaller ball."""
    found = violations.penetration(motion, bodies)
    i, j = found.subjects.T
    return found.values / torch.minimum(size[:, i], size[:, j])[:, None]


def _met(motion: Trajectory, bodies: Bodies, size: Tensor, touched: Sequence[tuple[float, int, int]], b: int) -> int:
    """How many of a clip's true contacts occur: the bodies come as near as NEAR within LATE frames.

    Bodies bounce between frames, so that each is carried on over one interval from the frame before, and back from the
    frame after.
    """
    one = bodies.map(lambda x: x[b : b + 1])
    step = motion.position[b].diff(dim=0)
    count, frames = 0, motion.num_frames
    for onset, i, j in touched:
        near = NEAR * float(torch.minimum(size[b, i], size[b, j]))
        low, high = max(0, int(np.ceil(onset - LATE))), min(frames - 1, int(np.floor(onset + LATE)))
        for t in range(low, high + 1):
            if not bool((motion.presence[b, t, [i, j]] > 0.5).all()):
                continue
            onward = step[t - 1] if t > 0 else torch.zeros_like(step[0])
            back = -step[t] if t < frames - 1 else torch.zeros_like(step[0])
            share = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None, None]
            path = torch.cat([motion.position[b, t] + share * way for way in (onward, back)])[None]
            turn = motion.orientation[b, t].expand(1, path.shape[1], -1, -1)
            gap = distances(one, path, turn, pairs=[(i, j)], check=False).distance
            if float(gap.min()) < near:
                count += 1
                break
    return count


def _rigidity(reading: Reading, clip: Clip, known: int) -> Tensor:
    """(B,) against the first frame of the context in which a ball is whole."""
    usable = reading.whole & reading.measured & (reading.area >= _LEAST_AREA)
    if reading.free:
        view = World.of(clip.setups).view
        near = (pixels_per_metre(reading.position.float(), view) / view.focal[:, None, None]).double().square()
        # To what would be seen from the middle of the context's distances, so that areas stay ones of pixels.
        near = near / near[:, :known].mean((1, 2), keepdim=True)
        reading = dataclasses.replace(reading, area=reading.area / near, axes=reading.axes / near[..., None])
    context = usable[:, :known]
    first = context.int().argmax(1)
    area = torch.cat([reading.area.gather(1, first[:, None]), reading.area[:, known:]], 1)
    index = first[:, None, :, None].expand(-1, -1, -1, 2)
    axes = torch.cat([reading.axes.gather(1, index), reading.axes[:, known:]], 1)
    whole = torch.cat([context.any(1, keepdim=True), usable[:, known:]], 1)
    found = violations.moment_rigidity(area, axes.clamp_min(1e-3), whole, min_area=_LEAST_AREA)
    judged = found.measurable[:, 1:]
    return _ratio((found.values[:, 1:] * judged).sum((1, 2)), judged.sum((1, 2)))


def _share(values: Tensor, due: Tensor) -> Tensor:
    return _ratio((values & due).sum((1, 2)).double(), due.sum((1, 2)))


def _ratio(total: Tensor, count: Tensor) -> Tensor:
    return torch.where(count > 0, total / count.clamp_min(1), torch.nan)
