"""Scenario families, one file each. Importing the package registers them."""

from worldsim_envs import billiards as billiards
from worldsim_envs import bouncing_balls as bouncing_balls
from worldsim_envs import crossing_quadrupeds as crossing_quadrupeds
from worldsim_envs import dominoes as dominoes
from worldsim_envs import hoop as hoop
from worldsim_envs import incline as incline
from worldsim_envs import ldr as ldr
from worldsim_envs import newtons_cradle as newtons_cradle
from worldsim_envs import occluder as occluder
from worldsim_envs import open_box as open_box
from worldsim_envs import pendulum as pendulum
from worldsim_envs import phyworld as phyworld
from worldsim_envs import robot_push as robot_push
from worldsim_envs import tower as tower
from worldsim_envs import tumbling as tumbling
