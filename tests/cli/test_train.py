"""worldsim train: from rollouts, from videos alone, resumed, exported; what does not fit is refused in one line."""

import json

import numpy as np
import pytest
import torch

from worldsim.cli import main
from worldsim.cli.train import _show
from worldsim.data import write_video
from worldsim.data.clip import to_uint8
from worldsim.models import DiTConfig, WorldModel, WorldModelConfig
from worldsim.models.pretrained import read_config
from worldsim.models.tokenizer import AutoencoderConfig, VideoAutoencoder
from worldsim.training import TrainConfig, Trainer
from worldsim.training.batches import RolloutBatches

TINY = ["+experiment=smoke", "steps=4", "checkpoint_every=2", "log_every=1", "batch_size=2", "model.dit.depth=1"]


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train") / "data"
    assert main(["simulate", "scene=collision", "num_rollouts=4", "pixels=32", "num_frames=18", f"out={folder}"]) == 0
    return folder


def run(capsys, *words):
    code = main(["train", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, " ".join(captured.err.split())


def losses(folder):
    return [json.loads(line)["diffusion"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_run_from_rollouts_resumes_and_is_exported(capsys, rollouts, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    code, out, _ = run(capsys, *TINY, f"data={rollouts}", f"out={whole}", f"export={tmp_path / 'passed-on'}")
    assert code == 0
    assert "4 of 4 steps, diffusion" in out
    assert list((whole / "tensorboard").iterdir())
    model = WorldModel.from_pretrained(tmp_path / "passed-on")
    config, card = read_config(tmp_path / "passed-on")
    assert model.config.dit.depth == 1
    assert config.hint
    assert card.scenes == {"collision": {}}
    assert (card.size, card.steps, card.num_frames) == ((32, 32), 4, 16)
    assert run(capsys, *TINY, f"data={rollouts}", f"out={parts}", "samples=0", "max_minutes=1e-9")[0] == 0
    assert len(losses(parts)) < 4
    assert run(capsys, *TINY, f"data={rollouts}", f"out={parts}", "samples=0", "resume=true")[0] == 0
    assert losses(parts) == losses(whole)
    for words, said in (
        ([f"out={whole}"], "train.out: must hold no run unless resuming"),
        ([f"out={whole}", "resume=true", "model.consistency=0.1"], "consistency: must be 0.0 as in"),
        ([f"out={whole}", "resume=true", "batch_size=3"], "batch_size: must be 2 as in"),
        ([f"out={whole}", "resume=true", "steps=9"], "train.steps: must be 4 as in"),
    ):
        code, _, err = run(capsys, *TINY, f"data={rollouts}", *words)
        assert code == 2
        assert said in err


def test_a_run_on_latents_takes_its_tokenizer_along(capsys, rollouts, tmp_path):
    tokenizer = VideoAutoencoder(AutoencoderConfig(width=8, latent=4, blocks=1))
    tokenizer.calibrate([torch.randn(2, 3, 5, 16, 16)])
    tokenizer.save(tmp_path / "tokenizer", {})
    words = [
        *TINY,
        "steps=2",
        "samples=1",
        f"data={rollouts}",
        f"out={tmp_path / 'run'}",
        "model.tokenizer=autoencoder",
        *(f"model.autoencoder.{name}" for name in ("width=8", "latent=4", "blocks=1")),
        *(f"model.dit.{name}" for name in ("channels=4", "hint_channels=4", "patch=[1,1,1]", "stem=0")),
        "model.context_lengths=[5]",
        "model.clip_frames=17",
    ]
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "tokenizer: must have trained weights" in err
    code, _, err = run(capsys, *words, f"tokenizer={tmp_path / 'tokenizer'}", "model.autoencoder.width=16")
    assert code == 2
    assert "tokenizer: must be AutoencoderConfig(width=16, latent=4, blocks=1)" in err
    code, _, err = run(capsys, *words, f"tokenizer={tmp_path / 'tokenizer'}", f"export={tmp_path / 'passed-on'}")
    assert code == 0, err
    model = WorldModel.from_pretrained(tmp_path / "passed-on")
    for name, value in tokenizer.state_dict().items():
        # What is passed on is in half precision.
        torch.testing.assert_close(model.tokenizer.state_dict()[name], value, rtol=2**-11, atol=2**-24)


def test_a_run_takes_a_trained_readout_along(capsys, rollouts, tmp_path):
    words = [*TINY, "steps=1", "samples=0", f"data={rollouts}", f"out={tmp_path / 'run'}"]
    code, _, err = run(capsys, *words, "model.readout=learned")
    assert code == 2
    assert "readout: must have trained weights" in err
    code, _, err = run(capsys, *words, "readout=violations-small")
    assert code == 2
    assert "readout: must be left out where readout is 'colour'" in err
    code, _, err = run(capsys, *words, "readout=phyworld-small", "model.readout=learned")
    assert code == 2
    assert "readout: must be a checkpoint with a learned readout, phyworld-small reads by colour" in err
    told = ("readout=violations-small", "model.readout=learned", f"export={tmp_path / 'passed-on'}")
    code, _, err = run(capsys, *words, *told)
    assert code == 0, err
    model, shipped = (WorldModel.from_pretrained(name) for name in (tmp_path / "passed-on", "violations-small"))
    for name, value in shipped.readout.state_dict().items():
        assert torch.equal(model.readout.state_dict()[name], value), name
    code, _, err = run(capsys, *words, "resume=true", "model.readout=learned", "steps=1")
    assert code == 2
    assert "readout: must be 'violations-small' as in" in err


def test_the_plain_twin_and_fine_tuning_on_videos(capsys, rollouts, tmp_path, toy_video):
    plain = tmp_path / "plain"
    words = (*TINY, "steps=2", f"data={rollouts}", "plain=true", "model.consistency=0.1")
    assert run(capsys, *words, f"out={plain}", f"export={tmp_path / 'twin'}", "tensorboard=false")[0] == 0
    config, _ = read_config(tmp_path / "twin")
    assert (config.hint, config.consistency) == (False, 0.0)
    (tmp_path / "clips").mkdir()
    for i in range(2):
        write_video(tmp_path / "clips" / f"{i}.mp4", toy_video(18, 32), 10.0)
    words = (f"start={tmp_path / 'twin'}", f"videos={tmp_path / 'clips'}", f"out={tmp_path / 'tuned'}", "batch_size=2")
    code, out, _ = run(capsys, *words, "steps=2")
    assert code == 0
    assert "2 of 2 steps, diffusion" in out
    line = json.loads((tmp_path / "tuned" / "log.jsonl").read_text().splitlines()[-1])
    assert set(line) == {"step", "diffusion", "norm", "rate", "seconds", "began"}


def test_samples_of_a_compiled_model_are_of_the_averaged_weights(rollouts, tmp_path):
    torch.manual_seed(0)
    model = WorldModel(WorldModelConfig(dit=DiTConfig(width=48, depth=1, heads=2), context_lengths=(4,), fps=10.0))
    # As compile=true does, without waiting for a compiler: the bound method is kept in the denoiser itself.
    model.compile(backend="eager")
    batches = RolloutBatches([str(rollouts)], model.config, 2, seed=0)
    trainer = Trainer(model, batches, TrainConfig(str(tmp_path / "run"), steps=1, tensorboard=False))
    seen, shown = batches(0), []
    average = {k: v + 0.1 if v.is_floating_point() else v for k, v in model.state_dict().items()}
    trainer.average.weights = average
    trainer.writer, trainer.show = object(), lambda name, video, fps: shown.append(video)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    _show(trainer, seen, 1)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.load_state_dict(average)
    with torch.no_grad():
        made = model.generate(seen.video[:1, :, :4], seen.setups[:1], seen.num_frames - 4)
    expected = to_uint8(made.video)[0].numpy()
    assert np.array_equal(shown[0][:, :, expected.shape[2] :], expected)


def test_a_run_soon_out_of_time_is_exported(capsys, rollouts, tmp_path):
    words = ("log_every=10", "samples=0", "max_minutes=1e-9", f"export={tmp_path / 'passed-on'}")
    code, out, err = run(capsys, *TINY, *words, f"data={rollouts}", f"out={tmp_path / 'run'}")
    assert code == 0, err
    assert "1 of 4 steps, diffusion" in out
    assert WorldModel.from_pretrained(tmp_path / "passed-on").config.dit.depth == 1


def test_data_that_does_not_fit_is_refused(capsys, rollouts, tmp_path, toy_video):
    clips = tmp_path / "clips"
    clips.mkdir()
    write_video(clips / "short.mp4", toy_video(9, 32), 10.0)
    (tmp_path / "empty").mkdir()
    data = f"data={rollouts}"
    for words, said in (
        ([], "data, videos: must be given, one of them"),
        ([data, f"videos={clips}"], "data, videos: must be given, one of them"),
        ([data, "model.fps=24"], "model.fps: must be 10 as"),
        ([data, "model.clip_frames=20"], "model.clip_frames: must be at most the 18 frames of"),
        (
            [data, "model.clip_frames=15"],
            "clip_frames: must be among multiples of the tubelet's 2 frames, above the longest",
        ),
        ([data, "model.context_lengths=[3]"], "must be multiples of the tubelet's 2 frames, got 3"),
        ([data, "model.dit.patch=[2,5,5]"], "video.height: must be a multiple of 5, got 32 = 6 x 5 + 2"),
        ([data, "shard=true"], "samples: must be 0 with shard=true"),
        ([data, "shard=true", "samples=0", "model.context_lengths=[0,4]"], "must not mix 0 with others"),
        ([data, "shard=true", "samples=0"], "train.shard: must be false for one process"),
        ([data, "model.tokenizer=autoencoder"], "context_lengths: must be 8n + 5, got 4"),
        ([data, "batch_size=0"], "batch_size: must be 1 or more, got 0"),
        ([data, "batch_size=99"], "batch_size: must be at most 4"),
        ([f"videos={clips}"], "model.clip_frames: must be at most the 9 frames of"),
        ([f"videos={tmp_path / 'empty'}"], "must hold videos"),
        ([data, "start=nothing"], "start: must stand without model settings"),
        ([data, "resume=true"], "resume: must find config.json"),
    ):
        code, _, err = run(capsys, *TINY, *words, f"out={tmp_path / 'run'}")
        assert code == 2, said
        assert said in err
    code, _, err = run(capsys, "+experiment=smok", data)
    assert "experiment: must be one of latent, phyworld, smoke, text, violations, got 'smok'" in err
    code, _, err = run(capsys, "start=nothing", data)
    assert "model: must be a folder made by save_pretrained" in err
    code, _, err = run(capsys, data, "model.dit.wdth=3")
    assert "Key 'wdth' not in 'DiTConfig'" in err


def test_a_loss_that_explodes_is_named(capsys, rollouts, tmp_path):
    words = ["learning_rate=1e30", "warmup=0", "clip=1e30", "steps=40", "tensorboard=false"]
    code, _, err = run(capsys, *TINY, *words, f"data={rollouts}", f"out={tmp_path / 'run'}")
    assert code == 2
    assert "must be finite" in err
    assert "of seed 0, batch" in err
