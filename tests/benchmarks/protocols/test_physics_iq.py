"""Physics-IQ's masks and metrics against loops, its scores against sums by hand, its folders in small."""

import dataclasses
import math

import numpy as np
import pytest
from worlds import ball_case, case_of, flight

from worldsim.benchmarks.protocols import run_protocol, second_take
from worldsim.benchmarks.protocols.motion_masks import grey_blurred, motion_masks, shrink_mask, shrink_picture
from worldsim.benchmarks.protocols.physics_iq import Reel, compare, physics_iq_score, reel, verified_score
from worldsim.benchmarks.protocols.takes import find_takes, resample
from worldsim.data import write_video
from worldsim.engines import get_engine
from worldsim.scene import make_scene


def noise(frames=4, height=11, width=13, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def mirror(i, n):
    return -i if i < 0 else 2 * (n - 1) - i if i >= n else i


def slow_grey(frame):
    height, width = frame.shape[:2]
    grey = np.zeros((height, width), int)
    for y in range(height):
        for x in range(width):
            r, g, b = (int(c) for c in frame[y, x])
            grey[y, x] = math.floor((9798 * r + 19235 * g + 3735 * b) / 32768 + 0.5)
            assert abs(grey[y, x] - (0.299 * r + 0.587 * g + 0.114 * b)) < 0.51
    out = np.zeros_like(grey)
    kernel = [1, 4, 6, 4, 1]
    for y in range(height):
        for x in range(width):
            total = 0
            for dy in range(-2, 3):
                for dx in range(-2, 3):
                    total += kernel[dy + 2] * kernel[dx + 2] * grey[mirror(y + dy, height), mirror(x + dx, width)]
            out[y, x] = math.floor(total / 256 + 0.5)
    return out


def slow_morphology(mask, any_):
    height, width = mask.shape
    out = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            window = [
                mask[i, j]
                for i in range(max(0, y - 2), min(height, y + 3))
                for j in range(max(0, x - 2), min(width, x + 3))
            ]
            out[y, x] = any(window) if any_ else all(window)
    return out


def moving_square(frames=6, size=32):
    video = np.full((frames, size, size, 3), 200, np.uint8)
    for t in range(frames):
        video[t, 10:20, 4 + 3 * t : 14 + 3 * t] = (30, 60, 90)
    return video


def test_masks_are_those_of_the_definition():
    frame = noise(1)[0]
    assert np.array_equal(grey_blurred(frame), slow_grey(frame))
    video = moving_square()
    average = slow_grey(video[0]).astype(float)
    masks = list(motion_masks(video))
    assert not masks[0].any()
    for t in range(1, len(video)):
        grey = slow_grey(video[t])
        average = 0.7 * average + 0.3 * grey
        mask = np.abs(grey - np.rint(average)) > 10
        for any_ in (False, True, True, False):  # open, then close
            mask = slow_morphology(mask, any_)
        assert np.array_equal(masks[t], mask), t
        assert mask.any()
    assert not any(mask.any() for mask in motion_masks(np.repeat(video[:1], 4, 0)))


def test_a_quarter_of_the_size_is_the_mean_of_the_four_middle_pixels():
    video = noise(1, 16, 24)[0]
    small = shrink_picture(video, 4, 6)
    for y in range(4):
        for x in range(6):
            block = video[4 * y + 1 : 4 * y + 3, 4 * x + 1 : 4 * x + 3].reshape(4, 3).astype(float).mean(0)
            assert np.array_equal(small[y, x], np.floor(block + 0.5))
    mask = np.zeros((8, 8), bool)
    mask[1, 1] = True
    assert not shrink_mask(mask, 2, 2).any()  # one of four
    mask[2, 2] = True
    assert shrink_mask(mask, 2, 2)[0, 0]  # two of four come out at 127.5
    odd = shrink_picture(video[:, :, 0], 3, 5)
    for y in range(3):
        for x in range(5):
            v, u = (y + 0.5) * 16 / 3 - 0.5, (x + 0.5) * 24 / 5 - 0.5
            i, j, a, b = int(v), int(u), v - int(v), u - int(u)
            plane = video[:, :, 0].astype(float)
            value = (1 - a) * ((1 - b) * plane[i, j] + b * plane[i, j + 1])
            value += a * ((1 - b) * plane[i + 1, j] + b * plane[i + 1, j + 1])
            assert odd[y, x] == math.floor(value + 0.5)


def random_reel(seed, empty=()):
    rng = np.random.default_rng(seed)
    masks = rng.random((5, 6, 7)) < 0.3
    masks[list(empty)] = False
    return Reel(rng.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8), masks)


