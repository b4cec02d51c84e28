"""The floor of every figure on a lawful simulation that shares no code with this room: MuJoCo at 1 ms."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
import pytest
import torch
from violation_cases import Box, Plane, Sphere, world

from worldsim.physics import Trajectory
from worldsim.physics.violations import (
    Violation,
    dynamics_residual,
    energy_gain,
    gravity_error,
    momentum_drift,
    pass_through,
    penetration,
    teleport,
)

XML = """
<mujoco>
  <option timestep="0.001" gravity="0 0 -9.81" integrator="implicitfast"/>
  <default><geom solref="0.004 1" solimp="0.99 0.999 0.0001" friction="0.5 0.001 0.0001" condim="3"/></default>
  <worldbody>
    <geom type="plane" size="5 5 1"/>
    <body pos="0 0 0.8"><freejoint/><geom type="sphere" size="0.1" mass="1"/></body>
    <body pos="0.05 0 1.4"><freejoint/><geom type="box" size="0.15 0.1 0.08" mass="1"/></body>
    <body pos="1.5 0 1.2"><freejoint/><geom type="sphere" size="0.15" mass="1"/></body>
  </worldbody>
</mujoco>
"""
BODIES = world(
    [
        (Plane(), True, None),
        (Sphere(0.1), False, None),
        (Box((0.15, 0.1, 0.08)), False, None),
        (Sphere(0.15), False, None),
    ]
)


@pytest.fixture(scope="module")
def fall() -> Trajectory:
    """50 frames at 25 a second: a ball and a box fall on each other and on the floor, a ball falls and hops by."""
    model = mujoco.MjModel.from_xml_string(XML)
    data = mujoco.MjData(model)
    data.qvel[12:15] = (-1.0, 0.3, 1.5)
    data.qvel[9:12] = (0.4, 1.0, 0.2)
    rows = []
    for frame in range(50):
        while data.time < frame / 25 - 5e-4:
            mujoco.mj_step(model, data)
        mujoco.mj_forward(model, data)
        pose = data.qpos.reshape(3, 7)
        speed = data.qvel.reshape(3, 6).copy()
        spin = np.stack([data.xmat[k + 1].reshape(3, 3) @ speed[k, 3:] for k in range(3)])
        rows.append(np.concatenate([pose, speed[:, :3], spin], 1))
    moving = torch.tensor(np.stack(rows))
    still = torch.zeros(50, 1, 13, dtype=torch.float64)
    still[..., 3] = 1
    table = torch.cat([still, moving], 1)
    return Trajectory(
        table[..., :3],
        torch.nn.functional.normalize(table[..., 3:7], dim=-1),
        table[..., 7:10],
        table[..., 10:13],
        torch.ones(50, 4, dtype=torch.float64),
        1 / 25,
    )


# Law, and the largest value that this lawful simulation may show. Soft contacts give way by some millimetres under an
# impact; an impact between two frames bends a step by up to g dt^2 = 15.7 mm; all else is exact.
FLOORS = [
    (penetration, 6e-3),
    (pass_through, 0.0),
    (dynamics_residual, 1e-12),
    (gravity_error, 1e-10),
    (teleport, 1.6e-2),
    (energy_gain, 1e-2),
    (momentum_drift, 1e-12),
]


@pytest.mark.parametrize(("law", "floor"), FLOORS)
def test_a_lawful_fall_stays_under_the_floor(law: Callable[..., Violation], floor: float, fall: Trajectory) -> None:
    found = law(fall) if law is teleport else law(fall, BODIES)
    assert float(found.share) > 0.1
    assert float(found.worst) <= floor
    if law is penetration:
        assert float(found.mean) < 1e-4
