"""Pictures of planar discs whose motion is known in closed form, drawn by pixel centres, without any engine."""

import numpy as np

from worldsim.scene import Body, Law, Scene, Sphere, State, planar_camera

COLOURS = ((0.9, 0.1, 0.1), (0.1, 0.2, 0.9), (0.1, 0.7, 0.2))


def scene_of(radii, starts, velocities=None, gravity=(0.0, 0.0, 0.0), frames=24, fps=10.0, pixels=96, size=10.0):
    velocities = velocities or [(0.0, 0.0, 0.0)] * len(radii)
    bodies = tuple(
        Body(
            f"ball_{i}",
            Sphere(r),
            State((x, 0.0, z), linear_velocity=v),
            colour=COLOURS[i],
            restitution=1.0,
            friction=0.0,
        )
        for i, (r, (x, z), v) in enumerate(zip(radii, starts, velocities, strict=True))
    )
    return Scene(
        bodies,
        Law(gravity),
        planar_camera(size, pixels),
        duration=(frames - 1) / fps,
        fps=fps,
        planar=True,
        shading="flat",
    )


def draw(scene, paths, present=None, stretch=None):
    """(T, H, W, 3) video and (T, H, W) ids of discs at (T, N, 2) x, z in metres; later discs lie on top.

    `stretch` is (T, N) by which the horizontal axis is longer.
    """
    paths = np.asarray(paths, float)
    frames, count = paths.shape[:2]
    n = scene.camera.height
    size = scene.camera.extent
    centre = (np.arange(n) + 0.5) * size / n
    x, z = np.meshgrid(centre, size - centre)
    video = np.full((frames, n, n, 3), 255, np.uint8)
    ids = np.zeros((frames, n, n), np.uint8)
    for t in range(frames):
        for k in range(count):
            if present is not None and not present[t][k]:
                continue
            wide = 1.0 if stretch is None else 1.0 + stretch[t][k]
            r = scene.bodies[k].shape.radius
            inside = ((x - paths[t, k, 0]) / wide) ** 2 + (z - paths[t, k, 1]) ** 2 <= r * r
            ids[t][inside] = k + 1
            video[t][inside] = np.round(np.array(scene.bodies[k].colour) * 255)
    return video, ids


def straight(starts, velocities, frames, fps):
    time = np.arange(frames)[:, None, None] / fps
    return np.asarray(starts, float)[None] + time * np.asarray(velocities, float)[None]