def test_the_four_metrics_are_those_of_their_definitions():
    a, b = random_reel(0, empty=(0, 2)), random_reel(1, empty=(0,))
    found = compare(a, b)
    over_time, inner, outer, square = [], 0.0, 0.0, 0.0
    for t in range(5):
        both = either = 0
        for y in range(6):
            for x in range(7):
                both += a.masks[t, y, x] and b.masks[t, y, x]
                either += a.masks[t, y, x] or b.masks[t, y, x]
                for c in range(3):
                    square += ((int(a.frames[t, y, x, c]) - int(b.frames[t, y, x, c])) / 255) ** 2
        over_time.append(1.0 if either == 0 else both / either)
    ever = [[any(r.masks[t, y, x] for t in range(5)) for y in range(6) for x in range(7)] for r in (a, b)]
    for y in range(6):
        for x in range(7):
            p, q = (sum(r.masks[:, y, x]) / 5 for r in (a, b))
            inner, outer = inner + min(p, q), outer + max(p, q)
    assert found["spatiotemporal"] == pytest.approx(np.mean(over_time))
    assert over_time[0] == 1
    both = sum(p and q for p, q in zip(*ever))
    assert found["spatial"] == pytest.approx(both / sum(p or q for p, q in zip(*ever)))
    assert found["weighted"] == pytest.approx(inner / outer)
    assert found["mse"] == pytest.approx(square / (5 * 6 * 7 * 3))
    still = Reel(a.frames, np.zeros_like(a.masks))
    assert compare(still, still) == {"spatiotemporal": 1, "spatial": 1, "weighted": 1, "mse": 0}


def metrics(a, b, c, d):
    return {"spatiotemporal": a, "spatial": b, "weighted": c, "mse": d}


def test_scores_are_the_published_formulas():
    variance = metrics(0.5, 0.8, 0.4, 0.01)
    found = metrics(0.25, 0.4, 0.1, 0.03)
    assert physics_iq_score(found, variance) == pytest.approx(100 * ((0.5 + 0.5 + 0.25) / 3 - 0.02))
    assert physics_iq_score(variance, variance) == pytest.approx(100)
    assert physics_iq_score(metrics(0.9, 0.9, 0.9, 0), variance) == 100  # cut
    assert verified_score(found, variance) == pytest.approx(100 * (0.5 + 0.5 + 0.25 + 1 / 3) / 4, rel=1e-5)
    assert verified_score(metrics(0.9, 0.4, 0.1, 0.0), variance) == pytest.approx(
        100 * (1 + 0.5 + 0.25 + 1) / 4, rel=1e-6
    )
    assert math.isnan(physics_iq_score(found, metrics(0, 0.8, 0.4, 0.01)))


def test_frames_are_mixed_as_published():
    frames = noise(7)
    for wanted in (7, 4, 12):
        got = np.stack(list(resample(iter(frames), 7, wanted)))
        assert len(got) == wanted
        for j in range(wanted):
            at = j * 6 / (wanted - 1)
            i = int(at)
            mixed = (1 - at + i) * frames[i].astype(float) + (at - i) * frames[min(i + 1, 6)]
            assert np.abs(got[j].astype(int) - mixed.astype(np.uint8)).max() <= 1


def data_set(root, fps=8, seconds=2):
    """The data set's folders with two scenarios in one view, and generated videos of their first takes."""
    folder = root / "reference" / "split-videos" / "testing" / f"{fps}FPS"
    folder.mkdir(parents=True)
    (root / "videos").mkdir()
    names = ("trimmed-ball-and-block-fall", "trimmed-ball-ramp")
    for n, name in enumerate(names):
        for take in (1, 2):
            video = np.full((fps * seconds, 48, 64, 3), 220, np.uint8)
            for t in range(len(video)):
                left = 4 + 2 * t + 3 * (take - 1)
                video[t, 10 + 12 * n : 24 + 12 * n, left : left + 14] = (40, 60, 200)
            number = 2 * n + take
            stem = f"{number:04d}_testing-videos_{fps}FPS_perspective-center_take-{take}_{name}"
            write_video(folder / f"{stem}.mp4", video, fps)
            if take == 1:
                write_video(root / "videos" / f"{number:04d}_perspective-center_{name}.mp4", video, fps)
    return root / "videos", root / "reference"


