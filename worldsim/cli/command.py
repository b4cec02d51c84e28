"""What `worldsim` does with its words: help, a verb, or one line that says what is wrong."""

from __future__ import annotations

import dataclasses
import inspect as introspection
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from worldsim.cli.settings import UsageError, compose, group_options, groups, nearest
from worldsim.cli.verbs import VERBS, VerbModule

USAGE = """usage: worldsim VERB [key=value ...]

A video diffusion transformer paired with a differentiable physics prior.

verbs:
{verbs}

  worldsim VERB --help      settings, defaults and examples of a verb
  worldsim --version

WORLDSIM_DEBUG=1 shows the traceback of an error."""


def usage() -> str:
    """Help of the whole command."""
    width = max(map(len, VERBS))
    return USAGE.format(verbs="\n".join(f"  {name:{width}}  {verb.summary}" for name, verb in VERBS.items()))


def attribute_texts(kind: type) -> dict[str, str]:
    """What the Attributes of a dataclass's docstring, and of its bases', say of each field."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        _, _, section = (introspection.cleandoc(base.__doc__ or "")).partition("Attributes:\n")
        for match in re.finditer(r"^    (\w+): ((?:.|\n(?!    \w+: ))*)", section, re.MULTILINE):
            texts[match[1]] = " ".join(match[2].split())
    return texts


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if dataclasses.is_dataclass(value):
        return "see below"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return "required" if value == "???" else str(value)


def _rows(kind: type, prefix: str = "") -> list[tuple[str, str]]:
    """Name and text of each setting; those of a config within a config come last, under its name and a dot."""
    texts = attribute_texts(kind)
    rows: list[tuple[str, str]] = []
    inner: list[tuple[str, str]] = []
    for field in dataclasses.fields(kind):
        rows.append((f"{prefix}{field.name}", f"{texts.get(field.name, '')} ({_default(field)})"))
        made = field.default_factory
        if isinstance(made, type) and dataclasses.is_dataclass(made):
            inner += _rows(made, f"{prefix}{field.name}.")
    return rows + inner


def verb_usage(name: str, module: VerbModule) -> str:
    """Help of one verb: settings with defaults, and examples."""
    rows = _rows(module.Config)
    width = max((len(key) for key, _ in rows), default=0)
    bare = "".join(f" [{key.upper()}]" for key in module.POSITIONAL)
    lines = [f"usage: worldsim {name}{bare} [key=value ...]", "", VERBS[name].summary, "", "settings (default):"]
    lines += [f"  {key:{width}}  {text}" for key, text in rows]
    for group in groups(module):
        lines += ["", f"settings by name: +{group}=NAME, one of {', '.join(group_options(group))}"]
    lines += ["", "examples:", *(f"  {example}" for example in module.EXAMPLES)]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for what the user can put right, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except KeyboardInterrupt as stop:
        told = str(stop) or "the same command goes on where it was"
        print(f"\nworldsim: stopped; {told}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, ImportError, OSError, FloatingPointError) as error:
        if os.environ.get("WORLDSIM_DEBUG") == "1":
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"worldsim: error: {reason}", file=sys.stderr)
        return 2


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] == "--version":
        from worldsim import __version__

        print(f"worldsim {__version__}")
        return 0
    name, *rest = words
    if name not in VERBS:
        raise UsageError(f"{name}: is no verb of worldsim, {nearest(name, list(VERBS))}")
    module = VERBS[name].load()
    if {"-h", "--help"} & set(rest):
        print(verb_usage(name, module))
        return 0
    module.run(compose(name, module, rest))
    return 0
