"""From a rollout to its event program and its captions at four levels, and the check that proves each sentence."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np

from worldsim.captions.events import Event, extract_events, moving, objects
from worldsim.captions.proofs import direction_of, prove, start_velocity
from worldsim.captions.refer import Lexicon
from worldsim.captions.templates import FIRST, LAST, NEXT, Claim, read, sentences, write
from worldsim.engines.rollout import Rollout

LEVELS = ("prompt", "scene", "events", "quantitative")
# What a one-sentence prompt is about, most telling first.
SALIENCE = ("through", "hidden", "contact", "exit", "support", "contain", "rest")
MAX_EVENTS = 12


def describe(rollout: Rollout) -> Rollout:
    """The rollout with its events and captions; the scene's family and seed fix the choice of words.

    Sentences that the states do not prove (an event on the brink of its definition) are left out.
    """
    scene = rollout.scene
    events = extract_events(rollout)
    lexicon = Lexicon.of(scene)
    digest = hashlib.sha256(f"{scene.family}|{scene.seed}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    claims = {
        "prompt": _prompt(rollout, events),
        "scene": _scene(rollout),
        "events": [_event_claim(e) for e in events],
        "quantitative": [*_quantities(rollout), *(_event_claim(e, timed=True) for e in events)],
    }
    caption = {}
    for level in LEVELS:
        proven = [claim for claim in claims[level] if prove(claim, rollout) is not None]
        if level in ("events", "quantitative"):
            proven = _shortened(proven)
        lines = []
        for i, claim in enumerate(proven):
            lead = _lead(i, len(proven), rng) if level == "events" and len(proven) > 1 else ""
            lines.append(write(claim, lexicon, rng, lead, "a" if level == "prompt" else "the"))
        caption[level] = " ".join(lines)
    return replace(rollout, events=[event.as_dict() for event in events], caption=caption)


def _shortened(claims: list[Claim]) -> list[Claim]:
    """At most MAX_EVENTS event sentences, the earliest ones, beside what is said of the scene."""
    count, kept = 0, []
    for claim in claims:
        is_event = claim.kind in SALIENCE or claim.kind == "reappear"
        count += is_event
        if not is_event or count <= MAX_EVENTS:
            kept.append(claim)
    return kept


def _lead(i: int, total: int, rng: np.random.Generator) -> str:
    words = FIRST if i == 0 else LAST if i == total - 1 else NEXT
    return words[int(rng.integers(len(words)))]


def _event_claim(event: Event, timed: bool = False) -> Claim:
    # A time said of what holds throughout would be read as a moment.
    stated = round(event.time, 2) if timed and event.kind != "contain" else None
    return Claim(event.kind, event.subject, event.other, time=stated)


def _prompt(rollout: Rollout, events: list[Event]) -> list[Claim]:
    scene, members = rollout.scene, objects(rollout.scene)
    between = [e for e in events if e.kind == "contact" and moving(scene, members[e.other])]
    told = sorted((e for e in events if e.kind in SALIENCE), key=lambda e: SALIENCE.index(e.kind))
    if told and told[0].kind == "contact" and between:
        told = between
    if told:
        return [_event_claim(told[0])]
    return [_motion(rollout, name) for name, indices in members.items() if moving(scene, indices)][:1]


def _motion(rollout: Rollout, name: str) -> Claim:
    indices = objects(rollout.scene)[name]
    path = rollout.trajectory.position[:, indices].numpy()
    moved = (path[-1] - path[0]).mean(axis=0)
    if float(np.linalg.norm(moved)) > 0.05 * max(rollout.scene.bodies[i].shape.extent for i in indices):
        return Claim("moves", name, direction=direction_of(moved, rollout))
    return Claim("still", name)


def _scene(rollout: Rollout) -> list[Claim]:
    scene = rollout.scene
    claims = [Claim("objects", names=tuple(objects(scene)))]
    strength = math.hypot(*scene.law.gravity)
    claims.append(Claim("gravity" if strength else "weightless"))
    if scene.planar:
        claims.append(Claim("planar"))
    for name, members in objects(scene).items():
        if moving(scene, members):
            velocity = start_velocity(members, rollout)
            if float(np.linalg.norm(velocity)) < 1e-9:
                claims.append(Claim("starts_still", name))
            else:
                claims.append(Claim("starts_moving", name, direction=direction_of(velocity, rollout)))
    return claims


def _quantities(rollout: Rollout) -> list[Claim]:
    scene = rollout.scene
    claims = [Claim("gravity_value", number=round(math.hypot(*scene.law.gravity), 2))]
    for name, members in objects(scene).items():
        if not moving(scene, members):
            continue
        mass = sum(scene.bodies[i].mass for i in members if not scene.bodies[i].static)
        claims.append(Claim("mass", name, number=round(mass, 2)))
        if len(members) == 1:
            claims.append(Claim("width", name, number=round(2 * scene.bodies[members[0]].shape.extent, 2)))
        speed = float(np.linalg.norm(start_velocity(members, rollout)))
        claims.append(Claim("speed", name, number=round(speed, 2)))
    return claims


@dataclass(frozen=True)
class Finding:
    """What the check says of one sentence.

    Attributes:
        level: One of LEVELS.
        sentence: As written.
        reason: Empty where the states prove it.
    """

    level: str
    sentence: str
    reason: str


def check_captions(rollout: Rollout) -> list[Finding]:
    """Read every sentence back and prove it from the states; sentences of the events level must also be in order."""
    findings = []
    lexicon = Lexicon.of(rollout.scene)
    for level, text in rollout.caption.items():
        before = -math.inf
        for sentence in sentences(text):
            reason = ""
            try:
                claim = read(sentence, lexicon)
            except ValueError as error:
                findings.append(Finding(level, sentence, str(error)))
                continue
            time = prove(claim, rollout)
            if time is None:
                reason = f"not so in the states: {claim}"
            elif level == "events":
                if time < before - 2 / rollout.scene.fps:
                    reason = f"out of order: at {time:.3f} s, after one at {before:.3f} s"
                before = max(before, time)
            findings.append(Finding(level, sentence, reason))
    return findings
