"""The arm reaches where it is told, the expert brings the cube home, the Gymnasium environment plays the same."""

from __future__ import annotations

import math
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

import worldsim as ws
from worldsim.scene import dumps, loads_scene, make_scene
from worldsim_envs import arm, robot_push
from worldsim_envs._articulation import rotate
from worldsim_envs.robot_push_env import RobotPushEnv

ENV = "worldsim/RobotPush-v0"


def poses():
    """Hand poses over the ring in which the family works."""
    return st.builds(
        lambda radius, angle, height, facing, opening: arm.Pose(
            (radius * math.cos(angle), radius * math.sin(angle), height), facing, opening
        ),
        st.floats(0.18, 0.44),
        st.floats(-0.9, 0.9),
        st.floats(0.02, 0.2),
        st.floats(-math.pi, math.pi),
        st.floats(0.0, arm.FINGER_TRAVEL),
    )


@given(poses())
def test_hand_reaches_the_pose(pose):
    bodies, _ = arm.build_arm(pose, (1.0, 0.5, 0.0))
    parts = {body.name: body for body in bodies}
    left, right = (parts[f"arm_finger_{side}"].state for side in ("left", "right"))
    down = rotate(parts["arm_hand"].state.orientation, (0, 0, 1))
    np.testing.assert_allclose(down, (0, 0, -1), atol=1e-9)
    middle = (np.array(left.position) + right.position) / 2
    tip = middle + down * (arm.FINGER_HALF_LENGTH + arm.FINGER_RADIUS)
    np.testing.assert_allclose(tip, pose.tip, atol=1e-9)
    line = np.subtract(left.position, right.position)
    facing = np.array([math.cos(pose.facing), math.sin(pose.facing), 0])
    assert abs(line @ facing) < 1e-9
    assert np.linalg.norm(line) == pytest.approx(2 * (arm.FINGER_REST + pose.opening))


def test_poses_out_of_reach_are_refused():
    with pytest.raises(ValueError, match=r"arm\.tip: must be at a distance .* got \(0\.9, 0\.0, 0\.1\)"):
        arm.inverse_kinematics(arm.Pose((0.9, 0.0, 0.1), 0.0))
    with pytest.raises(ValueError, match=r"arm\.finger_left: must be between 0 and 0\.03, got 0\.05"):
        arm.inverse_kinematics(arm.Pose((0.3, 0.0, 0.1), 0.0, 0.05))


def test_script_is_smooth_and_keeps_the_servos_limits():
    for split in ("id", "ood"):
        for seed in range(8):
            scene = make_scene("robot_push", seed, split, fps=60.0)
            rows = np.array(scene.robot.controls)
            for column, actuator in zip(rows.T, scene.robot.actuators, strict=True):
                assert actuator.limits[0] <= column.min() <= column.max() <= actuator.limits[1]
            # No jump in any hinge: the roll never flips by half a turn.
            assert np.abs(np.diff(rows[:, :5], axis=0)).max() < 0.16, (split, seed)


def test_script_refuses_waypoints_out_of_order():
    with pytest.raises(ValueError, match=r"script\.waypoints: must be from 0 and increasing"):
        arm.script([(0.5, robot_push.HOME), (0.2, robot_push.HOME)], 24.0, 3)


def test_table_has_one_flat_top_and_no_gaps():
    scene = make_scene("robot_push", 3)
    tiles = [body for body in scene.bodies if body.object_name in ("table", "target")]
    area = 0.0
    for body in tiles:
        x, y, z = body.shape.half_extents
        assert body.state.position[2] + z == pytest.approx(0.0, abs=1e-12)
        area += 4 * x * y
    (x0, x1), (y0, y1) = robot_push.TABLE_X, robot_push.TABLE_Y
    assert len(tiles) == 5
    assert area == pytest.approx((x1 - x0) * (y1 - y0))


def final_distance(seed: int, split: str) -> float:
    return ws.simulate(make_scene("robot_push", seed, split), render=False).info["distance"]


@pytest.mark.parametrize(("seed", "split"), [(0, "id"), (1, "ood")])
def test_expert_succeeds(seed, split):
    assert final_distance(seed, split) <= robot_push.TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("split", ["id", "ood"])
def test_expert_succeeds_in_nine_of_ten_seeds(split):
    distances = [final_distance(seed, split) for seed in range(50)]
    assert sum(d <= robot_push.TOLERANCE for d in distances) >= 45, np.round(distances, 3)


def test_an_idle_arm_fails_and_says_so():
    scene = make_scene("robot_push", 0, duration=2.0)
    home = arm.inverse_kinematics(robot_push.HOME)
    idle = np.tile(np.array([home[name] for name in arm.JOINTS], np.float32), (scene.num_frames - 1, 1))
    rollout = ws.simulate(scene, actions=idle, render=False)
    assert rollout.info["success"] is False
    assert not robot_push.success(scene, rollout.trajectory)
    assert rollout.info["distance"] == pytest.approx(robot_push.measure(scene)["distance"][0], abs=1e-3)
    np.testing.assert_array_equal(rollout.actions, idle)
    assert loads_scene(dumps(scene)) == scene


# The Gymnasium environment.


def test_check_env_passes():
    env = gymnasium.make(ENV, render_mode="rgb_array").unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Positions and velocities have no bound, which the checker finds "probably too low" and "too high".
        warnings.filterwarnings("ignore", message=".*Box observation space m(in|ax)imum value is")
        check_env(env)
    env.close()


def test_the_experts_episode_is_the_engines_rollout():
    with gymnasium.make(ENV, render_mode="rgb_array", split="id", role="test", pixels=32) as env:
        observation, info = env.reset(seed=0, options={"scene_seed": 2})
        assert info["scene_seed"] == 2
        assert not info["success"]
        start, total, positions = info["distance"], 0.0, [observation["cube_position"]]
        actions = env.unwrapped.expert_actions
        for k, action in enumerate(actions):
            observation, reward, terminated, truncated, info = env.step(action)
            assert not terminated
            assert truncated == (k == len(actions) - 1)
            total += reward
            positions.append(observation["cube_position"])
        picture = env.render()
    assert info["success"]
    assert total == pytest.approx((start - info["distance"]) / start + 1, abs=1e-9)
    scene = make_scene("robot_push", 2, pixels=32)
    rollout = ws.simulate(scene)
    cube = rollout.trajectory.position[:, scene.index("cube")].numpy()
    # Actions are rounded to float32 on another scale than ctrl: a tenth of a millimetre after three seconds of contact.
    np.testing.assert_allclose(np.array(positions), cube, atol=1e-4)
    assert info["distance"] == pytest.approx(rollout.info["distance"], abs=1e-4)
    assert picture.shape == (32, 32, 3)
    assert np.abs(picture.astype(int) - rollout.video[-1]).mean() < 0.5


def test_resets_are_seeded():
    env = gymnasium.make(ENV)
    first, one = env.reset(seed=7)
    second, two = env.reset(seed=7)
    third, three = env.reset()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert one == two
    assert three["scene_seed"] != one["scene_seed"]
    assert not np.array_equal(third["target"], first["target"])


def test_wrong_use_is_refused():
    env = gymnasium.make(ENV).unwrapped
    with pytest.raises(ValueError, match="env: must be reset before"):
        env.step(np.zeros(7, np.float32))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action: must be inside Box"):
        env.step(np.full(7, 2.0, np.float32))
    with pytest.raises(ValueError, match="options: must be scene_seed or nothing"):
        env.reset(options={"seed": 3})
    with pytest.raises(ValueError, match="render_mode: must be None or one of"):
        RobotPushEnv(render_mode="human")
