"""MuJoCo from torch against central differences of whole roll-outs of C MuJoCo, and its inverse against its forward."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest
import torch

from worldsim.physics.mujoco_derivatives import MujocoDynamics, tangent_difference

ASSETS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"

PENDULUM = """
<mujoco><option timestep="0.01"/>
<worldbody><body pos="0 0 1"><joint type="hinge" axis="0 1 0" damping="0.05" name="j"/>
<geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.03"/></body></worldbody>
<actuator><motor joint="j" gear="2"/></actuator></mujoco>
"""
CARTPOLE = """
<mujoco><option timestep="0.01" integrator="implicitfast"/>
<worldbody><body><joint type="slide" axis="1 0 0" name="x" damping="0.1"/><geom type="box" size=".2 .1 .1"/>
<body><joint type="hinge" axis="0 1 0" damping="0.01"/><geom type="capsule" fromto="0 0 0 0.2 0 0.6" size="0.03"/>
</body></body></worldbody>
<actuator><position joint="x" kp="20" kv="2"/></actuator></mujoco>
"""
TUMBLING = """
<mujoco><option timestep="0.005" gravity="0 0 -9.81"/>
<worldbody><body pos="0 0 2"><freejoint/><geom type="box" size=".3 .2 .1"/>
<body pos=".4 0 0"><joint type="ball" damping="0.02"/><geom type="capsule" fromto="0 0 0 .3 0 .2" size="0.04"/>
</body></body></worldbody></mujoco>
"""
MUSCLE = """
<mujoco><option timestep="0.01"/>
<worldbody><body><joint type="hinge" axis="0 1 0" damping="0.1" name="j"/><geom type="box" size=".2 .1 .3"/></body>
</worldbody>
<actuator><general joint="j" dyntype="filter" dynprm="0.1" gainprm="5"/></actuator></mujoco>
"""


def humanoid(integrator=mujoco.mjtIntegrator.mjINT_EULER):
    """Gymnasium's humanoid; its file asks for RK4, which mjd_transitionFD does not know."""
    model = mujoco.MjModel.from_xml_path(str(ASSETS / "humanoid.xml"))
    model.opt.integrator = integrator
    return model


def start(dynamics, batch, seed, spread=0.3, height=0.0):
    """Random states on the manifold, and small controls."""
    rng = np.random.default_rng(seed)
    layout, model = dynamics.layout, dynamics.model
    rows = []
    for _ in range(batch):
        qpos = model.qpos0.copy()
        mujoco.mj_integratePos(model, qpos, rng.normal(size=layout.nv) * spread, 1.0)
        if height:
            qpos[2] += height
        rows.append(np.concatenate([qpos, rng.normal(size=layout.nv) * spread, rng.normal(size=layout.na) * 0.1]))
    return torch.tensor(np.array(rows)), torch.tensor(rng.normal(size=(batch, 8, layout.nu)) * 0.2)


def play(model, state, ctrl, nq, nv):
    """Plain C MuJoCo, one world, step by step."""
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.act[:] = state[:nq], state[nq : nq + nv], state[nq + nv :]
    rows = []
    for row in ctrl:
        data.ctrl[:] = row
        mujoco.mj_step(model, data)
        rows.append(np.concatenate([data.qpos, data.qvel, data.act]))
    return np.array(rows)


