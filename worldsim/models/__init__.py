"""Tokenizers, text encoder, the video diffusion transformer, losses, and WorldModel."""

from worldsim.models.conditioning import Conditioning
from worldsim.models.config import PRESETS, DiTConfig, WorldModelConfig, preset
from worldsim.models.denoiser import Denoiser, check_denoiser
from worldsim.models.dit import VideoDiT
from worldsim.models.generation import Generation, Sampling
from worldsim.models.model_card import ModelCard
from worldsim.models.pretrained import shipped
from worldsim.models.steering import Guidance
from worldsim.models.world_model import WorldModel

__all__ = [
    "PRESETS",
    "Conditioning",
    "Denoiser",
    "DiTConfig",
    "Generation",
    "Guidance",
    "ModelCard",
    "Sampling",
    "VideoDiT",
    "WorldModel",
    "WorldModelConfig",
    "check_denoiser",
    "preset",
    "shipped",
]
