"""PROTOCOLS by name, and run_protocol, which checks what it is given before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worldsim.benchmarks.protocols.ldr import run_ldr
from worldsim.benchmarks.protocols.likephys import run_likephys
from worldsim.benchmarks.protocols.outcome import ProtocolResult
from worldsim.benchmarks.protocols.phyworld import run_phyworld, run_phyworld_legacy
from worldsim.benchmarks.protocols.pis import run_pis
from worldsim.benchmarks.protocols.pisa import run_pisa
from worldsim.benchmarks.protocols.rigidbench import run_rigidbench
from worldsim.benchmarks.protocols.rigidity_pdi import run_rigidity_pdi
from worldsim.benchmarks.protocols.takes import run_physics_iq, run_physics_iq_verified


@dataclass(frozen=True)
class Protocol:
    """A named way to judge.

    Attributes:
        name: That users call it by.
        summary: What it measures, in one line.
        run: The function behind run_protocol; its docstring lists the arguments.
    """

    name: str
    summary: str
    run: Callable[..., ProtocolResult]

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names that `run` takes."""
        return tuple(inspect.signature(self.run).parameters)

    @property
    def required(self) -> tuple[str, ...]:
        """Names that `run` cannot do without."""
        parameters = inspect.signature(self.run).parameters.values()
        return tuple(p.name for p in parameters if p.default is inspect.Parameter.empty)


PROTOCOLS: dict[str, Protocol] = {
    entry.name: entry
    for entry in (
        Protocol("phyworld", "velocity error of discs, unbiased, with missing balls counted", run_phyworld),
        Protocol("phyworld_legacy", "velocity error of discs as published, its bias included", run_phyworld_legacy),
        Protocol("physics_iq", "where and when motion happens, against two takes of the scene", run_physics_iq),
        Protocol("physics_iq_verified", "the same, divided clip by clip", run_physics_iq_verified),
        Protocol("pisa", "place and shape of a dropped object, from masks", run_pisa),
        Protocol(
            "rigidbench", "places, shapes and tracked points of all objects, drift of the background", run_rigidbench
        ),
        Protocol("pis", "whether quantities that a motion conserves stay constant", run_pis),
        Protocol("rigidity_pdi", "whether distances within an object stay in proportion", run_rigidity_pdi),
        Protocol("likephys", "whether a denoiser prefers lawful videos to unlawful twins", run_likephys),
        Protocol("ldr", "position error in and out of distribution over five worlds", run_ldr),
    )
}


def run_protocol(name: str, **arguments: Any) -> ProtocolResult:
    """Run a protocol.

    Args:
        name: One of PROTOCOLS.
        **arguments: Of PROTOCOLS[name].run: `videos` and `reference` for those that judge videos, `model` for likephys.

    Raises:
        ValueError: For an unknown name or argument, one that is missing, and what the protocol itself refuses.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol: must be one of {', '.join(PROTOCOLS)}, got {name!r}")
    protocol = PROTOCOLS[name]
    for key in arguments:
        if key not in protocol.arguments:
            raise ValueError(f"{name}.{key}: must be one of {', '.join(protocol.arguments)}, got an unknown argument")
    for key in protocol.required:
        if arguments.get(key) is None:
            raise ValueError(f"{name}.{key}: must be given, is missing")
    return protocol.run(**arguments)
