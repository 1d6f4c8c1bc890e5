"""Places: an object store behaves as a folder does, and bad URIs end in one line."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from search.ledger.files import write_atomically
from search.ledger.storage import (
    Place,
    Remote,
    StoreError,
    create_run_folder,
    local_copy,
    place,
    remove_tree,
    write_folder,
)
from trm.errors import UserError

Uri = Callable[[str], str]


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        (tmp_path / "folder").mkdir()
        return place(str(tmp_path / "folder"))
    return place(request.getfixturevalue("uri")("deep/folder"))


def names(folder: Place) -> list[str]:
    return sorted(child.name for child in folder.iterdir())


def test_files(folder: Place) -> None:
    file = folder / "a.txt"
    assert not file.exists()
    assert not file.is_file()
    with pytest.raises(FileNotFoundError):
        file.read_bytes()
    write_atomically(file, "first")
    write_atomically(file, "zweite Fassung: äöü")
    assert file.read_text(encoding="utf-8") == "zweite Fassung: äöü"
    assert file.is_file()
    assert not file.is_dir()
    assert (file.name, file.stem, file.parent) == ("a.txt", "a", folder)
    if isinstance(folder, Path):
        (folder / "logs").mkdir()
    write_atomically(folder / "logs" / "1.txt", "one\n")
    assert (folder / "logs").is_dir()
    assert names(folder) == ["a.txt", "logs"]
    assert [path.name for path in folder.glob("*.txt")] == ["a.txt"]
    file.unlink()
    file.unlink(missing_ok=True)
    assert names(folder) == ["logs"]


def test_folders(folder: Place) -> None:
    def write(content: str, *files: str) -> Callable[[Path], None]:
        def to(made: Path) -> None:
            assert not made.exists()
            made.mkdir(parents=True)
            for file in files:
                (made / file).write_text(content)

        return to

    target = folder / "checkpoints/3/1/2"
    write_folder(target, write("old", "a", "b"))
    write_folder(target, write("new", "a", "c"))
    with local_copy(target) as copy:
        assert isinstance(copy, Path)
        assert {path.name: path.read_text() for path in copy.iterdir()} == {"a": "new", "c": "new"}
    assert copy.exists() == isinstance(target, Path), "a copy is for the time being"
    with local_copy(folder / "absent") as copy:
        assert not (copy / "a").exists()
    remove_tree(target)
    remove_tree(target)
    assert not (target / "a").exists()


def test_a_folder_that_cannot_be_uploaded_is_the_stores_fault(uri: Uri) -> None:
    folder = place(uri("run"))
    assert isinstance(folder, Remote)
    broken = Remote(folder.uri, folder.query, "no-such-bucket/run", folder.filesystem)
    with pytest.raises(StoreError, match="bucket"):
        write_folder(broken / "x", lambda made: made.mkdir() or (made / "a").touch())  # type: ignore[func-returns-value]


def test_uris_say_what_they_are(uri: Uri, tmp_path: Path) -> None:
    text = uri("runs/mine/")
    folder = place(text)
    assert isinstance(folder, Remote)
    assert str(folder) == text.replace("mine/?", "mine?")
    assert str(folder / "a.txt") == text.replace("mine/?", "mine/a.txt?")
    assert place(str(folder / "x")) == folder / "x"
    assert folder.absolute() is folder
    assert place(folder) is folder
    assert place(f"file://{tmp_path}/x") == tmp_path / "x"
    assert place("runs/mine") == Path("runs/mine")


def test_a_run_folder_is_made_once(folder: Place) -> None:
    create_run_folder(folder, "run.json", resume=False)
    write_atomically(folder / ("lock" if isinstance(folder, Path) else "lease.json"), "{}")
    create_run_folder(folder, "run.json", resume=False)
    write_atomically(folder / "other", "")
    with pytest.raises(UserError, match="is not empty: name another"):
        create_run_folder(folder, "run.json", resume=False)
    write_atomically(folder / "run.json", "{}")
    with pytest.raises(UserError, match="already holds a run: add --resume"):
        create_run_folder(folder, "run.json", resume=False)
    create_run_folder(folder, "run.json", resume=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s4://bucket/run", "Unrecognized filesystem type"),
        ("s3:///run", "Missing bucket name"),
        ("s3://", "names no bucket"),
        ("s3://bucket/run?endpint=1", "Unexpected query parameter"),
        ("s3://no-such-bucket-here/run?endpoint_override=SERVER&scheme=http", "does not exist"),
        ("s3://bucket/run?endpoint_override=127.0.0.1:9&scheme=http", "connect"),
        ("file://relative", "cannot be used"),
    ],
)
def test_bad_uris_end_in_one_line(text: str, message: str, s3_server: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        place(text.replace("SERVER", s3_server))
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(text.partition("?")[0])


@pytest.mark.parametrize(
    "text",
    [
        "s3://key:hunter2@bucket/run?endpoint_override=SERVER",
        "s3://key:hun/ter2@bucket/run",
        "s3://key:1/hunter2@bucket/run",
        "abfs://box@account.dfs.core.windows.net/run?sas_token=hunter2",
        "s3://bucket/run?region=x&Secret_Key=hunter2",
    ],
)
def test_a_password_in_a_uri_is_refused_and_not_repeated(text: str, s3_server: str) -> None:
    with pytest.raises(UserError, match="by the environment") as error:
        place(text.replace("SERVER", s3_server))
    assert "ter2" not in str(error.value)
    assert "key" not in str(error.value).replace("KEY", "")


def test_wrong_credentials_end_in_one_line(uri: Uri, s3_server: str) -> None:
    def require_credentials(after: bytes) -> None:
        plain = {"Content-Type": "text/plain"}
        url = f"http://{s3_server}/moto-api/reset-auth"
        urllib.request.urlopen(urllib.request.Request(url, data=after, headers=plain)).close()

    require_credentials(b"0")
    try:
        with pytest.raises(UserError, match=r"ACCESS_DENIED.*check the URI, the credentials"):
            place(uri("run"))
    finally:
        require_credentials(b"inf")
    assert isinstance(place(uri("run")), Remote)


def test_what_is_written_is_what_is_stored_whatever_its_name(uri: Callable[[str], str]) -> None:
    for name in ("a.gz", "a.jsonl.gz", "a.zst", "a.bz2", "a.txt"):
        file = place(uri("run")) / name
        file.write_bytes(b"as it is")
        assert file.read_bytes() == b"as it is"
