"""Text from states: events, referring expressions, templates and the checker that proves them."""

from worldsim.captions._describe import LEVELS, Finding, check_captions, describe
from worldsim.captions.events import Event, extract_events
from worldsim.captions.refer import Lexicon

__all__ = ["LEVELS", "Event", "Finding", "Lexicon", "check_captions", "describe", "extract_events"]
