"""The command line `trm`.

A command's module is imported only when that command is used, and imports what its work needs only
when it runs: help is at hand at once.
"""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Sequence

from search.commands import COMMANDS, GROUPS, module_of, parser_of
from search.logs.plain import write_plainly
from trm import stopping
from trm.errors import (
    CacheWarning,
    LockWarning,
    NewRunWarning,
    RenamedWarning,
    StrayWarning,
    UserError,
)
from trm.files.paths import give_home, leave_gone_folder

RENAMED = {"study": ("ablate",), "dashboard": ("report", "--dashboard")}
"""What stands for the commands that there were, which are still accepted."""
OK, FAILED, BAD_INPUT = 0, 1, 2
RESUMABLE = ("train", "sweep", "ablate", "stability", "sensitivity")
"""Commands that say, when they are interrupted, how to go on."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 bad input, 130 interrupted.

    Args:
        argv: the command and its arguments. None takes the process's own: then the process is the
            command's, and a signal ends it.
    """
    if argv is not None:
        return _told(list(argv))
    try:
        with stopping.ends_soon():
            code = _told(sys.argv[1:])
    except KeyboardInterrupt:  # between the two, where nothing is left to do
        stopping.tell_of_interrupt()
        stopping.leave()
    if code == stopping.INTERRUPTED:
        stopping.leave()
    return code


def _told(arguments: list[str]) -> int:
    """Run a command; what it raises becomes a line and an exit code."""
    stopping.begin_command()
    warnings.formatwarning = _format
    write_plainly(sys.stdout, sys.stderr)
    give_home()
    leave_gone_folder()
    try:
        return _interruptible(arguments)
    except UserError as error:
        print(f"trm: error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return BAD_INPUT
    except SystemExit as leave:  # argparse after --help
        return int(leave.code or OK)
    except BrokenPipeError:
        # The reader (`| head`) went away: that is not an error, and Python must not say so at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        return _failed(error)
    except (MemoryError, RuntimeError) as error:
        return _out_of_memory(error)


def _out_of_memory(error: MemoryError | RuntimeError) -> int:
    """One line where a model or a batch did not fit; any other error is a defect of ours.

    Raises:
        RuntimeError: the error, if it says nothing of memory.
    """
    from trm.blame import blame

    found = blame(error)
    if not found.memory:
        raise error
    print(
        f"trm: out of memory: lower train.batch_size, train.eval_batch_size or the model's sizes "
        f"({found.words[:200]})",
        file=sys.stderr,
    )
    return FAILED


def _failed(error: OSError) -> int:
    """One line for storage that is full, or a file that the system refuses; else it is a defect.

    Raises:
        OSError: the error, if it names none.
    """
    from trm.blame import blame

    found = blame(error)
    if found.culprit == "storage":
        where = "" if error.filename is None else f"{error.filename}: "
        line = " ".join(f"{where}{error.strerror or error}".split())
        print(
            f"trm: {line}: nothing that was stored is lost: free space there or make it writable, "
            "and run it again; --resume goes on with a run",
            file=sys.stderr,
        )
        return FAILED
    if error.filename is None:
        raise error
    path = error.filename if isinstance(error.filename, str) else os.fsdecode(error.filename)
    line = " ".join(f"{path}: {error.strerror}".split())
    print(f"trm: error: {line}: check the path and who may use it", file=sys.stderr)
    return BAD_INPUT


_as_python_does = warnings.formatwarning


def _format(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning as Python has it; one of ours as one line."""
    if issubclass(category, RenamedWarning):
        return f"trm: {message}\n"
    if issubclass(category, (CacheWarning, LockWarning, NewRunWarning, StrayWarning)):
        return f"trm: warning: {message}\n"
    return _as_python_does(message, category, filename, lineno, line)


def _interruptible(arguments: list[str]) -> int:
    try:
        return _run(arguments)
    except BaseException as error:
        # What a library makes of the interrupt is the interrupt.
        if not isinstance(error, KeyboardInterrupt) and not stopping.stopping():
            raise
        stopping.tell_of_interrupt()
        return stopping.INTERRUPTED


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        return _overview(arguments)
    if arguments[0] == "help":
        return _help(arguments[1:])
    command, *words = [*RENAMED.get(arguments[0], (arguments[0],)), *arguments[1:]]
    if arguments[0] in RENAMED:
        new = " ".join(RENAMED[arguments[0]])
        warnings.warn(f"`trm {arguments[0]}` is called `trm {new}` now", RenamedWarning, 1)
    if command not in COMMANDS:
        from curricula.component import nearest

        raise UserError("trm", command, f"is no command: {nearest(command, list(COMMANDS))}")
    if command in RESUMABLE:
        # Until the command knows better: nothing has begun.
        stopping.at_an_interrupt(f"start again with: {shlex.join(['trm', command, *words])}")
    parsed = parser_of(command).parse_all(words)
    return int(module_of(command).run(parsed))


def _help(words: list[str]) -> int:
    """The help of a command, or of a form of it; the page of the guide of that name."""
    names = [word for word in words if word not in ("-h", "--help")]
    if not names:
        return _overview([])
    if names[0] in COMMANDS or names[0] in RENAMED:
        return _run([*names, "--help"])
    from search.guide.pages import TOPICS

    if names[0] in TOPICS:
        return _run(["guide", names[0]])
    from curricula.component import nearest

    known = [*COMMANDS, *TOPICS]
    raise UserError("trm help", names[0], f"is no command and no page: {nearest(names[0], known)}")


def _complete(words: list[str]) -> int:
    """The script that completes commands in a shell."""
    from search.commands.completion import SHELLS, script

    if len(words) != 1 or words[0] not in SHELLS:
        raise UserError("--completion", " ".join(words), f"must be one of {', '.join(SHELLS)}")
    print(script(words[0]), end="")
    return OK


def _overview(arguments: list[str]) -> int:
    if arguments[:1] == ["--completion"]:
        return _complete(arguments[1:])
    if "--version" in arguments:
        from importlib.metadata import version

        print(f"trm-search {version('trm-search')}")
        return OK
    unknown = [word for word in arguments if word not in ("-h", "--help")]
    if unknown:
        raise UserError(
            "trm", unknown[0], "does not stand here: `trm COMMAND ...`, or `trm --help`"
        )
    width = max(map(len, COMMANDS))
    print("usage: trm COMMAND ...\n")
    print("Find the Tiny Recursive Model that trains reliably, not luckily.\n")
    for job, commands in GROUPS.items():
        print(f"{job}:")
        for name, line in commands.items():
            print(f"  {name:<{width}}  {line}")
        print()
    print("`trm help COMMAND` says more. `trm --completion bash` (zsh, fish) prints what completes")
    print("commands in a shell. Exit codes: 0 done, 1 failed at run time, 2 bad input, 130")
    print("interrupted (with the command that resumes).")
    return OK


if __name__ == "__main__":
    sys.exit(main())
