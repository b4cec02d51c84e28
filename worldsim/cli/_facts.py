"""What worldsim generate tells of a video in the JSON beside it: what made it, what was foreseen, read and judged."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np

from worldsim.benchmarks import score
from worldsim.engines import Rollout
from worldsim.models import Generation
from worldsim.physics import Trajectory
from worldsim.scene import Setup, dumps


def facts(
    future: Generation, setup: Setup, made_by: dict[str, Any], violations: dict[str, Any] | None
) -> dict[str, Any]:
    """The whole document; worldsim generate takes it for a setup."""
    return {
        **made_by,
        "num_context": future.num_context,
        "frames": len(future.video),
        "fps": setup.fps,
        "setup": json.loads(dumps(setup)),
        "bodies": [body.name for body in setup.bodies],
        "prior": None if future.prior is None else _listed(future.prior),
        "read": {} if future.trajectory is None else _summary(future.trajectory, future.prior, setup),
        "violations": violations,
    }


def judge(future: Generation, setup: Setup, truth: Rollout | None) -> dict[str, Any]:
    """How far the video breaks physical laws: by the scene where all of it was simulated, else by the setup.

    The two are not to be compared: a setup tells neither what was due nor what is read of the truth itself, so that its
    floors come from a table. Where nothing can be judged, judged_by is None and a reason is given.
    """
    # An opening is another start than the scene's.
    scene = None if truth is None or not future.num_context else _cut(truth, len(future.video))
    context = future.num_context or None
    try:
        if scene is not None:
            found = score(future.video, scene=scene, context=context)
        else:
            found = score(future.video, setup=setup, context=context)
    except ValueError as error:  # what cannot be judged has been generated all the same
        return {"judged_by": None, "reason": str(error)}
    if not (math.isfinite(found.headline) and math.isfinite(found.tracked)):
        return {"judged_by": None, "reason": "no law applies"}
    return {"judged_by": "setup" if scene is None else "scene", **found.summary()}


def _cut(truth: Rollout, frames: int) -> Rollout | None:
    """The first frames of a simulated scene; None where it has fewer."""
    if not 2 <= frames <= len(truth.video):
        return None
    return dataclasses.replace(
        truth,
        scene=dataclasses.replace(truth.scene, duration=(frames - 1) / truth.scene.fps),
        video=truth.video[:frames],
        ids=truth.ids[:frames],
        depth=truth.depth[:frames],
        trajectory=truth.trajectory.frames(0, frames),
        actions=truth.actions[: frames - 1],
    )


def _listed(trajectory: Trajectory) -> dict[str, Any]:
    """(T, N, k) lists of metres, quaternions w x y z, metres a second and radians a second."""
    parts = ("position", "orientation", "linear_velocity", "angular_velocity", "presence")
    return {part: np.round(getattr(trajectory, part).double().cpu().numpy(), 5).tolist() for part in parts}


def _summary(read: Trajectory, prior: Trajectory | None, setup: Setup) -> dict[str, Any]:
    """Of each moving body: first and last place, way, mean share of itself that is shown, distance to the prior."""
    rows = {}
    for k, body in enumerate(setup.bodies):
        if body.static:
            continue
        place = read.position[:, k].double()
        row: dict[str, Any] = {
            "first_m": [round(x, 4) for x in place[0].tolist()],
            "last_m": [round(x, 4) for x in place[-1].tolist()],
            "way_m": round(float(place.diff(dim=0).norm(dim=-1).sum()), 4),
            "mean_presence": round(float(read.presence[:, k].mean()), 4),
        }
        if prior is not None:
            row["mean_distance_to_prior_m"] = round(float((place - prior.position[:, k]).norm(dim=-1).mean()), 4)
        rows[body.name] = row
    return rows
