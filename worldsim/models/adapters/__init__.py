"""Other people's models in ours: video transformers as denoisers, text encoders."""

from worldsim.models.adapters.diffusers import DiffusersDenoiser
from worldsim.models.adapters.transformers import PretrainedTextEncoder

__all__ = ["DiffusersDenoiser", "PretrainedTextEncoder"]
