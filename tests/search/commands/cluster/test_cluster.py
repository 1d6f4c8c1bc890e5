"""`trm cluster`: from one file to each launcher's, with the same sweep in it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.cli import main
from search.commands.cluster.cluster import FORMS
from search.commands.start.guide import page
from search.config.config import read_config
from trm.files.yaml12 import dump_yaml

ALL: dict[str, Any] = {
    "nodes": 2, "cpus_per_node": 4, "memory_gb_per_node": 8, "storage": "s3://mine/runs",
    "kuberay": {"image": "registry.example/trm:0.1"},
    "aws": {"worker_type": "c6i.xlarge", "image": "ami-0123456789abcdef0"},
}  # fmt: skip
WRITTEN = [name for name in FORMS if name != "submit"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "my sweep.yaml"
    tree = {
        "name": "mine", "task": "arrows", "optimizer": {"lr": {"loguniform": [1e-4, 1e-2]}},
        "cluster": ALL,
    }  # fmt: skip
    path.write_text(dump_yaml(tree))
    return path


@pytest.mark.parametrize("form", WRITTEN)
def test_one_section_serves_every_launcher(
    form: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cluster", form, str(config)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "--resume --address" in printed.out
    assert "s3://mine/runs/mine" in printed.out


def test_the_config_that_ships_is_the_one_that_was_given(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--set", "train.seed=7", "--set", "cluster.address=10.0.0.1:6379", "--trials", "3"]
    assert main(["cluster", "kuberay", str(config), *words]) == 0
    config_map, ray_job = yaml.safe_load_all(capsys.readouterr().out)
    shipped = config.with_name("shipped.yaml")
    shipped.write_text(config_map["data"]["sweep.yaml"])
    there, here = read_config(shipped), read_config(config, ["train.seed=7"]).with_trials(3)
    assert there.tree == here.tree
    assert there.sections.cluster.address is None
    said = shlex.split(ray_job["spec"]["entrypoint"])
    assert "--set" not in said
    assert "--trials" not in said


def test_slurm_reads_the_file_where_it_is(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    assert main(["cluster", "slurm", config.name, "--set", "train.seed=7", "--out", "/srv/r"]) == 0
    script = capsys.readouterr().out
    assert f"\nconfig={shlex.quote(str(config))}\n" in script
    assert f"\npython={shlex.quote(sys.executable)}\n" in script
    assert "\nout=/srv/r\n" in script
    assert 'sweep "$config" --set train.seed=7 --out "$out" --resume' in script


def test_a_preset_and_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir("/usr")
    assert main(["cluster", "slurm", "arrows4"]) == 0
    script = capsys.readouterr().out
    assert "\nconfig=arrows4\n" in script
    assert "\nout=/usr/runs/arrows4\n" in script
    monkeypatch.chdir(tmp_path)
    assert main(["cluster", "sky", "arrows4"]) == 2
    assert "is on this machine" in capsys.readouterr().err


def test_a_file_is_written_where_it_is_to_be(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config.with_name("job.yaml")
    assert main(["cluster", "kuberay", str(config), "--file", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    assert f"kubectl apply -f {path}" in path.read_text()
    gone = str(path.parent / "no" / "job.yaml")
    assert main(["cluster", "kuberay", str(config), "--file", gone]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_weights_and_biases_needs_its_key(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "s3cret-key")
    online = ["--set", "log.wandb=online"]
    assert main(["cluster", "kuberay", str(config), *online]) == 2
    assert "cluster.kuberay.secret is missing" in capsys.readouterr().err
    online += ["--set", "cluster.kuberay.secret=keys"]
    for form in WRITTEN:
        assert main(["cluster", form, str(config), *online]) == 0
        text = capsys.readouterr().out
        assert "s3cret" not in text
        assert ("WANDB_API_KEY" in text) == (form != "slurm")


def test_files_that_nodes_do_not_see_are_refused(
    config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for extra, key in (
        (["--set", f"search.warm_start=[{tmp_path}]"], "search.warm_start[0]"),
        (["--set", "search.first=[default, /srv/best.yaml]"], "search.first[1]"),
    ):
        for form in ("kuberay", "sky", "aws"):
            assert main(["cluster", form, str(config), *extra]) == 2
            error = capsys.readouterr().err
            assert error.startswith(f"trm: error: {key}: ")
            assert error.count("\n") == 1
        assert main(["cluster", "slurm", str(config), *extra]) == 0
        capsys.readouterr()


def test_plug_ins_ship_with_the_code(
    config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "launched_plugin.py").write_text("")
    words = ["--set", "plugins=[launched_plugin]"]
    assert main(["cluster", "sky", str(config), *words]) == 0
    mounts = yaml.safe_load(capsys.readouterr().out)["file_mounts"]
    assert mounts["~/trm-code/launched_plugin.py"] == str(tmp_path / "launched_plugin.py")
    assert set(mounts) == {
        *(f"~/trm-code/{name}" for name in ("cluster", "curricula", "search", "trm")),
        "~/trm-code/launched_plugin.py",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cluster"], "the following arguments are required: FORM"),
        (["cluster", "slrum", "x.yaml"], "invalid choice: 'slrum'"),
        (["cluster", "slurm"], "the following arguments are required: config"),
        (["cluster", "slurm", "nosuch"], "nosuch: neither a file nor a preset"),
        (["cluster", "slurm", "arrows4", "--fiel", "x"], "'--fiel' is no option: did you mean --f"),
        (["cluster", "slurm", "arrows4", "--out", ""], "'' is empty"),
        (["cluster", "slurm", "arrows4", "--set", "cluster.nodes=0"], "cluster.nodes: 0 must be a"),
        (["cluster", "slurm", "arrows4", "--set", "cluster.slurm.partiton=a"], "did you mean part"),
        (["cluster", "slurm", "arrows4", "--set", "cluster.slurm.account=a b"], "'a b' must be on"),
        (["cluster", "slurm", "arrows4", "--set", "train.batch_size=0"], "train.batch_size: 0"),
        (["cluster", "submit", "arrows4"], "the following arguments are required: --address"),
        (["cluster", "submit", "arrows4", "--address", "head:6379", "--out", "/srv/a"],
         "--address: 'head:6379' must be the dashboard's address, as in http://head:8265"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_the_reference_shows_every_form() -> None:
    text = page("commands")
    assert all(f"usage: trm cluster {form} " in text for form in FORMS)


def test_help_is_quick_and_complete() -> None:
    code = (
        "import sys; from search.cli import main; code = main(['cluster', 'slurm', '--help']);"
        "print(sorted({'torch', 'pydantic', 'ray', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--file FILE" in done.stdout
