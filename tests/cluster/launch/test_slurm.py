"""The script for sbatch: what it asks for, and that no value of a config becomes a command."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cluster.launch.errors import LaunchError
from cluster.launch.slurm import script
from tests.support.launched import HOSTILE, job, machines


def directives(text: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in text.splitlines() if line[:7] == "#SBATCH"]


def checked(text: str, folder: Path) -> Path:
    """The script as a file that bash and shellcheck have nothing against."""
    path = folder / "job.sh"
    path.write_text(text)
    subprocess.run(["bash", "-n", str(path)], check=True)
    if shutil.which("shellcheck"):
        words = ["shellcheck", "--severity=warning", str(path)]
        found = subprocess.run(words, capture_output=True, text=True)
        assert found.returncode == 0, found.stdout
    return path


def test_whole_machines_unless_cores_are_said(tmp_path: Path) -> None:
    text = script(job("/srv/runs/first"), machines(nodes=3))
    checked(text, tmp_path)
    assert directives(text) == [
        "--job-name=first", "--nodes=3", "--ntasks-per-node=1", "--exclusive",
        "--signal=B:USR1@120", "--requeue", "--output=%x-%j.log", "--open-mode=append",
    ]  # fmt: skip


def test_everything_that_can_be_asked_for(tmp_path: Path) -> None:
    wanted = machines(
        nodes=2, cpus_per_node=16, gpus_per_node=4, gpu="a100", memory_gb_per_node=64, hours=1.51,
        python="/opt/my env/bin/python",
        slurm={
            "partition": "gpu,long", "account": "me", "qos": "high", "constraint": "a100|h100",
            "modules": ["cuda/12.4"], "exclusive": True, "warning_seconds": 300, "requeue": False,
        },
    )  # fmt: skip
    text = script(job("/srv/runs/first"), wanted)
    checked(text, tmp_path)
    assert directives(text) == [
        "--job-name=first", "--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=16",
        "--exclusive", "--gpus-per-node=a100:4", "--mem=64G", "--time=91", "--partition=gpu,long",
        "--account=me", "--qos=high", "--constraint=a100|h100", "--signal=B:USR1@300",
        "--no-requeue", "--output=%x-%j.log", "--open-mode=append",
    ]  # fmt: skip
    assert "\nmodule load cuda/12.4\n" in text
    assert "\npython='/opt/my env/bin/python'\n" in text
    assert "--cpus 16 --gpus 4" in text


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_becomes_a_command(value: str, tmp_path: Path) -> None:
    if any(ord(letter) < 32 for letter in value):
        with pytest.raises(LaunchError, match="control character"):
            script(job(f"/srv/{value}"), machines())
    else:
        # A stand-in for every program: it writes down the words that it is given.
        wrote = tmp_path / "words"
        program = tmp_path / "python"
        program.write_text(f'#!/bin/bash\nprintf "%s\\0" "$@" "END" >> "{wrote}"\n')
        program.chmod(0o755)
        text = script(
            job(f"/srv/{value}", name=value, file=f"/home/{value}.yaml", options=("--set", value)),
            machines(python=str(program)),
        )
        path = checked(text, tmp_path)
        environment = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "HOME": str(tmp_path),
            "SLURM_JOB_NUM_NODES": "1", "SLURMD_NODENAME": "here", "SLURM_CPUS_ON_NODE": "2",
            "SLURM_NODEID": "0",
        }  # fmt: skip
        for name in ("srun", "scontrol"):
            (tmp_path / name).write_text("#!/bin/bash\nsleep 0.1\n")
            (tmp_path / name).chmod(0o755)
        subprocess.run(["bash", str(path)], env=environment, cwd=tmp_path, timeout=30, check=True)
        calls = [part.split("\0") for part in wrote.read_text().split("END\0")]
        [sweep] = [call for call in calls if "sweep" in call]
        assert sweep[:9] == [
            "-P", "-m", "search.cli", "sweep", f"/home/{value}.yaml", "--set", value, "--out",
            f"/srv/{value}",
        ]  # fmt: skip
    assert not (tmp_path / "PWNED").exists()


def test_no_secret_is_written() -> None:
    os.environ["RAY_AUTH_TOKEN"] = "s3cret-token"
    try:
        text = script(job("/srv/runs/first"), machines(secrets=["WANDB_API_KEY"]))
    finally:
        del os.environ["RAY_AUTH_TOKEN"]
    assert "s3cret" not in text


@pytest.mark.parametrize(
    ("out", "section", "message"),
    [
        ("/tmp/runs", {}, "cluster.storage: '/tmp/runs' is on one machine alone"),
        ("/srv/runs", {"gpu": "a100"}, "cluster.gpu: 'a100' counts with GPUs alone"),
    ],
)
def test_what_does_not_fit_is_refused(out: str, section: dict[str, Any], message: str) -> None:
    with pytest.raises(LaunchError) as refused:
        script(job(out), machines(**section))
    assert message in str(refused.value)
