"""What completes the commands of `trm` in bash, zsh and fish: a script made from their parsers.

It runs no Python while one types. Commands, options, choices, presets, pages of the guide and the
keys of `--set` complete; whatever else is a path does as the shell has it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from search.commands import COMMANDS, forms_of, parser_of

SHELLS = ("bash", "zsh", "fish")
KEYS = "--set"


@dataclass
class Completed:
    """What may follow a command.

    Attributes:
        command: its name.
        line: what it does.
        options: help by option.
        choices: words that may follow an option that has choices.
        words: of an argument that stands alone.
    """

    command: str
    line: str
    options: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)


def script(shell: str) -> str:
    """The text that a shell reads.

    Args:
        shell: one of `SHELLS`.
    """
    from search.config.keys import all_keys

    found = [_completed(command, line) for command, line in COMMANDS.items()]
    found.append(Completed("help", "show the help of a command", words=[*COMMANDS]))
    # Keys within a list or a form of a section are set with the whole of it.
    keys = sorted({key.path for key in all_keys() if "[" not in key.path})
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](found, keys)


def _completed(command: str, line: str) -> Completed:
    parser = parser_of(command)
    found = Completed(command, line, words=_words(command))
    forms = forms_of(parser)
    found.words += [form.prog.split()[-1] for form in forms]
    for each in (parser, *forms):
        for action in each._actions:
            for name in action.option_strings:
                found.options[name] = _first(action.help or "")
                if action.choices and not isinstance(action, argparse._SubParsersAction):
                    found.choices[name] = [str(choice) for choice in action.choices]
    return found


def _words(command: str) -> list[str]:
    """What a command's first argument may be, besides a path."""
    from search.config.file import presets
    from search.config.keys import all_keys
    from search.guide.pages import TOPICS

    if command == "guide":
        return [*TOPICS]
    if command == "keys":
        return sorted({re.split(r"[.\[]", key.path)[0] for key in all_keys()})
    if command in ("train", "sweep", "ablate", "init", "tasks", "curriculum"):
        return [*presets()]
    return []


def _first(help: str) -> str:
    """The first clause of a help, as a description of a few words."""
    words = re.split(r"[;:(]", " ".join(help.split()))[0].strip()
    return words if len(words) <= 60 else f"{words[:57]}..."


def _quoted(words: Iterable[str]) -> str:
    return "'" + " ".join(words).replace("'", "'\\''") + "'"


def _bash(found: list[Completed], keys: list[str]) -> str:
    cases = "\n".join(
        f"    {one.command}) options={_quoted(one.options)} words={_quoted(one.words)};;"
        for one in found
    )
    choices = "\n".join(
        f'    {one.command}:{option}) COMPREPLY=($(compgen -W {_quoted(words)} -- "$cur")); '
        "return;;"
        for one in found
        for option, words in one.choices.items()
    )
    return f"""# trm --completion bash > ~/.local/share/bash-completion/completions/trm
_trm() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" options= words=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W {_quoted(one.command for one in found)} -- "$cur"))
    return
  fi
  if [ "$prev" = {KEYS} ]; then
    COMPREPLY=($(compgen -S = -W {_quoted(keys)} -- "$cur"))
    compopt -o nospace 2>/dev/null
    return
  fi
  case "${{COMP_WORDS[1]}}:$prev" in
{choices}
  esac
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  if [[ "$cur" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  else
    [ "$COMP_CWORD" -eq 2 ] && COMPREPLY=($(compgen -W "$words" -- "$cur"))
    compopt -o filenames 2>/dev/null
    COMPREPLY+=($(compgen -f -- "$cur"))
  fi
}}
complete -F _trm trm
"""


def _zsh(found: list[Completed], keys: list[str]) -> str:
    commands = "\n".join(f"    {_pair(one.command, one.line)}" for one in found)
    choices = "\n".join(
        f"    {one.command}:{option}) compadd -- {' '.join(map(_word, words))}; return;;"
        for one in found
        for option, words in one.choices.items()
    )
    cases = "\n".join(
        f"    {one.command})\n"
        f"      options=({' '.join(_pair(*each) for each in one.options.items())})\n"
        f"      given=({' '.join(map(_word, one.words))});;"
        for one in found
    )
    return f"""#compdef trm
# trm --completion zsh > "${{fpath[1]}}/_trm"
_trm() {{
  local -a commands options given
  commands=(
{commands}
  )
  if (( CURRENT == 2 )); then
    _describe -t commands command commands
    return
  fi
  if [[ "$words[CURRENT-1]" == {KEYS} ]]; then
    compadd -S = -- {" ".join(map(_word, keys))}
    return
  fi
  case "$words[2]:$words[CURRENT-1]" in
{choices}
  esac
  case "$words[2]" in
{cases}
  esac
  if [[ "$words[CURRENT]" == -* ]]; then
    _describe -t options option options
  else
    (( CURRENT == 3 )) && compadd -a given
    _files
  fi
}}
if [[ "$funcstack[1]" == _trm ]]; then _trm "$@"; else compdef _trm trm; fi
"""


def _pair(name: str, line: str) -> str:
    """A word with its description, as zsh's `_describe` has it."""
    return _word(f"{name.replace(':', chr(92) + ':')}:{line}")


def _word(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish(found: list[Completed], keys: list[str]) -> str:
    lines = [
        "# trm --completion fish > ~/.config/fish/completions/trm.fish",
        "complete -c trm -e",
    ]
    for one in found:
        line = _escaped(one.line)
        lines.append(f"complete -c trm -f -n __fish_use_subcommand -a {one.command} -d '{line}'")
        seen = f"__fish_seen_subcommand_from {one.command}"
        here, first = f"-n '{seen}'", f"-n 'test (count (commandline -opc)) -eq 2; and {seen}'"
        if one.words:
            lines.append(f"complete -c trm {first} -a {_quoted(one.words)}")
        for option, help in one.options.items():
            name = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            values = ""
            if option in one.choices:
                values = f" -x -a {_quoted(one.choices[option])}"
            elif option == KEYS:
                values = " -x -a '(string split \" \" $__trm_keys)'"
            lines.append(f"complete -c trm {here} {name}{values} -d '{_escaped(help)}'")
    keys_line = f"set -g __trm_keys {_quoted(key + '=' for key in keys)}"
    return "\n".join([*lines[:2], keys_line, *lines[2:]]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
