"""Files that are no config, or an odd one: each is a line with exit code 2."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from search.cli import main
from search.config.config import read_config
from trm.files.yaml12 import read_yaml

GOOD = "task: {name: arrows, size: 4}\nmodel: {hidden_size: 32}\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join(10 * [f'*a{i - 1}'])}]\n" for i in range(1, 10)
)
MERGE_BOMB = "a0: &a0 {k: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join(10 * [f'*a{i - 1}'])}]}}\n" for i in range(1, 10)
)

ODD: dict[str, tuple[bytes | str, str]] = {
    "list as key": ("? [1, 2]\n: 3\n", "a list cannot be a key"),
    "template": ("model: {hidden_size: {{size}}}\n", "a mapping cannot be a key"),
    "int tag": ("model: {hidden_size: !!int abc}\n", "'abc' is no !!int"),
    "float tag": ("optimizer: {lr: !!float abc}\n", "'abc' is no !!float"),
    "bool tag": ("train: {compile: !!bool maybe}\n", "'maybe' is no !!bool"),
    "null tag": ("train: {ema: !!null x}\n", "'x' is no !!null"),
    "timestamp tag": ("name: !!timestamp x\n", "the tag !!timestamp means nothing"),
    "set tag": ("model: !!set {a, b}\n", "the tag !!set means nothing"),
    "binary tag": ("name: !!binary aGk=\n", "the tag !!binary means nothing"),
    "python tag": ("name: !!python/object/apply:os.getcwd []\n", "means nothing here"),
    "own tag": ("task: !sudoku {size: 4}\n", "the tag !sudoku means nothing"),
    "1500 brackets": ("a: " + 1500 * "[" + 1500 * "]" + "\n", "within one another"),
    "1500 braces": ("a: " + 1500 * "{a: " + "1" + 1500 * "}" + "\n", "within one another"),
    "1500 dashes": (1500 * "- " + "1\n", "within one another"),
    "5000 digits": ("model: {hidden_size: " + 5000 * "9" + "}\n", "a number of 5,000 digits"),
    "400 digits": ("train: {seed: -" + 400 * "9" + "}\n", "a number of 401 digits"),
    "control character": ("name: a\x01b\n", "the character '\\x01' cannot stand in YAML"),
    "NUL": (b"name: a\x00b\n", "the character '\\x00' cannot stand in YAML"),
    "half a character": ('name: "\\ud800"\n', "half a character"),
    "no character": ('name: "\\UFFFFFFFF"\n', "broken YAML"),
    "latin-1": ("name: caf\xe9\n".encode("latin-1"), "not a text file in UTF-8"),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not a text file in UTF-8"),
    "gzip": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "not a text file in UTF-8"),
    "UTF-16 without its mark": (GOOD.encode("utf-16-le"), "'\\x00' cannot stand in YAML"),
    "half UTF-16": (b"\xff\xfea", "not a text file"),
    "duplicate key": ("name: a\nname: b\n", "the key 'name' stands twice"),
    "duplicate key below": ("model: {H_cycles: 1, H_cycles: 2}\n", "'H_cycles' stands twice"),
    "several documents": (GOOD + "---\n" + GOOD, "several documents: keep one"),
    "empty": ("", "is empty, and must hold a mapping"),
    "comments alone": ("# task: arrows\n", "is empty, and must hold a mapping"),
    "null": ("~\n", "must hold a mapping"),
    "scalar": ("arrows\n", "must hold a mapping"),
    "list": ("- task\n", "must hold a mapping"),
    "cycle": ("task: &t {name: arrows, more: [*t]}\n", "an alias stands within"),
    "merge cycle": ("task: &t {<<: *t}\n", "an alias stands within"),
    "unknown alias": ("task: *t\n", "undefined alias 't'"),
    "laughs": (BOMB, "the aliases make more than 100,000 values"),
    "merged laughs": (MERGE_BOMB, "the aliases make more than 100,000 values"),
    "merge of a list's items": ("a: &a [1]\ntask: {<<: *a}\n", "merges a mapping"),
    "merge of a word": ("task: {<<: arrows}\n", "merges a mapping"),
    "two merges": ("a: &a {x: 1}\ntask: {<<: *a, <<: *a}\n", "`<<` stands twice"),
    "tab": ("model:\n\thidden_size: 32\n", "a tab: indent with spaces"),
    "unclosed": ("model: {hidden_size: 32\n", "broken YAML"),
    "unquoted colon": ("name: a: b\n", "broken YAML"),
    "wrong indent": ("model:\n  a: 1\n b: 2\n", "broken YAML"),
    "version": ("%YAML 9.9\n---\na: 1\n", "broken YAML"),
    "JSON lines": ('{"task": "arrows"}\n{"task": "arrows"}\n', "broken YAML"),
    "number as key": ("1: a\n", "unknown section"),
    "null as key": ("~: a\n", "unknown section"),
    "not a number as key": (".nan: a\n", "unknown section"),
    "key within": ("task: arrows\nmodel: {1: 2}\n", "keys must be text"),
    "too large": (b"#" * (16 * 2**20 + 1), "more than 16 MiB"),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_file_is_one_line(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, word = ODD[kind]
    path = tmp_path / "odd.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert len(_one_line(["sweep", str(path), "--dry-run"], word, capsys)) < 400


def _one_line(argv: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert word in said
    assert said.startswith("trm: error: ")
    assert said.count("\n") == 1
    return said


def test_what_is_no_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.yaml").mkdir()
    _one_line(["sweep", str(tmp_path / "folder.yaml")], "Is a directory", capsys)
    _one_line(["sweep", str(tmp_path)], "neither a file nor a preset", capsys)
    _one_line(["sweep", 200 * "long"], "File name too long", capsys)
    _one_line(["sweep", 200 * "long" + ".yaml"], "File name too long", capsys)
    _one_line(["sweep", "a\0b.yaml"], "NUL character", capsys)
    _one_line(["sweep", "/dev/zero"], "more than 16 MiB", capsys)
    _one_line(["sweep", "/dev/null"], "is empty", capsys)
    _one_line(["sweep", ""], "is empty: name a path", capsys)


@pytest.mark.parametrize(
    "content",
    [
        GOOD.encode(),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.encode("utf-8-sig"),
        GOOD.encode("utf-16"),
        b"\xff\xfe" + GOOD.encode("utf-16-le"),
        ("---\n" + GOOD + "...\n").encode(),
        ("%YAML 1.2\n---\n" + GOOD).encode(),
        b'{"task": {"name": "arrows", "size": 4}, "model": {"hidden_size": 32}}',
        b"base: &b {size: 4}\n".replace(b"base", b"task") + b"model: {hidden_size: !!int '32'}\n",
        b"task: {name: !!str arrows, size: 4}\nmodel: {? hidden_size : 32}\n",
    ],
)
def test_what_editors_write_is_read(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_bytes(content.replace(b"task: &b {size: 4}", b"task: &b {name: arrows, size: 4}"))
    config = read_config(path)
    assert (config.default.task.name, config.default.model.hidden_size) == ("arrows", 32)


def test_a_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "63"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(GOOD,))
    writer.start()
    assert read_config(pipe).default.model.hidden_size == 32
    writer.join()


def test_a_setting_below_an_alias_leaves_what_it_repeats(tmp_path: Path) -> None:
    path = tmp_path / "aliases.yaml"
    path.write_text(
        "task: {name: mixture, tasks: {a: &a {name: arrows, size: 4}, b: {<<: *a, size: 5}, c: *a}}"
    )
    tasks = read_config(path, ["task.tasks.c.size=6"]).tree["task"]["tasks"]
    assert [tasks[name] for name in "abc"] == [{"name": "arrows", "size": n} for n in (4, 5, 6)]


def test_merge_keys_merge_as_in_yaml_1_1(tmp_path: Path) -> None:
    path = tmp_path / "merge.yaml"
    path.write_text(
        "task: arrows\n"
        "curriculum:\n"
        "  choice:\n"
        "    - &c {name: cgar, label: a}\n"
        "    - {label: b, <<: [{label: c}, *c]}\n"
        "    - {<<: [{label: c}, *c]}\n"
        "    - {'<<': 3, name: cgar, label: quoted}\n"
    )
    options = read_yaml(path)["curriculum"]["choice"]
    assert options == [
        {"name": "cgar", "label": "a"},
        {"name": "cgar", "label": "b"},
        {"name": "cgar", "label": "c"},
        {"<<": 3, "name": "cgar", "label": "quoted"},
    ]
