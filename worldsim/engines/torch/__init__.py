"""The engine "torch": the differentiable prior itself under the Simulator protocol, drawn by the soft rasteriser."""

from worldsim.engines.torch.simulator import TorchSimulator

__all__ = ["TorchSimulator"]
