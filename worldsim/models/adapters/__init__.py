"""Other people's video models as denoisers that WorldModel can pair with the prior."""

from worldsim.models.adapters.diffusers import DiffusersDenoiser

__all__ = ["DiffusersDenoiser"]
