"""Training speed of VideoDiT beside diffusers' video transformers of equal width, depth and token count.

Forward and backward of a batch, in turns, eager and then compiled; and the share of the machine's float32 matrix rate,
measured at the model's own matrix shapes, that VideoDiT's step reaches, counting its matrix products only. Bars: 1.3
times the fastest peer, .6 of the matrix rate. Run it on a quiet machine:

python experiments/speed/transformer.py [--batch 32] [--repeats 7] [--threads 1] [--no-compile] [--out result.json]

Needs diffusers, which the test extra installs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import CogVideoXTransformer3DModel, WanTransformer3DModel
from torch import Tensor, nn

from worldsim.models import Conditioning, VideoDiT, preset

FRAMES, SIZE, TOLD, SETUP = 16, 32, 3, 32


def ours(width: int, depth: int, heads: int) -> tuple[nn.Module, Callable[[nn.Module, int], Tensor]]:
    """VideoDiT as the experiments train it, and its call on a random batch."""
    config = preset("tiny", width=width, depth=depth, heads=heads, patch=(2, 8, 8), stem=16)

    def run(model: nn.Module, batch: int) -> Tensor:
        z, t = torch.randn(batch, 3, FRAMES, SIZE, SIZE), torch.rand(batch, FRAMES // 2)
        told = Conditioning(setup=torch.randn(batch, TOLD, SETUP), hint=torch.randn_like(z))
        out: Tensor = model(z, t, told)
        return out

    return VideoDiT(config), run


def cogvideox(width: int, depth: int, heads: int) -> tuple[nn.Module, Callable[[nn.Module, int], Tensor]]:
    """CogVideoX's transformer: joint attention with the conditioning tokens, as in ours."""
    model = CogVideoXTransformer3DModel(
        num_attention_heads=heads, attention_head_dim=width // heads, in_channels=3, out_channels=3,
        time_embed_dim=width, text_embed_dim=SETUP, num_layers=depth, sample_width=SIZE, sample_height=SIZE,
        sample_frames=FRAMES, patch_size=8, patch_size_t=2, temporal_compression_ratio=1, max_text_seq_length=TOLD,
        use_rotary_positional_embeddings=True,
    )  # fmt: skip

    angles = torch.rand(FRAMES // 2 * (SIZE // 8) ** 2, width // heads)
    turn = (angles.cos(), angles.sin())

    def run(model: nn.Module, batch: int) -> Tensor:
        z, told = torch.randn(batch, FRAMES, 3, SIZE, SIZE), torch.randn(batch, TOLD, SETUP)
        out: Tensor = model(z, told, torch.full((batch,), 500), image_rotary_emb=turn, return_dict=False)[0]
        return out

    return model, run


def wan(width: int, depth: int, heads: int) -> tuple[nn.Module, Callable[[nn.Module, int], Tensor]]:
    """Wan's transformer: self-attention, and attention to the conditioning tokens besides."""
    model = WanTransformer3DModel(
        patch_size=(2, 8, 8), num_attention_heads=heads, attention_head_dim=width // heads, in_channels=3,
        out_channels=3, text_dim=SETUP, freq_dim=64, ffn_dim=4 * width, num_layers=depth, rope_max_seq_len=64,
    )  # fmt: skip

    def run(model: nn.Module, batch: int) -> Tensor:
        z = torch.randn(batch, 3, FRAMES, SIZE, SIZE)
        out: Tensor = model(z, torch.full((batch,), 500), torch.randn(batch, TOLD, SETUP), return_dict=False)[0]
        return out

    return model, run


def step(model: nn.Module, run: Callable[[nn.Module, int], Tensor], batch: int) -> float:
    """Seconds of one forward and backward."""
    began = time.perf_counter()
    run(model, batch).square().mean().backward()
    seconds = time.perf_counter() - began
    model.zero_grad(set_to_none=True)
    return seconds


def matrix_seconds(model: VideoDiT, batch: int, repeats: int) -> tuple[float, float]:
    """Seconds that a step's matrix products take alone, forward and both backward ones, and their operations."""
    config = model.config
    tokens = FRAMES // 2 * (SIZE // 8) ** 2 + TOLD
    rows, width, hidden = batch * tokens, config.width, int(config.width * config.mlp_ratio)
    head = width // config.heads
    cells = config.stem * config.patch[0] * config.patch[1] * config.patch[2] // 4
    shapes = [
        *((config.depth, rows, width, n) for n in (width + head, head, width, hidden)),
        (config.depth, rows, hidden, width),
        (1, batch * (tokens - TOLD), cells, width),
        (1, batch * (tokens - TOLD), width, cells),
    ]
    seconds, operations = 0.0, 0.0
    for times, m, k, n in shapes:
        a, b, g = torch.randn(m, k), torch.randn(k, n), torch.randn(m, n)
        products: tuple[Callable[[], Tensor], ...] = (lambda: a @ b, lambda: g @ b.mT, lambda: a.mT @ g)  # noqa: B023
        for product in products:
            seconds += times * best(product, repeats)
            operations += times * 2.0 * m * k * n
    q, s = torch.randn(batch * config.heads, tokens, head), torch.randn(batch * config.heads, tokens, tokens)
    pairs: tuple[tuple[int, Callable[[], Tensor]], ...] = (
        (2, lambda: q @ q.mT),  # scores, and the gradient of the attention weights
        (4, lambda: s @ q),  # the mixed values, and the gradients of values, queries and keys
    )
    for times, product in pairs:
        seconds += times * config.depth * best(product, repeats)
        operations += times * config.depth * 2.0 * len(q) * tokens * tokens * head
    return seconds, operations


def best(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of a call after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Time all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    size = (arguments.width, arguments.depth, arguments.heads)
    rows = {"VideoDiT": ours(*size), "CogVideoX": cogvideox(*size), "Wan": wan(*size)}
    result: dict[str, object] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "threads": arguments.threads,
        "load": os.getloadavg()[0],
        "batch": arguments.batch,
        "parameters": {name: sum(p.numel() for p in model.parameters()) for name, (model, _) in rows.items()},
    }
    print(json.dumps(result, indent=1))
    for mode in ("eager",) if arguments.no_compile else ("eager", "compiled"):
        if mode == "compiled":
            for model, _ in rows.values():
                model.compile()
        times: dict[str, list[float]] = {name: [] for name in rows}
        for repeat in range(arguments.repeats + 2):
            for name, (model, run) in rows.items():
                seconds = step(model, run, arguments.batch)
                if repeat >= 2:  # the first ones compile and warm up
                    times[name].append(seconds)
        matrix, operations = matrix_seconds(rows["VideoDiT"][0], arguments.batch, arguments.repeats)  # type: ignore[arg-type]
        peers = [statistics.median(times[name]) for name in rows if name != "VideoDiT"]
        mine = statistics.median(times["VideoDiT"])
        found = {
            "seconds": {n: [round(f(v), 3) for f in (statistics.median, min, max)] for n, v in times.items()},
            "times the fastest peer": round(min(peers) / mine, 2),
            "matrix rate, GFLOP/s": round(operations / matrix / 1e9, 1),
            "share of the matrix rate": round(matrix / mine, 2),
        }
        result[mode] = found
        print(mode, json.dumps(found), flush=True)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
