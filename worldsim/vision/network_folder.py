"""A small trained network in a folder of its own: weights, config, and facts such as its error; never pickled."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from worldsim.scene import from_dict
from worldsim.scene.files import write_bytes

Network = TypeVar("Network", bound=nn.Module)


def save_network(folder: Path, name: str, network: nn.Module, config: Any, facts: Mapping[str, Any]) -> None:
    """Write NAME.safetensors and NAME.json, which holds the config, a dataclass, beside the facts; each file whole."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
    write_bytes(folder / f"{name}.safetensors", save_tensors(weights))
    document = {"config": dataclasses.asdict(config), **facts}
    write_bytes(folder / f"{name}.json", (json.dumps(document, indent=1) + "\n").encode("utf-8"))


def load_network(folder: Path, name: str, build: Callable[[Any], Network], kind: type) -> Network:
    """The network that save_network wrote, in evaluation mode on the CPU.

    Args:
        folder: Where it lies.
        name: Of the files, and in errors.
        build: Makes the network of a config.
        kind: Dataclass of the config.

    Raises:
        ValueError: Where files are missing or damaged, or weights are not finite or do not fit the config.
    """
    path, weights_path = folder / f"{name}.json", folder / f"{name}.safetensors"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        weights = load_tensors(weights_path.read_bytes())
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(f"{name}: must be a folder with whole {path.name} and {weights_path.name}, {error}") from None
    network = build(from_dict(kind, told.get("config") if isinstance(told, dict) else None, f"{path}.config"))
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{name}: must have weights of its config, got {error}") from None
    for key, tensor in weights.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{weights_path}.{key}: must be finite, got NaN or infinity")
    return network.eval()
