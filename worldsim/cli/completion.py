"""worldsim completion: a tab completion script for bash or zsh, with all words written into it: Tab is instant."""

from __future__ import annotations

from dataclasses import dataclass

from worldsim.cli.settings import field_names, spare_paths
from worldsim.cli.verbs import VERBS


@dataclass(frozen=True)
class Config:
    """Settings of `worldsim completion`.

    Attributes:
        shell: bash or zsh.
    """

    shell: str = "bash"

    def __post_init__(self) -> None:
        if self.shell not in ("bash", "zsh"):
            raise ValueError(f"shell: must be bash or zsh, got {self.shell!r}")


EXAMPLES = (
    'eval "$(worldsim completion bash)"',
    "worldsim completion bash > ~/.local/share/bash-completion/completions/worldsim",
    'autoload -U compinit && compinit && eval "$(worldsim completion zsh)"',
)
POSITIONAL = ("shell",)
CHOICES = {"shell": ("bash", "zsh")}

# Bash splits words at '=': where COMP_WORDBREAKS has it, key, '=' and value arrive as three words.
SCRIPT = r"""
_worldsim() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" verb="${{COMP_WORDS[1]}}" key="" value=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "{verbs} --help --version" -- "$cur")); return; fi
  if [ "$cur" = "=" ]; then key="$prev"; value=""
  elif [ "$prev" = "=" ]; then key="${{COMP_WORDS[COMP_CWORD-2]}}"; value="$cur"
  elif [[ "$cur" == *=* ]]; then key="${{cur%%=*}}"; value="${{cur#*=}}"; fi
  if [ -n "$key" ]; then
    local values=""
    case "$verb.${{key#--}}" in
{values}
    esac
    if [ "$values" = "-f" ]; then COMPREPLY=($(compgen -f -- "$value")); compopt -o filenames 2>/dev/null
    else COMPREPLY=($(compgen -W "$values" -- "$value")); fi
    if [[ "$cur" == *=* && "$cur" != "=" ]]; then COMPREPLY=("${{COMPREPLY[@]/#/$key=}}"); fi
    return
  fi
  case "$verb" in
{keys}
  esac
  compopt -o nospace 2>/dev/null
}}
complete -F _worldsim worldsim
"""


def script(shell: str) -> str:
    """The completion script of a shell; zsh runs bash's through bashcompinit."""
    from worldsim.scene import list_scenes

    values, keys = [], []
    for name, verb in VERBS.items():
        module = verb.load()
        names = field_names(module.Config)
        choices = dict(module.CHOICES)
        if "scene" in names:
            choices["scene"] = tuple(list_scenes())
        for key in names:
            if key in choices:
                values.append(f'      {name}.{key}) values="{" ".join(choices[key])}" ;;')
            elif key in spare_paths(module):
                values.append(f'      {name}.{key}) values="-f" ;;')
        words = " ".join(f"{key}=" for key in names)
        bare = [key for key in module.POSITIONAL if key in choices]
        extra = " ".join(choices[bare[0]]) if bare else ""
        files = ' $(compgen -f -- "$cur")' if any(k in spare_paths(module) for k in module.POSITIONAL) else ""
        keys.append(f'    {name}) COMPREPLY=($(compgen -W "{words} --help {extra}" -- "$cur"){files}) ;;')
    body = SCRIPT.format(verbs=" ".join(VERBS), values="\n".join(values), keys="\n".join(keys)).lstrip()
    return "autoload -U bashcompinit && bashcompinit\n" + body if shell == "zsh" else body


def run(config: Config) -> None:
    """Print the script."""
    print(script(config.shell))
