"""LikePhys (arXiv 2510.11512): does a denoiser find lawful videos likelier than their unlawful twins.

The plausibility preference error is the share of matched pairs with loss_valid > loss_invalid, a tie counting half: .5
is chance, 0 is best. A clip's loss is the mean over noise times of the squared error of the predicted noise; both clips
of a pair get the same noise and the same times. No video is generated and nobody judges; all that is needed is a
denoiser.

Pairs are rollouts and their twins by worldsim.benchmarks.violate: same scene, camera and colours, one law broken after
the context. A pair whose twin already differs in the context frames, which a model may be shown, or does not differ in
the window at all, is left out and counted.

Where the original is biased: what breaks a law also changes how hard the pixels are to denoise (a frozen or vanished
ball is easy), so that a denoiser without any physics is far from .5 on single kinds. The same figure of such a
denoiser, which always predicts the last context frame, is printed as `control`. One noise a time leaves luck in: here
several draws are averaged, and figures come kind by kind with Wilson intervals.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from worldsim.benchmarks.protocols.outcome import Measured, ProtocolResult, Row
from worldsim.benchmarks.twin_frames import NotApplicable
from worldsim.benchmarks.twins import KINDS, violate
from worldsim.benchmarks.wilson import wilson
from worldsim.data.clip import Clip, collate
from worldsim.engines import Rollout, get_engine
from worldsim.scene import make_scene

FAMILIES = ("uniform_motion", "parabola", "collision", "bouncing")
TWINS = (
    *("deformation", "vanishing", "teleport", "colour_swap"),
    *("wrong_gravity", "energy_gain", "pass_through", "frozen"),
)
TIMES = tuple((i + 0.5) / 10 for i in range(10))


class DenoisingLoss(Protocol):
    """How badly a denoiser predicts the noise in a clip.

    A loss whose noise lives elsewhere than in pixels, such as in a latent space, has a method `noise_shape(clip)` that
    gives the shape of the noise, batch included.
    """

    def __call__(self, clip: Clip, time: float, noise: Tensor) -> Tensor:
        """(B,) mean squared error of the predicted noise.

        Args:
            clip: B videos (B, 3, T, H, W) in [-1, 1] and what is known of them.
            time: Of the noise, between 0 (data) and 1 (noise).
            noise: Standard normal, of the videos' shape or that of noise_shape.
        """
        ...


@dataclass(frozen=True)
class Pair:
    """A lawful rollout and its twin.

    Attributes:
        family: Of the scene.
        kind: Of the twin, see KINDS.
        valid: Lawful.
        invalid: One law broken.
    """

    family: str
    kind: str
    valid: Rollout
    invalid: Rollout


@dataclass(frozen=True)
class PairSet:
    """Pairs and how many twins could not be used.

    Attributes:
        pairs: That match.
        impossible: Twins that the scene does not allow.
        unmatched: Twins that differ within the context, or nowhere in the window.
    """

    pairs: tuple[Pair, ...]
    impossible: int
    unmatched: int


def make_pairs(
    families: Sequence[str] = FAMILIES,
    kinds: Sequence[str] = TWINS,
    num: int = 4,
    seed: int = 0,
    split: str = "id",
    pixels: int = 32,
    num_frames: int = 16,
    num_context: int = 4,
    engine: str = "mujoco",
) -> PairSet:
    """Twins of fresh scenes of role "test".

    Args:
        families: Of scenes.
        kinds: Of twins.
        num: Scenes a family.
        seed: Of the first scene.
        split: "id" or "ood".
        pixels: Height of the pictures.
        num_frames: Of the window that is judged, from the first frame on.
        num_context: Frames in which both must agree.
        engine: That plays and draws.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"kinds: must be among {', '.join(KINDS)}, got {kind!r}")
    if num < 1:
        raise ValueError(f"num: must be 1 or more, got {num}")
    pairs, impossible, unmatched = [], 0, 0
    for family in families:
        for own in range(seed, seed + num):
            rollout = _played(family, own, split, pixels, engine)
            for kind in kinds:
                try:
                    twin = violate(rollout, kind)
                except NotApplicable:
                    impossible += 1
                    continue
                if _match(rollout, twin, num_context, num_frames):
                    pairs.append(Pair(family, kind, rollout, twin))
                else:
                    unmatched += 1
    return PairSet(tuple(pairs), impossible, unmatched)


def _played(family: str, seed: int, split: str, pixels: int, engine: str) -> Rollout:
    scene = make_scene(family, seed=seed, split=split, role="test")
    camera = scene.camera
    width = round(pixels * camera.width / camera.height)
    view = dataclasses.replace(camera, height=pixels, width=width)
    return get_engine(engine).simulate(dataclasses.replace(scene, camera=view))


def _match(valid: Rollout, invalid: Rollout, context: int, frames: int) -> bool:
    if len(valid.video) < frames:
        raise ValueError(f"num_frames: must be at most the {len(valid.video)} that the scene has, got {frames}")
    same = (valid.video[:frames] == invalid.video[:frames]).all(axis=(1, 2, 3))
    return bool(same[:context].all() and not same.all())


