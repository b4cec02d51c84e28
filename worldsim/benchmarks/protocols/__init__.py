"""Named protocols of the field, each as published, with its biases owned up to and what is done about them beside."""

from worldsim.benchmarks.protocols.cases import VideoCase, read_cases
from worldsim.benchmarks.protocols.outcome import Measured, ProtocolResult
from worldsim.benchmarks.protocols.registry import PROTOCOLS, Protocol, run_protocol
from worldsim.benchmarks.protocols.second_take import second_take

__all__ = [
    "PROTOCOLS",
    "Measured",
    "Protocol",
    "ProtocolResult",
    "VideoCase",
    "read_cases",
    "run_protocol",
    "second_take",
]