def test_the_data_set_s_own_folders_are_scored(tmp_path):
    videos, reference = data_set(tmp_path)
    assert sorted(find_takes(reference, 8)) == ["0001", "0003"]
    result = run_protocol("physics_iq", videos=videos, reference=reference, seconds=2)
    # A copy of take 1 beats the second take.
    assert result.figures["score"].value == 100
    assert result.figures["score"].count == 2
    assert result.figures["spatiotemporal"].value == 1
    assert 0.1 < result.figures["variance spatiotemporal"].value < 0.9
    assert result.figures["still copy's score"].value < 30
    assert (
        run_protocol("physics_iq_verified", videos=videos, reference=reference, seconds=2).figures["score"].value == 100
    )
    with pytest.raises(ValueError, match=r"must have at least 24 frames"):
        run_protocol("physics_iq", videos=videos, reference=reference, seconds=3)
    (videos / "0001_perspective-center_trimmed-ball-and-block-fall.mp4").rename(videos / "ball.mp4")
    with pytest.raises(ValueError, match="name must begin with the id of a take 1"):
        run_protocol("physics_iq", videos=videos, reference=reference, seconds=2)
    (videos / "ball.mp4").unlink()
    result = run_protocol("physics_iq", videos=videos, reference=reference, seconds=2)
    assert result.notes == ("1 of the data set's 2 takes have a video.",)


def test_shipped_masks_are_used_and_a_missing_take_is_told(tmp_path):
    videos, reference = data_set(tmp_path)
    for path in sorted((reference / "split-videos" / "testing" / "8FPS").iterdir()):
        folder = reference / "video-masks" / "real" / "8FPS"
        folder.mkdir(parents=True, exist_ok=True)
        white = np.full((16, 48, 64, 3), 255, np.uint8)
        write_video(folder / path.name.replace("testing-videos", "video-masks"), white, 8)
    row = run_protocol("physics_iq", videos=videos, reference=reference, seconds=2).rows[0]
    assert row["variance spatiotemporal"] == row["variance spatial"] == 1
    assert row["spatiotemporal"] < 0.5
    next((reference / "split-videos" / "testing" / "8FPS").glob("*take-2*ramp*")).unlink()
    with pytest.raises(ValueError, match="must have takes 1 and 2 of trimmed-ball-ramp"):
        run_protocol("physics_iq", videos=videos, reference=reference, seconds=2)


def test_any_scene_has_a_score_and_lawful_video_beats_a_frozen_one():
    case = ball_case("parabola", seed=1)
    truth = case.render()
    honest = dataclasses.replace(case, frames=truth.video)
    frozen = dataclasses.replace(case, frames=np.repeat(truth.video[:1], len(truth.video), 0))
    shown = flight(case.scene)
    shown[..., 2] = shown[:1, :, 2]
    wrong = case_of(case.scene, shown)
    for name in ("physics_iq", "physics_iq_verified"):
        scores = [run_protocol(name, videos=[c], shrink=2).figures["score"].value for c in (honest, wrong, frozen)]
        assert scores[0] == pytest.approx(100, abs=1e-3)
        assert scores[0] > scores[1] > scores[2], name
    with pytest.raises(ValueError, match="shrink: must leave 8 x 8 pixels"):
        run_protocol("physics_iq", videos=[honest], shrink=16)
    short = dataclasses.replace(honest, frames=honest.frames[:20])
    with pytest.raises(ValueError, match="clip: must have at least 32 frames"):
        run_protocol("physics_iq", videos=[short], shrink=2)


@pytest.mark.parametrize(
    "family", ["parabola", "collision", "bouncing_balls", "newtons_cradle", "tower", "hoop", "incline"]
)
def test_second_takes_differ_a_little_and_can_be_played(family):
    scene = make_scene(family, seed=0)
    take = second_take(scene, 0)
    assert second_take(scene, 0) == take != second_take(scene, 1)
    assert take.camera == scene.camera
    assert take.law == scene.law
    sizes = [body.shape.extent for body in scene.bodies]
    for a, b, extent in zip(scene.bodies, take.bodies, sizes, strict=True):
        assert a.shape == b.shape
        assert b.mass == pytest.approx(a.mass, rel=0.2)
        assert 0 <= b.restitution <= 1
        if a.static:
            assert a.state == b.state
        else:
            assert math.dist(a.state.position, b.state.position) < 0.12 * extent
            pull = np.array(scene.law.gravity)
            assert np.subtract(a.state.position, b.state.position) @ pull == pytest.approx(0, abs=1e-12)
    get_engine("mujoco").simulate(dataclasses.replace(take, duration=2 / take.fps), render=False)


def test_a_take_without_jitter_is_the_scene():
    scene = make_scene("bouncing_balls", seed=3)
    assert second_take(scene, 5, place=0, speed=0, matter=0) == scene
    with pytest.raises(ValueError, match=r"place: must be between 0 and 0\.5"):
        second_take(scene, 0, place=-1)


def test_a_reel_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        reel([])