def denoising_losses(
    loss: DenoisingLoss, clip: Clip, times: Sequence[float] = TIMES, draws: int = 1, seed: int = 0
) -> Tensor:
    """(B, len(times)) losses of each clip, all clips of a batch under the same noise, mean over draws."""
    for time in times:
        if not 0 < time < 1:
            raise ValueError(f"times: must lie between 0 and 1, got {time!r}")
    if draws < 1:
        raise ValueError(f"draws: must be 1 or more, got {draws}")
    generator = torch.Generator().manual_seed(seed)
    shaped: Callable[[Clip], Sequence[int]] | None = getattr(loss, "noise_shape", None)
    shape = tuple(clip.video.shape if shaped is None else shaped(clip))
    rows = []
    for time in times:
        total = torch.zeros(shape[0], dtype=torch.float64)
        for _ in range(draws):
            noise = torch.randn(shape[1:], generator=generator).expand(shape)
            with torch.no_grad():
                found = loss(clip, float(time), noise.to(clip.video.device))
            if found.shape != (shape[0],) or not torch.isfinite(found).all():
                raise ValueError(f"loss: must give {shape[0]} finite numbers, got {found} at time {time:g}")
            total += found.double().cpu() / draws
        rows.append(total)
    return torch.stack(rows, -1)


def still_loss(clip: Clip, time: float, noise: Tensor) -> Tensor:
    """The loss of a denoiser without physics, which always predicts the last context frame (the first without context).

    Its noise is off by (1 - t) / t times its error in the clean video.
    """
    known = clip.num_context
    stand = clip.video[:, :, max(known - 1, 0)][:, :, None]
    error = (stand - clip.video)[:, :, known:] * (1 - time) / time
    return error.square().mean((1, 2, 3, 4))


def preference_rows(
    loss: DenoisingLoss,
    pairs: Iterable[Pair],
    times: Sequence[float] = TIMES,
    draws: int = 1,
    seed: int = 0,
    num_frames: int = 16,
    num_context: int = 4,
) -> list[Row]:
    """One row a pair: both losses, the preference error (1, 0, or .5 for a tie) and that of the control."""
    rows = []
    for number, pair in enumerate(pairs):
        clip = collate([pair.valid, pair.invalid], num_context, num_frames)
        losses = denoising_losses(loss, clip, times, draws, seed + number)
        control = denoising_losses(still_loss, clip, times[:1], 1, seed)
        valid, invalid = (float(v) for v in losses.mean(-1))
        row: Row = {"clip": f"{pair.family} {pair.valid.scene.seed}", "family": pair.family, "kind": pair.kind}
        row |= {"loss_valid": valid, "loss_invalid": invalid, "error": _error(valid, invalid)}
        row["times_wrong"] = float(np.mean([_error(float(a), float(b)) for a, b in zip(*losses, strict=True)]))
        row["control"] = _error(*(float(v) for v in control.mean(-1)))
        rows.append(row)
    return rows


def _error(valid: float, invalid: float) -> float:
    return 0.5 if valid == invalid else float(valid > invalid)


def run_likephys(
    model: object,
    families: Sequence[str] = FAMILIES,
    kinds: Sequence[str] = TWINS,
    num: int = 4,
    seed: int = 0,
    split: str = "id",
    pixels: int = 32,
    num_frames: int = 16,
    num_context: int = 4,
    times: Sequence[float] = TIMES,
    draws: int = 1,
    pairs: PairSet | None = None,
) -> ProtocolResult:
    """Plausibility preference error of a denoiser.

    Args:
        model: A DenoisingLoss, such as DiffusersLoss, or package.module:loss; a diffusers pipeline; or a WorldModel, a
            shipped name or a folder of one, which is asked twice, with the prior's hint and without it.
        families: Of fresh scenes.
        kinds: Of twins.
        num: Scenes a family.
        seed: Of the first scene and of the noise.
        split: "id" or "ood".
        pixels: Height of the pictures, as the model takes them.
        num_frames: Of the window.
        num_context: Frames that the model is given, where it takes any; both clips of a pair agree in them.
        times: Of the noise.
        draws: Of noise a time.
        pairs: In place of fresh ones.
    """
    from worldsim.benchmarks.protocols.denoisers import losses_of

    made = pairs or make_pairs(families, kinds, num, seed, split, pixels, num_frames, num_context)
    if not made.pairs:
        raise ValueError(f"kinds: must allow at least one pair, got none of {', '.join(kinds)}")
    figures: dict[str, Measured] = {}
    rows: list[Row] = []
    for label, loss in losses_of(model).items():
        own = preference_rows(loss, made.pairs, times, draws, seed, num_frames, num_context)
        rows += [{"model": label} | row for row in own]
        for kind in ("", *dict.fromkeys(row["kind"] for row in own)):
            chosen = [row["error"] for row in own if kind in ("", row["kind"])]
            figures[f"{label} {kind or 'all'}"] = _share(chosen)
    count = len(made.pairs)
    for kind in ("", *dict.fromkeys(row["kind"] for row in rows[:count])):
        figures[f"control {kind or 'all'}"] = _share([r["control"] for r in rows[:count] if kind in ("", r["kind"])])
    notes = [
        f"{count} pairs; {made.impossible} twins that their scene does not allow and {made.unmatched} that differ in "
        "the context, or nowhere in the window, are left out.",
        "95 % intervals by Wilson: " + "; ".join(f"{name} {_interval(f)}" for name, f in figures.items()) + ".",
    ]
    return ProtocolResult("likephys", figures, tuple(rows), tuple(notes))


def _share(errors: Sequence[float]) -> Measured:
    share = float(np.mean(errors))
    return Measured(share, "share of pairs", len(errors), math.sqrt(share * (1 - share) / len(errors)))


def _interval(figure: Measured) -> str:
    low, high = wilson(figure.value, figure.count)
    return f"{low:.2f} to {high:.2f}"
