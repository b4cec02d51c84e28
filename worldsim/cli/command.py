"""What `worldsim` does with its words: help, a verb, or one line that says what is wrong."""

from __future__ import annotations

import dataclasses
import inspect as introspection
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from worldsim.cli.settings import UsageError, compose, nearest
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
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return "required" if value == "???" else str(value)


def verb_usage(name: str, module: VerbModule) -> str:
    """Help of one verb: settings with defaults, and examples."""
    texts = attribute_texts(module.Config)
    fields = dataclasses.fields(module.Config)
    width = max((len(field.name) for field in fields), default=0)
    bare = "".join(f" [{key.upper()}]" for key in module.POSITIONAL)
    lines = [f"usage: worldsim {name}{bare} [key=value ...]", "", VERBS[name].summary, "", "settings (default):"]
    for field in fields:
        lines.append(f"  {field.name:{width}}  {texts.get(field.name, '')} ({_default(field)})")
    lines += ["", "examples:", *(f"  {example}" for example in module.EXAMPLES)]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for what the user can put right, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except KeyboardInterrupt:
        print("\nworldsim: stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, ImportError, OSError) as error:
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