def compare(model, seed=0, rtol=1e-4, steps=8, spread=0.3, height=0.0, **options):
    """Largest relative error of directional derivatives of a random loss over the whole roll-out."""
    dynamics = MujocoDynamics(model, **options)
    layout, c_model = dynamics.layout, dynamics.model
    state, ctrl = start(dynamics, 2, seed, spread, height)
    ctrl = ctrl[:, :steps]
    exact = c_model.__copy__()
    exact.opt.tolerance = 0
    weight = torch.randn(
        2, ctrl.shape[1], layout.nstate, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    state.requires_grad_(), ctrl.requires_grad_()
    played = dynamics.rollout(state, ctrl)
    loss = (weight * played).sum() + played.square().sum()
    by_state, by_ctrl = torch.autograd.grad(loss, (state, ctrl), allow_unused=True)

    def total(world, s, c):
        out = play(exact, s, c, layout.nq, layout.nv)
        return (weight[world].numpy() * out).sum() + (out * out).sum()

    rng = np.random.default_rng(7)
    h = 1e-5
    for world in range(2):
        s, c = state[world].detach().numpy(), ctrl[world].detach().numpy()
        numeric, ours = [], []
        for i in range(layout.nstate):  # ambient coordinates, quaternions included
            d = np.zeros(layout.nstate)
            d[i] = h
            numeric.append((total(world, s + d, c) - total(world, s - d, c)) / (2 * h))
            ours.append(by_state[world, i].item())
        for _ in range(6 if layout.nu else 0):
            d = rng.normal(size=c.shape)
            numeric.append((total(world, s, c + h * d) - total(world, s, c - h * d)) / (2 * h))
            ours.append((by_ctrl[world].numpy() * d).sum())
        numeric, ours = np.array(numeric), np.array(ours)
        error = np.abs(numeric - ours).max() / np.abs(numeric).max()
        assert error < rtol, f"world {world}: relative error {error:.2e}"


@pytest.mark.parametrize(
    "xml", [PENDULUM, CARTPOLE, TUMBLING, MUSCLE], ids=["pendulum", "cartpole", "tumbling", "muscle"]
)
def test_gradient_of_whole_rollouts(xml):
    compare(xml)


def test_gradient_of_an_airborne_humanoid():
    compare(humanoid(), steps=4, spread=0.05, height=1.0)


def test_gradient_through_rk4():
    compare(humanoid(mujoco.mjtIntegrator.mjINT_RK4), steps=2, spread=0.05, height=1.0)


def test_central_differences_are_closer():
    compare(TUMBLING, rtol=1e-7, centred=True, eps=1e-5)


def test_gradient_of_a_humanoid_in_contact():
    """Feet pressed into the floor. Friction makes the dynamics bend sharply there: both sides take the same step."""
    dynamics = MujocoDynamics(humanoid(), eps=1e-7, centred=True)
    layout = dynamics.layout
    state = dynamics.initial_state(1)
    state[0, 2] = 1.26
    for _ in range(20):
        state = dynamics.step(state)
    data = mujoco.MjData(dynamics.model)
    data.qpos[:] = state[0, : layout.nq]
    mujoco.mj_forward(dynamics.model, data)
    assert data.ncon > 0
    ctrl = torch.zeros(1, 3, layout.nu, dtype=torch.float64)
    state.requires_grad_()
    (gradient,) = torch.autograd.grad(dynamics.rollout(state, ctrl).square().sum(), state)
    exact = dynamics.model.__copy__()
    exact.opt.tolerance = 0
    rng = np.random.default_rng(0)
    s = state[0].detach().numpy()
    for _ in range(5):
        d = rng.normal(size=len(s))
        up, down = (play(exact, s + sign * 1e-7 * d, ctrl[0], layout.nq, layout.nv) for sign in (1, -1))
        numeric = ((up**2).sum() - (down**2).sum()) / 2e-7
        assert np.isclose((gradient[0].numpy() * d).sum(), numeric, rtol=1e-4)


def test_forward_is_c_mujoco():
    dynamics = MujocoDynamics(humanoid())
    state, ctrl = start(dynamics, 3, 4, 0.05)
    played = dynamics.rollout(state, ctrl)
    for world in range(3):
        ours = play(dynamics.model, state[world].numpy(), ctrl[world].numpy(), dynamics.layout.nq, dynamics.layout.nv)
        assert np.abs(played[world].numpy() - ours).max() < 1e-9


def test_fewer_worlds_than_threads():
    ends = []
    for threads in (1, 3):
        dynamics = MujocoDynamics(humanoid(), threads)
        state = dynamics.initial_state(1).requires_grad_()
        end = dynamics.step(state)
        end.square().sum().backward()
        ends.append((end.detach(), state.grad))
    for one, many in zip(*ends, strict=True):
        assert torch.equal(one, many)


def test_threads_give_identical_results():
    results = []
    for threads in (1, 3):
        dynamics = MujocoDynamics(humanoid(), threads)
        state, ctrl = start(dynamics, 5, 2, 0.05)
        state.requires_grad_(), ctrl.requires_grad_()
        played = dynamics.rollout(state, ctrl)
        results.append((played, *torch.autograd.grad(played.square().sum(), (state, ctrl))))
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


def test_single_precision_outside():
    dynamics = MujocoDynamics(TUMBLING)
    state, ctrl = start(dynamics, 2, 0)
    low = state.float().requires_grad_()
    out = dynamics.rollout(low, ctrl.float())
    out.square().sum().backward()
    assert out.dtype == low.grad.dtype == torch.float32
    high = state.clone().requires_grad_()
    dynamics.rollout(high, ctrl).square().sum().backward()
    assert torch.allclose(low.grad.double(), high.grad, rtol=1e-3, atol=1e-3 * high.grad.abs().max().item())


@pytest.mark.parametrize("xml", [PENDULUM, CARTPOLE, TUMBLING], ids=["pendulum", "cartpole", "tumbling"])
def test_inverse_residual_vanishes_on_lawful_motion(xml):
    dynamics = MujocoDynamics(xml)
    layout = dynamics.layout
    state, ctrl = start(dynamics, 2, 3)
    played = dynamics.rollout(state, ctrl)
    before = torch.cat([state[:, None], played[:, :-1]], 1)
    qpos, qvel = before[..., : layout.nq], before[..., layout.nq : layout.nq + layout.nv]
    qacc = (played[..., layout.nq : layout.nq + layout.nv] - qvel) / layout.timestep
    residual = dynamics.inverse_residual(qpos, qvel, qacc, ctrl)
    assert residual.abs().max() < 1e-9, "metres and radians"
    poses = played[..., : layout.nq]
    assert dynamics.sequence_residual(poses, ctrl.roll(-1, 1)).abs().max() < 1e-8
    # A force that is not there shows as the displacement it would cause: h^2 times the acceleration it takes.
    wrong = dynamics.inverse_residual(qpos, qvel, qacc + 1.0, ctrl)
    assert torch.isclose(wrong.abs().mean(), torch.tensor(layout.timestep**2, dtype=torch.float64), rtol=0.3)


@pytest.mark.parametrize("xml", [PENDULUM, CARTPOLE, TUMBLING], ids=["pendulum", "cartpole", "tumbling"])
def test_inverse_residual_gradient(xml):
    dynamics = MujocoDynamics(xml)
    layout = dynamics.layout
    state, ctrl = start(dynamics, 2, 5)
    inputs = [
        state[:, : layout.nq],
        state[:, layout.nq :],
        torch.randn(2, layout.nv, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
        ctrl[:, 0],
    ]
    weight = (
        torch.randn(2, layout.nv, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) / layout.timestep**2
    )

    def loss(*values):
        return (dynamics.inverse_residual(*values) * weight).sum()

    leaves = [value.clone().requires_grad_() for value in inputs]
    gradients = torch.autograd.grad(loss(*leaves), leaves)
    for k, value in enumerate(inputs):
        numeric = torch.zeros_like(value)
        for i in np.ndindex(*value.shape):
            for sign in (1, -1):
                moved = [v.clone() for v in inputs]
                moved[k][i] += sign * 1e-5
                numeric[i] += sign * loss(*moved) / 2e-5
        scale = numeric.abs().max() if value.numel() else 1.0
        assert torch.allclose(gradients[k], numeric, atol=1e-4 * float(scale) + 1e-9), (k, gradients[k] - numeric)


def test_sequence_residual_gradient_reaches_poses():
    dynamics = MujocoDynamics(TUMBLING)
    state, ctrl = start(dynamics, 1, 1)
    poses = dynamics.rollout(state, ctrl)[..., : dynamics.layout.nq].detach()
    poses = poses + 1e-3 * torch.randn(poses.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for q, _ in dynamics.layout.quaternions:
        poses[..., q : q + 4] /= poses[..., q : q + 4].norm(dim=-1, keepdim=True)
    poses.requires_grad_()

    def loss(values):
        return dynamics.sequence_residual(values).square().sum() * 1e6

    (gradient,) = torch.autograd.grad(loss(poses), poses)
    d = torch.randn(poses.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 1e-6
    with torch.no_grad():
        numeric = (loss(poses + d) - loss(poses - d)) / 2
    assert torch.isclose((gradient * d).sum(), numeric, rtol=1e-4)


def test_tangent_difference_is_mujocos():
    dynamics = MujocoDynamics(TUMBLING)
    state, _ = start(dynamics, 2, 0)
    ours = tangent_difference(dynamics.layout, state[0, : dynamics.layout.nq], state[1, : dynamics.layout.nq])
    theirs = np.zeros(dynamics.layout.nv)
    nq = dynamics.layout.nq
    mujoco.mj_differentiatePos(dynamics.model, theirs, 1.0, state[0, :nq].numpy(), state[1, :nq].numpy())
    assert np.allclose(ours.numpy(), theirs, atol=1e-12)


def test_bad_input_is_refused():
    dynamics = MujocoDynamics(TUMBLING)
    state = dynamics.initial_state(2)
    none = torch.zeros(2, 3, 0, dtype=torch.float64)
    with pytest.raises(ValueError, match="state: must have shape"):
        dynamics.rollout(state[:, 1:], none)
    with pytest.raises(ValueError, match="ctrl_sequence: must have shape"):
        dynamics.rollout(state, torch.zeros(2, 3, 1))
    with pytest.raises(ValueError, match="unit quaternions"):
        dynamics.rollout(state * 2, none)
    with pytest.raises(ValueError, match="finite"):
        dynamics.step(state * torch.nan)
    with pytest.raises(ValueError, match="float32 or float64"):
        dynamics.rollout(state.half(), none)
    with pytest.raises(ValueError, match="num_threads"):
        MujocoDynamics(TUMBLING, 0)
    with pytest.raises(ValueError, match="model"):
        MujocoDynamics(3)
    with pytest.raises(ValueError, match="contact_d0"):
        MujocoDynamics(TUMBLING, contact_d0=1.0)
    with pytest.raises(ValueError, match="activations"):
        MujocoDynamics(MUSCLE).inverse_residual(*(torch.zeros(1, 1),) * 4)
    with pytest.raises(ValueError, match="qpos"):
        dynamics.sequence_residual(state[:, :11])


def test_divergence_names_world_and_step():
    dynamics = MujocoDynamics(PENDULUM)
    state = dynamics.initial_state(3)
    state[1, 1] = 1e300
    with pytest.raises(FloatingPointError, match="world 1 diverged at step 1"):
        dynamics.rollout(state, torch.zeros(3, 4, 1, dtype=torch.float64))


def test_importing_physics_loads_no_simulator():
    code = "import sys, worldsim.physics; sys.exit('mujoco' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
