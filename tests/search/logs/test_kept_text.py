"""Text kept in a bounded file: whole lines, both ends, no secrets, on a disk and in a bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from search.ledger.storage import Place, place
from search.logs.kept_text import SECRETS_VARIABLE, KeptText, without_secrets


@pytest.fixture(params=["disk", "bucket"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "disk":
        return tmp_path / "logs" / "3" / "1.txt"
    uri: Callable[[str], str] = request.getfixturevalue("uri")
    return place(uri("logs/3/1.txt"))


def test_whole_lines_are_written(file: Place) -> None:
    kept = KeptText(file)
    kept.flush()
    assert not file.exists(), "nothing to keep, no file"
    kept.add("one\ntw")
    kept.flush()
    assert file.read_text(encoding="utf-8") == "one\n"
    kept.add("o\nthr")
    kept.flush()
    kept.end_line()
    kept.flush()
    kept.flush()
    assert file.read_text(encoding="utf-8") == "one\ntwo\nthr\n" == kept.text()


def test_a_long_text_keeps_both_ends(file: Place) -> None:
    kept = KeptText(file, head=100, tail=200)
    for number in range(500):
        kept.add(f"line {number}\n")
        if number % 50 == 0:
            kept.flush()
            assert len(file.read_bytes()) < 400
    kept.flush()
    text = file.read_text(encoding="utf-8")
    assert text == kept.text()
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith("line 498\nline 499\n")
    assert "characters are left out here ...]\nline " in text
    kept.add("x" * 10_000)
    assert len(kept.text()) < 400


def test_storage_that_fails_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    kept = KeptText(folder / "1.txt")
    kept.add("one\n")
    folder.write_text("in the way")
    with pytest.raises(OSError, match="exists"):
        kept.flush()
    kept.add("two\n")
    folder.unlink()
    kept.flush()
    kept.add("three\n")
    kept.flush()
    assert (folder / "1.txt").read_text() == "one\ntwo\nthree\n"


def test_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch, file: Place) -> None:
    monkeypatch.setenv("MY_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("A_PASSWORD", "short")
    monkeypatch.setenv("HF_LOGIN", "said-to-be-secret")
    monkeypatch.setenv(SECRETS_VARIABLE, "OTHER,HF_LOGIN")
    kept = KeptText(file)
    # Also one that comes in two pieces.
    kept.add("MY_API_KEY=0123456789")
    kept.add("abcdef A_PASSWORD=short\nAuthorization: Bearer abc.def-123456\n")
    kept.add("pip install https://user:pass-word@host/x\nstep 3, keys: 4\n")
    kept.add("said-to-be-secret OTHER,HF_LOGIN\n")
    kept.flush()
    assert file.read_text(encoding="utf-8").splitlines() == [
        "MY_API_KEY=[hidden] A_PASSWORD=short",
        "Authorization: Bearer [hidden]",
        "pip install https://[hidden]@host/x",
        "step 3, keys: 4",
        "[hidden] OTHER,HF_LOGIN",
    ]
    assert without_secrets("s3://bucket/runs?x=1:2@3") == "s3://bucket/runs?x=1:2@3"
