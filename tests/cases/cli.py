"""Runs command lines of `trm` (JSON lists on standard input, one a line); a line of result each."""

import contextlib
import io
import json
import sys

from search.cli import main


def answer_lines() -> None:
    for line in sys.stdin:
        argv = json.loads(line)
        out, err = io.StringIO(), io.StringIO()
        crash = ""
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                rc = main(argv)
        except Exception as error:  # what a person sees as a traceback
            rc, crash = 1, f"TRACEBACK {type(error).__name__}: {error}"
        said = crash or (err.getvalue().strip() or out.getvalue().strip()).split("\n")[-1]
        row = {"argv": " ".join(argv)[-70:], "rc": rc, "said": said[:600]}
        print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    answer_lines()
