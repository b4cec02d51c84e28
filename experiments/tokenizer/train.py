"""Train the causal autoencoder on small clips, print compression and PSNR on clips not seen, save it for WorldModel.

python experiments/tokenizer/train.py DATA OUT [--steps 600] [--minutes 0] [--role val|test] [--resume]

DATA is as experiments/violations/data.py makes it. OUT is then a folder for VideoAutoencoder.load and for
worldsim train tokenizer=OUT. Latents are calibrated on training clips alone.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from worldsim.data.clip import to_float
from worldsim.models.tokenizer import AutoencoderConfig, VideoAutoencoder
from worldsim.training import TrainConfig, Trainer, averaged_weights, step_generator

FRAMES, BATCH = 17, 8
CALIBRATION_BATCHES = 40


def videos(folder: Path, ending: str) -> list[Tensor]:
    """uint8 (N, T, H, W, 3) of every shaded set with that ending."""
    files = [f for f in sorted(folder.glob(f"*{ending}.safetensors")) if "-flat" not in f.name]
    if not files:
        raise SystemExit(f"data: must hold sets named *{ending}.safetensors, {folder} has none")
    return [load_file(file)["video"] for file in files]


def batch_of(sets: list[Tensor], seed: int, step: int) -> Tensor:
    """Random windows of random clips of one set."""
    generator = step_generator(seed, step)
    clips = sets[step % len(sets)]
    rows = torch.randint(len(clips), (BATCH,), generator=generator)
    start = int(torch.randint(clips.shape[1] - FRAMES + 1, (1,), generator=generator))
    return to_float(clips[rows, start : start + FRAMES])


@torch.no_grad()
def decibels(model: VideoAutoencoder, sets: list[Tensor], clips: int) -> dict[str, float]:
    """PSNR over the range of 2, of the whole and of first frames alone, mean over clips and its standard error."""
    whole, first = [], []
    for one in sets:
        for i in range(0, min(clips, len(one)), BATCH):
            x = to_float(one[i : min(i + BATCH, clips), :FRAMES])
            shown = model.decode(model.encode(x)).clamp(-1, 1)
            whole.append(10 * torch.log10(4 / (shown - x).square().mean((1, 2, 3, 4))))
            alone = model.decode(model.encode(x[:, :, :1])).clamp(-1, 1)
            first.append(10 * torch.log10(4 / (alone - x[:, :, :1]).square().mean((1, 2, 3, 4))))
    values = torch.cat(whole)
    return {
        "psnr": round(float(values.mean()), 2),
        "standard_error": round(float(values.std() / len(values) ** 0.5), 2),
        "first_frame_psnr": round(float(torch.cat(first).mean()), 2),
        "clips": len(values),
    }


def main() -> None:
    """Train, then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="stop, with a checkpoint, after so long; 0: no bound"
    )
    parser.add_argument("--clips", type=int, default=50, help="of each set that is measured")
    parser.add_argument("--role", choices=("val", "test"), default="test", help="of the clips that are measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    model, sets = VideoAutoencoder(AutoencoderConfig()), videos(arguments.data, "_id_train")
    config = TrainConfig(
        str(arguments.out),
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        checkpoint_every=100,
        max_minutes=arguments.minutes,
    )
    began = time.monotonic()
    trainer = Trainer(model, lambda step: batch_of(sets, arguments.seed, step), config)
    trainer.train(resume=arguments.resume)
    model.load_state_dict(averaged_weights(arguments.out))
    model.eval()
    # Steps beyond those of the run: batches that it may have seen, but in none of its order.
    later = range(arguments.steps, arguments.steps + CALIBRATION_BATCHES)
    model.calibrate(batch_of(sets, arguments.seed, step) for step in later)
    # data.py makes no validation clips out of distribution.
    splits = ("id", "ood") if arguments.role == "test" else ("id",)
    result = {
        "compression": model.compression,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seed": arguments.seed,
        "steps": trainer.step,
        "minutes_of_last_piece": round((time.monotonic() - began) / 60, 1),
        "hardware": f"{platform.machine()}, {arguments.threads} thread",
        **{
            split: decibels(model, videos(arguments.data, f"_{split}_{arguments.role}"), arguments.clips)
            for split in splits
        },
    }
    model.save(arguments.out, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
