"""Path conversions round-trip, and samplers solve a case whose answer is known in closed form."""

import itertools
import math

import pytest
import torch

from worldsim.diffusion import (
    add_noise,
    classifier_free,
    energy_guidance,
    sample,
    sample_times,
    shift_time,
    time_grid,
    to_data,
    to_noise,
    to_velocity,
)

SHAPE = (2, 3, 4, 8, 8)


def pair():
    generator = torch.Generator().manual_seed(1)
    x, noise = (torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(2))
    return x, noise, torch.tensor([[0.2, 0.5], [0.7, 0.9]], dtype=torch.float64)


@pytest.mark.parametrize("kind", ["x", "v", "noise"])
def test_conversions_recover_data_noise_and_velocity(kind):
    x, noise, t = pair()
    z = add_noise(x, noise, t)
    prediction = {"x": x, "v": noise - x, "noise": noise}[kind]
    torch.testing.assert_close(to_data(prediction, z, t, kind), x)
    torch.testing.assert_close(to_noise(prediction, z, t, kind), noise)
    torch.testing.assert_close(to_velocity(prediction, z, t, kind), noise - x)


def test_path_ends_at_data_and_noise():
    x, noise, _ = pair()
    torch.testing.assert_close(add_noise(x, noise, torch.zeros(2, 4, dtype=torch.float64)), x)
    torch.testing.assert_close(add_noise(x, noise, torch.ones(2, 1, dtype=torch.float64)), noise)


def gaussian_denoiser(mean, std):
    # For data N(mean, std^2) and z = (1 - t) x + t e the posterior mean of x is linear in z.
    def denoise(z, t):
        time = t.repeat_interleave(z.shape[2] // t.shape[1], 1)[:, None, :, None, None]
        variance = ((1 - time) * std) ** 2 + time**2
        return mean + (1 - time) * std**2 / variance * (z - (1 - time) * mean)

    return denoise


@pytest.mark.parametrize(
    ("solver", "steps", "tolerance"), [("euler", 200, 0.02), ("heun", 40, 0.01), ("ab2", 40, 0.01)]
)
def test_samplers_reach_the_data_distribution(solver, steps, tolerance):
    context = torch.zeros(64, 1, 0, 16, 16, dtype=torch.float64)
    out = sample(
        gaussian_denoiser(0.7, 0.3), context, 2, steps=steps, solver=solver, generator=torch.Generator().manual_seed(0)
    )
    assert abs(out.mean() - 0.7) < tolerance
    assert abs(out.std() - 0.3) < tolerance


@pytest.mark.parametrize("shift", [1.0, 2.0])
@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("ab2", 2)])
def test_solvers_converge_at_their_order(solver, order, shift):
    """For data N(m, s^2) the path from noise e ends at m + s e exactly."""
    noise = torch.randn((1, 1, 1, 8, 8), generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def error(steps):
        generator = torch.Generator().manual_seed(3)
        context = torch.zeros(1, 1, 0, 8, 8, dtype=torch.float64)
        out = sample(
            gaussian_denoiser(0.5, 0.5), context, 1, steps=steps, solver=solver, shift=shift, generator=generator
        )
        return float((out - (0.5 + 0.5 * noise)).abs().max())

    for steps in (40, 80, 160):
        assert math.log2(error(steps) / error(2 * steps)) == pytest.approx(order, abs=0.25)


def test_two_steps_of_memory_beat_euler_at_equal_evaluations():
    noise = torch.randn((1, 1, 1, 8, 8), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    calls = []

    def counted(z, t):
        calls.append(float(t.max()))
        return gaussian_denoiser(0.5, 0.5)(z, t)

    errors = {}
    for solver in ("euler", "ab2"):
        context = torch.zeros(1, 1, 0, 8, 8, dtype=torch.float64)
        out = sample(counted, context, 1, steps=20, solver=solver, generator=torch.Generator().manual_seed(3))
        errors[solver] = float((out - (0.5 + 0.5 * noise)).abs().max())
    assert len(calls) == 40
    assert errors["ab2"] < errors["euler"] / 5


def test_sampling_keeps_the_context_and_repeats_under_a_seed():
    context = torch.rand(2, 3, 2, 8, 8)

    def run(seed):
        return sample(gaussian_denoiser(0.0, 1.0), context, 6, tubelet=2, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(run(0)[:, :, :2], context)
    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_frames": 5}, "num_frames: must be a multiple of the tubelet 2, got 5"),
        ({"num_frames": 2}, "num_frames: must exceed the 2 context frames"),
        ({"steps": 0}, "steps: must be a whole number of 1 or more, got 0"),
        ({"steps": 2.5}, r"steps: must be a whole number of 1 or more, got 2\.5"),
        ({"shift": -1.0}, r"shift: must be above 0 and finite, got -1\.0"),
        ({"context_time": 1.0}, r"context_time: must be from 0 to below 1, got 1\.0"),
        ({"context_time": math.nan}, "context_time: must be from 0 to below 1, got nan"),
        ({"solver": "rk45"}, "solver: must be one of euler, heun, ab2"),
    ],
)
def test_sampling_refuses(changes, words):
    arguments = {"num_frames": 4, "steps": 2, "solver": "euler", **changes}
    with pytest.raises(ValueError, match=words):
        sample(gaussian_denoiser(0.0, 1.0), torch.zeros(1, 3, 2, 8, 8), tubelet=2, **arguments)


def test_times_lie_inside_and_context_is_clean():
    t = sample_times(4096, 6, 2, generator=torch.Generator().manual_seed(0))
    assert (t[:, :2] == 0).all()
    assert (t[:, 2:] > 0).all()
    assert (t[:, 2:] < 1).all()
    assert t[:, 2:].median() == pytest.approx(0.5, abs=0.02)
    shifted = sample_times(4096, 6, 2, shift=3, context_noise=0.1, generator=torch.Generator().manual_seed(0))
    assert shifted[:, 3].median() == pytest.approx(0.75, abs=0.02)  # 3 * .5 / (1 + 2 * .5)
    assert (shifted[:, :2] <= 0.1).all()
    assert shifted[:, 0].std() > 0


def test_time_grid_falls_from_one_to_zero():
    grid = time_grid(8, shift=2)
    assert grid[0] == 1
    assert grid[-1] == 0
    assert all(a > b for a, b in itertools.pairwise(grid))


@pytest.mark.parametrize("shift", [0.0, -1.0, math.nan, math.inf])
def test_shifts_that_lead_nowhere_are_refused(shift):
    for use in (
        lambda: time_grid(4, shift),
        lambda: shift_time(torch.ones(1), shift),
        lambda: sample_times(2, 4, 2, shift=shift),
    ):
        with pytest.raises(ValueError, match=rf"shift: must be above 0 and finite, got {shift!r}"):
            use()


def test_classifier_free_guidance_extrapolates():
    z, t = torch.zeros(1, 1, 1, 2, 2), torch.zeros(1, 1)
    guided = classifier_free(lambda z, t: z + 1, lambda z, t: z, 3.0)
    torch.testing.assert_close(guided(z, t), z + 3)


def test_energy_guidance_lowers_the_energy_below_t_max_only():
    hook = energy_guidance(lambda x: x.square().flatten(1).sum(1), step=0.5, t_max=0.5)
    x = torch.ones(2, 1, 1, 2, 2)
    assert torch.equal(hook(x, 0.9), x)
    assert hook(x, 0.1).abs().max() < 1
