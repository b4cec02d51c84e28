"""From key=value words to a verb's config dataclass, through Hydra's compose; typos are met with the nearest name."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Sequence
from importlib import resources
from typing import Any

from worldsim.cli.verbs import VerbModule


class UsageError(ValueError):
    """The command line was not understood."""


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of a sentence that refuses a name: the one that may be meant, or all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


def check_family(name: str) -> None:
    """Refuse names of no scenario family, with the nearest one."""
    from worldsim.scene import list_scenes

    families = list_scenes()
    if name not in families:
        raise UsageError(f"scene: must be the name of a family, got {name!r}, {nearest(name, families)}")


def field_names(kind: type) -> list[str]:
    """Settings of a config dataclass."""
    return [field.name for field in dataclasses.fields(kind)]


def normalise(words: Sequence[str], module: VerbModule, verb: str) -> list[str]:
    """Turn words, --key value, --key=value and key=value into Hydra overrides of known keys.

    Raises:
        UsageError: Where a key is unknown or a word has no place.
    """
    overrides, spare = [], list(module.POSITIONAL)
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word.startswith("--"):
            key, given, value = word[2:].partition("=")
            key = key.replace("-", "_")
            if not given:
                if not queue:
                    raise UsageError(f"--{key}: must be followed by a value")
                value = _quote(queue.pop(0))
            word = f"{key}={value}"
        elif "=" not in word:
            if not spare:
                raise UsageError(f"{word}: must be key=value; see worldsim {verb} --help")
            word = f"{spare.pop(0)}={_quote(word)}"
        overrides.append(_known(word, module, verb))
    return overrides


def _quote(value: str) -> str:
    """Shield a path from Hydra's grammar."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _known(word: str, module: VerbModule, verb: str) -> str:
    key, _, value = word.partition("=")
    name, dot, rest = key.lstrip("+~").partition(".")
    names = field_names(module.Config)
    if name in groups(module):
        if value not in group_options(name):
            raise UsageError(f"{name}: must be one of {', '.join(group_options(name))}, got {value!r}")
        return f"+{name}={value}"
    if name not in names:
        raise UsageError(f"{name}: is no setting of worldsim {verb}, {nearest(name, [*names, *groups(module)])}")
    kind = typing.get_type_hints(module.Config)[name]
    many = typing.get_origin(kind) is tuple
    if name in spare_paths(module) and value and value[0] not in ("'\"[" if many else "'\""):
        value = _quote(value)
    if many and not value.startswith("["):
        value = f"[{value}]"
    if dot and typing.get_origin(kind) is dict:
        return f"++{name}.{rest}={value}"
    return f"{name}{dot}{rest}={value}"


def spare_paths(module: VerbModule) -> tuple[str, ...]:
    """Settings that hold paths, whose values are taken as they stand."""
    return tuple(f.name for f in dataclasses.fields(module.Config) if f.metadata.get("path"))


def groups(module: VerbModule) -> tuple[str, ...]:
    """Names of the config groups of a verb: folders of configs/ whose files set many settings at once."""
    return getattr(module, "GROUPS", ())


def group_options(group: str) -> list[str]:
    """Names of a group's files."""
    folder = resources.files("worldsim.configs") / group
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def _thaw(node: Any) -> None:
    """Let a frozen dataclass and those within take overrides; to_object freezes them again."""
    from omegaconf import DictConfig, OmegaConf

    OmegaConf.set_readonly(node, None)
    for name in node:
        child = node._get_node(name)
        if isinstance(child, DictConfig) and OmegaConf.get_type(child) is not dict:
            _thaw(child)


def compose(verb: str, module: VerbModule, words: Sequence[str]) -> Any:
    """The verb's config: defaults of the dataclass, then worldsim/configs/VERB.yaml, then the words.

    Raises:
        UsageError: Where a key is unknown or a value of the wrong type.
        ValueError: Where the dataclass refuses a value.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    overrides = normalise(words, module, verb)
    schema = OmegaConf.structured(module.Config)
    _thaw(schema)
    ConfigStore.instance().store(name=f"{verb}_schema", node=schema)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("worldsim.configs", version_base="1.3"):
            config = hydra_compose(config_name=verb, overrides=overrides)
        return OmegaConf.to_object(config)
    except MissingMandatoryValue as error:
        name = str(error.full_key)
        raise UsageError(f"{name}: must be given, as {name}=...; see worldsim {verb} --help") from None
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
        if isinstance(cause.__cause__, ValueError):
            raise cause.__cause__ from None
        raise UsageError(f"{_first_lines(cause)}; see worldsim {verb} --help") from None


def _first_lines(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    key = next((line.partition(":")[2].strip() for line in lines if line.startswith("full_key")), "")
    return f"{key}: {lines[0]}" if key else lines[0]
