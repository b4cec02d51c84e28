"""The robot-push family as a Gymnasium environment, worldsim/RobotPush-v0, played by the MuJoCo engine.

Stepping and drawing are the engine's own (its Player and Painter), so that an episode under the expert's actions is the
very rollout that simulate gives.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.engines.mujoco.backend import mujoco
from worldsim.engines.mujoco.play import Player
from worldsim.engines.mujoco.render import Painter
from worldsim.engines.mujoco.states import read_velocities
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Scene, make_scene
from worldsim.scene.checks import require
from worldsim_envs.robot_push import TOLERANCE, distance_to_target

Observation = dict[str, NDArray[np.float32]]


class RobotPushEnv(gymnasium.Env[Observation, NDArray[np.float32]]):  # type: ignore[misc]
    """Push the cube to the target zone.

    Action: Box(-1, 1, (A,)), the servo targets, -1 and 1 being each actuator's limits; held for a frame interval.
    Observation: Dict of float32 Boxes, world frame and SI units: joint_positions (A,), joint_velocities (A,),
    cube_position (3,), cube_orientation (4,) w x y z, cube_velocity (6,) linear then angular, target (3,).
    Reward: the share of the start distance between cube and target that was covered in the step, plus 1 at the
    episode's end where the cube lies within robot_push.TOLERANCE of the target.
    The episode is truncated after the scene's duration and never terminates. `info` has distance (m), success and
    scene_seed.

    Args:
        render_mode: "rgb_array" or None.
        split: "id" or "ood".
        role: "train", "val" or "test".
        pixels: Edge of the square picture.
        fps: Steps a second.
        duration: Seconds of an episode.
        preset: "fast", "standard" or "quality" rendering.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 24}  # noqa: RUF012  Gymnasium's form

    def __init__(
        self,
        render_mode: str | None = None,
        *,
        split: str = "id",
        role: str = "train",
        pixels: int = 64,
        fps: float = 24.0,
        duration: float = 3.0,
        preset: str = "fast",
    ) -> None:
        modes = self.metadata["render_modes"]
        require("render_mode", f"None or one of {modes}", render_mode is None or render_mode in modes, render_mode)
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": fps}
        self.preset = preset
        self._draw: dict[str, Any] = {"split": split, "role": role, "pixels": pixels, "fps": fps, "duration": duration}
        self.scene = self._make_scene(0)
        assert self.scene.robot is not None
        self._names = [actuator.joint for actuator in self.scene.robot.actuators]
        limits = np.array([actuator.limits for actuator in self.scene.robot.actuators])
        self._middle, self._half = limits.mean(axis=1), (limits[:, 1] - limits[:, 0]) / 2
        count = len(self._names)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (count,), np.float32)
        widths = {
            "joint_positions": count,
            "joint_velocities": count,
            "cube_position": 3,
            "cube_orientation": 4,
            "cube_velocity": 6,
            "target": 3,
        }
        self.observation_space = gymnasium.spaces.Dict(
            {name: gymnasium.spaces.Box(-np.inf, np.inf, (width,), np.float32) for name, width in widths.items()}
        )
        self._player: Player | None = None
        self._painter: Painter | None = None

    def _make_scene(self, seed: int) -> Scene:
        return make_scene("robot_push", seed, **self._draw)

    @property
    def expert_actions(self) -> NDArray[np.float32]:
        """(T - 1, A) actions of the scripted expert for the present episode."""
        assert self.scene.robot is not None
        rows = np.array(self.scene.robot.controls)
        actions: NDArray[np.float32] = np.clip((rows - self._middle) / self._half, -1, 1).astype(np.float32)
        return actions

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Of the stream that scene seeds are drawn from.
            options: {"scene_seed": n} plays that scene of the family instead.
        """
        super().reset(seed=seed)
        options = options or {}
        require("options", "scene_seed or nothing", set(options) <= {"scene_seed"}, sorted(options))
        self._scene_seed = int(options.get("scene_seed", self.np_random.integers(2**31)))
        self.scene = self._make_scene(self._scene_seed)
        self._player, self._painter, self._frame = Player(self.scene), None, 0
        self._distance = self._start_distance = self._measure()
        return self._observe(), self._info()

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Play one frame interval; actions beyond the action space are refused."""
        require("action", f"inside {self.action_space}", self.action_space.contains(np.asarray(action)), action)
        player = self._playing()
        last = self.scene.num_frames - 1
        require("step", "called before the episode's end; reset first", self._frame < last, self._frame)
        self._frame += 1
        player.data.ctrl[:] = (self._middle + self._half * np.asarray(action, np.float64)).astype(np.float32)
        player.advance(self._frame / self.scene.fps)
        before, self._distance = self._distance, self._measure()
        truncated = self._frame == last
        reward = (before - self._distance) / self._start_distance + float(truncated and self._distance <= TOLERANCE)
        return self._observe(), reward, False, truncated, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """The present frame, (pixels, pixels, 3), where render_mode is rgb_array."""
        if self.render_mode is None:
            return None
        player = self._playing()
        if self._painter is None:
            self._painter = Painter(self.scene, self.preset, player.compiled)
        ids = player.compiled.body_ids
        self._refresh()
        position = torch.from_numpy(player.data.xpos[ids][None].copy())
        orientation = torch.from_numpy(player.data.xquat[ids][None].copy())
        rest = torch.zeros_like(position)
        poses = Trajectory(position, orientation, rest, rest, torch.ones_like(position[..., 0]), 1 / self.scene.fps)
        frame: NDArray[np.uint8] = self._painter.paint(poses).video[0]
        return frame

    def close(self) -> None:
        """Let go of the model and its renderer."""
        self._player = self._painter = None

    def _playing(self) -> Player:
        require("env", "reset before it is stepped or drawn", self._player is not None, self._player)
        assert self._player is not None
        return self._player

    def _refresh(self) -> None:
        """Bring body poses and velocities up to date with the coordinates."""
        player = self._playing()
        for update in (mujoco.mj_kinematics, mujoco.mj_comPos, mujoco.mj_comVel):
            update(player.model, player.data)

    def _measure(self) -> float:
        self._refresh()
        player = self._playing()
        cube = player.data.xpos[player.compiled.body_ids[self.scene.index("cube")]]
        return float(distance_to_target(self.scene, cube))

    def _observe(self) -> Observation:
        player = self._playing()
        place = self.scene.index("cube")
        number = player.compiled.body_ids[place]
        linear, angular = read_velocities(player.compiled, player.data)
        target = self.scene.bodies[self.scene.index("target")].state
        assert target is not None
        joints = [player.model.joint(name) for name in self._names]
        values = {
            "joint_positions": [player.data.qpos[joint.qposadr[0]] for joint in joints],
            "joint_velocities": [player.data.qvel[joint.dofadr[0]] for joint in joints],
            "cube_position": player.data.xpos[number],
            "cube_orientation": player.data.xquat[number],
            "cube_velocity": np.concatenate([linear[place], angular[place]]),
            "target": (target.position[0], target.position[1], 0.0),
        }
        return {name: np.array(value, dtype=np.float32) for name, value in values.items()}

    def _info(self) -> dict[str, Any]:
        return {
            "distance": self._distance,
            "success": self._distance <= TOLERANCE,
            "scene_seed": self._scene_seed,
        }
