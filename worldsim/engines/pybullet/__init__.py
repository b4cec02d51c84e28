"""PyBullet behind the Simulator protocol: Bullet's rigid bodies and trees of links, drawn by its software renderer."""

from worldsim.engines.pybullet.simulator import PybulletSimulator

__all__ = ["PybulletSimulator"]
