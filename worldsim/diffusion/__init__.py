"""The diffusion path and its conversions, timestep sampling, samplers, guidance."""
