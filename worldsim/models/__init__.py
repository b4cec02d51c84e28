"""Tokenizers, text encoder, the video diffusion transformer, losses, and WorldModel."""
