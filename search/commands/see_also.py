"""Where the help of each command sends on to."""

from __future__ import annotations

SEE_ALSO = {
    "init": (("tasks", "keys", "sweep"), ("your-own-task",)),
    "import": (("eval", "train", "export", "sweep"), ("export", "spaces")),
    "guide": (("keys", "init"), ()),
    "doctor": (("sweep", "cluster"), ("clusters",)),
    "keys": (("init", "sweep"), ("spaces",)),
    "train": (("eval", "solve", "diagnose", "status"), ("export",)),
    "eval": (("solve", "train", "export"), ("export",)),
    "solve": (("eval", "tasks"), ("export",)),
    "tasks": (("init", "train"), ("tasks", "your-own-task", "your-task")),
    "curriculum": (("train", "sweep"), ("curricula",)),
    "bench": (("eval", "export"), ("deployment",)),
    "export": (("eval", "bench", "import", "report"), ("export", "deployment")),
    "sweep": (("init", "status", "report", "stability"), ("first-sweep", "spaces", "schedulers")),
    "stability": (("sweep", "status", "sensitivity"), ("stability", "statistics")),
    "sensitivity": (("importance", "stability"), ("stability",)),
    "ablate": (("sweep", "compare", "status"), ("stability",)),
    "simulate": (("fidelity", "sweep"), ("schedulers",)),
    "status": (("report", "logs", "stop", "diagnose"), ("first-sweep",)),
    "report": (("status", "compare", "importance", "diagnose"), ("report",)),
    "importance": (("sensitivity", "report"), ("stability",)),
    "fidelity": (("simulate", "report"), ("schedulers",)),
    "diagnose": (("status", "logs", "train"), ("stability",)),
    "compare": (("report", "stability"), ("report", "statistics")),
    "cluster": (("doctor", "sweep", "stop", "logs"), ("clusters",)),
    "logs": (("status", "diagnose"), ("clusters",)),
    "stop": (("status", "sweep"), ("clusters",)),
}
"""Of each command the others, and the pages of the guide."""


def see_also(command: str) -> str:
    """The last line of a command's help.

    >>> see_also("simulate")
    'see also: trm fidelity, trm sweep; trm guide schedulers'
    """
    commands, pages = SEE_ALSO[command]
    words = [", ".join(f"trm {other}" for other in commands)]
    words += [", ".join(f"trm guide {page}" for page in pages)] if pages else []
    return f"see also: {'; '.join(words)}"
