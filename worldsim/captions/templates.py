"""Sentences: one table of templates that writes claims as text and reads text back as claims.

A claim is what one sentence says. Slots: {S} and {O} are referring expressions with an article, {N} a number, {D} a
direction, {L} a list of indefinite expressions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from worldsim.captions.refer import Lexicon

TEMPLATES: dict[str, tuple[str, ...]] = {
    "contact": ("{S} hits {O}", "{S} strikes {O}", "{S} makes contact with {O}"),
    "support": ("{S} is carried by {O}", "{O} supports {S}"),
    "rest": ("{S} comes to rest", "{S} stops moving"),
    "exit": ("{S} leaves the view", "{S} moves out of the picture"),
    "hidden": ("{S} disappears behind {O}", "{S} is hidden by {O}"),
    "reappear": ("{S} comes out from behind {O}", "{S} reappears from behind {O}"),
    "through": ("{S} passes through {O}", "{S} goes through {O}"),
    "contain": ("{S} stays inside {O}", "{S} remains within {O}"),
    "moves": ("{S} moves {D}", "{S} travels {D}"),
    "still": ("{S} does not move", "{S} stays where it is"),
    "objects": ("The scene holds {L}", "There is {L}"),
    "gravity": ("Gravity pulls down", "Things fall down"),
    "weightless": ("There is no gravity", "Nothing falls"),
    "planar": ("All motion stays in one upright plane", "Everything moves in one upright plane"),
    "starts_moving": ("{S} starts out moving {D}", "At first {S} moves {D}"),
    "starts_still": ("{S} starts at rest", "At first {S} does not move"),
    "gravity_value": ("Gravity is {N} m/s^2", "The acceleration of gravity is {N} m/s^2"),
    "mass": ("{S} weighs {N} kg", "The mass of {S} is {N} kg"),
    "width": ("{S} is {N} m across", "{S} measures {N} m across"),
    "speed": ("{S} starts at {N} m/s", "The first speed of {S} is {N} m/s"),
}
DIRECTIONS = ("to the right", "to the left", "up", "down", "towards the camera", "away from the camera")
FIRST = ("First,", "At the start,")
NEXT = ("Then", "Next,", "After that,")
LAST = ("Finally,", "In the end,")
_CONNECTIVE = re.compile(r"^(?:" + "|".join(re.escape(w) for w in FIRST + NEXT + LAST) + r") ")
_AT = re.compile(r"^At (\d+\.\d\d) s, ")


@dataclass(frozen=True)
class Claim:
    """What one sentence says.

    Attributes:
        kind: Key of TEMPLATES.
        subject: Object name, empty where the sentence has none.
        other: Second object name.
        number: Value in SI units as written, two decimals.
        direction: One of DIRECTIONS.
        names: Object names of a list.
        time: Seconds, where the sentence states it.
    """

    kind: str
    subject: str = ""
    other: str = ""
    number: float | None = None
    direction: str = ""
    names: tuple[str, ...] = ()
    time: float | None = None


def write(claim: Claim, lexicon: Lexicon, rng: np.random.Generator, lead: str = "", article: str = "the") -> str:
    """One sentence with its full stop."""
    options = TEMPLATES[claim.kind]
    template = options[int(rng.integers(len(options)))]
    slots = {
        "S": _with_article(article, lexicon.refer(claim.subject)) if claim.subject else "",
        "O": _with_article(article, lexicon.refer(claim.other)) if claim.other else "",
        "N": "" if claim.number is None else f"{claim.number:.2f}",
        "D": claim.direction,
        "L": _join([_with_article("a", lexicon.refer(name)) for name in claim.names]),
    }
    text = template.format(**slots)
    if claim.time is not None:
        lead = f"At {claim.time:.2f} s,"
    if lead:
        return f"{lead} {text[0].lower()}{text[1:]}."
    return f"{text[0].upper()}{text[1:]}."


def _with_article(article: str, expression: str) -> str:
    if article == "a" and expression[0] in "aeiou":
        return f"an {expression}"
    return f"{article} {expression}"


def _join(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def _pattern(template: str) -> re.Pattern[str]:
    expression = r"(?:[Tt]he|[Aa]n?) (?P<%s>[\w ]+?)"
    slots = {
        "S": expression % "S",
        "O": expression % "O",
        "N": r"(?P<N>-?\d+\.\d\d)",
        "D": f"(?P<D>{'|'.join(DIRECTIONS)})",
        "L": r"(?P<L>.+)",
    }
    text = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    first = text[0]
    if first.isalpha():
        text = f"[{first.upper()}{first.lower()}]{text[1:]}"
    return re.compile(text.format(**slots).replace("{{", "{") + r"\Z")


_PATTERNS = [(kind, _pattern(template)) for kind, options in TEMPLATES.items() for template in options]


def sentences(text: str) -> list[str]:
    """Sentences of a caption, without their full stops; decimal points do not end one."""
    return [part.rstrip(".") for part in re.split(r"(?<=\.) (?=[A-Z])", text.strip()) if part]


def read(sentence: str, lexicon: Lexicon) -> Claim:
    """The claim that a sentence makes.

    Raises:
        ValueError: Where no template fits, or an expression does not stand for exactly one object.
    """
    body, time = sentence, None
    if at := _AT.match(body):
        body, time = body[at.end() :], float(at.group(1))
    candidates = [body]
    if lead := _CONNECTIVE.match(body):
        candidates.append(body[lead.end() :])
    failure = f"caption: {sentence!r} must follow a template"
    for text in candidates:
        for kind, pattern in _PATTERNS:
            if match := pattern.match(text):
                slots = match.groupdict()
                try:
                    return Claim(
                        kind,
                        lexicon.resolve(slots["S"]) if slots.get("S") else "",
                        lexicon.resolve(slots["O"]) if slots.get("O") else "",
                        float(slots["N"]) if slots.get("N") else None,
                        slots.get("D") or "",
                        tuple(_list(slots["L"], lexicon)) if slots.get("L") else (),
                        time,
                    )
                except ValueError as error:
                    failure = str(error)
    raise ValueError(failure)


def _list(text: str, lexicon: Lexicon) -> list[str]:
    items = re.split(r", | and ", text)
    return [lexicon.resolve(re.sub(r"^an? ", "", item)) for item in items]
