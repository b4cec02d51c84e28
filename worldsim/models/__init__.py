"""Tokenizers, text encoder, the video diffusion transformer, losses, and WorldModel."""

from worldsim.models.conditioning import Conditioning
from worldsim.models.config import PRESETS, DiTConfig, WorldModelConfig, preset
from worldsim.models.dit import VideoDiT
from worldsim.models.pretrained import ModelCard, export, shipped
from worldsim.models.world_model import Generation, WorldModel

__all__ = [
    "PRESETS",
    "Conditioning",
    "DiTConfig",
    "Generation",
    "ModelCard",
    "VideoDiT",
    "WorldModel",
    "WorldModelConfig",
    "export",
    "preset",
    "shipped",
]
