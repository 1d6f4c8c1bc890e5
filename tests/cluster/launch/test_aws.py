"""The file for `ray up`: Ray's own checks of it, its scripts, and what it refuses."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.launch.aws import cluster
from cluster.launch.errors import LaunchError
from tests.support.launched import HOSTILE, job, machines
from trm.errors import UserError

WANTED: dict[str, Any] = {"worker_type": "g5.2xlarge", "image": "ami-0123456789abcdef0"}


def written(**section: Any) -> dict[str, Any]:
    settings = {**WANTED, **section.pop("aws", {})}
    tree: dict[str, Any] = yaml.safe_load(cluster(job(), machines(**section, aws=settings)))
    return tree


def test_ray_takes_it() -> None:
    pytest.importorskip("boto3")
    from ray.autoscaler._private.util import prepare_config, validate_config

    for section in (
        {},
        {"nodes": 9, "spot": True, "cpus_per_node": 8, "gpus_per_node": 1},
        {"python": "/opt/trm/bin/python", "aws": {"zones": ["us-east-1a"], "min_workers": 1}},
    ):
        validate_config(prepare_config(written(**section)))
    with pytest.raises(Exception, match="headd"):
        validate_config(prepare_config({**written(), "headd": 1}))


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_environment_is_made_in_one_shell(tmp_path: Path) -> None:
    [setup] = written()["setup_commands"]
    # `uv` stands for itself: it comes onto the path of a first shell only.
    home = tmp_path / ".local/bin"
    home.mkdir(parents=True)
    wrote, python = tmp_path / "words", tmp_path / "trm-env/bin/python"
    (home / "uv").write_text(
        f'#!/bin/bash\nprintf "%s\\0" "$@" >> "{wrote}"\nmkdir -p "{python.parent}"\n'
        f'printf "#!/bin/bash\\necho {tmp_path}\\n" > "{python}"; chmod +x "{python}"\n'
    )
    (home / "uv").chmod(0o755)
    (tmp_path / "curl").write_text("#!/bin/bash\n")
    (tmp_path / "curl").chmod(0o755)
    environment = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["bash", "-c", f"true && ({setup})"], env=environment, check=True)
    asked = wrote.read_text().split("\0")
    assert {"ray[default,tune]==2.60.0", "torch==2.13.0", "boto3>=1.28"} <= set(asked)
    assert (tmp_path / "trm-code.pth").read_text() == f"{tmp_path}/trm-code\n"


def test_workers_are_spot_and_the_head_trains_nothing() -> None:
    tree = written(nodes=9, spot=True, aws={"instance_profile": None, "min_workers": 2})
    types = tree["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0, "GPU": 0}
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    assert types["worker"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert (types["worker"]["min_workers"], types["worker"]["max_workers"]) == (2, 9)
    assert tree["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    started = [*tree["head_start_ray_commands"], *tree["worker_start_ray_commands"]]
    assert all("RAY_AUTH_MODE=token" in line for line in started)


def test_secrets_are_named_and_not_written() -> None:
    text = cluster(job(), machines(secrets=["WANDB_API_KEY"], aws=WANTED), "my aws.yaml")
    assert "#     export WANDB_API_KEY=..." in text
    assert "#     ray attach 'my aws.yaml' --tmux" in text


@pytest.mark.parametrize("value", HOSTILE)
def test_scripts_hold_values_as_they_are(value: str, tmp_path: Path) -> None:
    hostile = job(f"s3://mine/{value}", name=value, text=value, options=("--set", value))
    wrote = tmp_path / "words"
    (tmp_path / "python").write_text(f'#!/bin/bash\nprintf "%s\\0" "$@" > "{wrote}"\n')
    (tmp_path / "python").chmod(0o755)
    wanted = machines(python=str(tmp_path / "python"), aws=WANTED)
    tree = yaml.safe_load(cluster(hostile, wanted))
    commands = [*tree["head_setup_commands"], 'bash "$HOME/trm-start.sh"']
    for line in tree["head_start_ray_commands"]:
        subprocess.run(["bash", "-n", "-c", f"true && ({line})"], check=True)
    (tmp_path / "python").write_text(f"#!/bin/bash\necho {tmp_path}\n")
    line = tree["setup_commands"][0]
    words = ["bash", "-c", f"true && ({line})"]
    subprocess.run(words, cwd=tmp_path, env={"HOME": str(tmp_path)}, check=True)
    assert (tmp_path / "trm-code.pth").read_text() == f"{tmp_path}/trm-code\n"
    (tmp_path / "python").write_text(f'#!/bin/bash\nprintf "%s\\0" "$@" > "{wrote}"\n')
    for line in commands:
        # As Ray does it: in brackets, after others.
        words = ["bash", "-c", f"true && ({line})"]
        subprocess.run(words, cwd=tmp_path, env={"HOME": str(tmp_path)}, check=True)
    assert (tmp_path / "trm-sweep.yaml").read_bytes() == value.encode()
    assert wrote.read_bytes().decode().split("\0")[4:9] == [
        str(tmp_path / "trm-sweep.yaml"), "--set", value, "--out", f"s3://mine/{value}",
    ]  # fmt: skip
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize(
    ("section", "out", "message"),
    [
        ({}, "/home/me/runs", "cluster.storage: '/home/me/runs' is on this machine"),
        ({"aws": {"worker_type": None}}, "s3://b/r", "cluster.aws.worker_type is missing: name"),
        ({"aws": {"image": None}}, "s3://b/r", "cluster.aws.image is missing: name an AMI of us-e"),
        ({"aws": {"image": "ubuntu"}}, "s3://b/r", "cluster.aws.image: 'ubuntu' must be as in ami"),
        ({"aws": {"min_workers": 2}}, "s3://b/r", "cluster.aws.min_workers: 2 is more than the 1 "),
        ({"aws": {"zones": ["eu-west-1a"]}}, "s3://b/r", "cluster.aws.zones: 'eu-west-1a' is not "),
        ({"aws": {"region": "moon"}}, "s3://b/r", "cluster.aws.region: 'moon' must be as in eu-ce"),
        ({"aws": {"worker_type": "g5"}}, "s3://b/r", "cluster.aws.worker_type: 'g5' must be as in"),
        ({"hours": 2.0}, "s3://b/r", "cluster.hours: 2.0 is no limit that `ray up` keeps"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(section: dict[str, Any], out: str, message: str) -> None:
    with pytest.raises((LaunchError, UserError)) as refused:
        cluster(job(out), machines(**{**section, "aws": {**WANTED, **section.get("aws", {})}}))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.slow  # over a minute: Ray waits for what AWS takes its time to make
def test_ray_makes_machines_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    moto = pytest.importorskip("moto", reason="needs moto with ec2 and iam")
    import boto3
    import botocore.exceptions
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.util import prepare_config, validate_config

    # Key pairs go to ~/.ssh.
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with moto.mock_aws():
        ec2 = boto3.client("ec2", region_name="us-east-1")
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        prepared = prepare_config(written(spot=True, cpus_per_node=8, aws={"image": image}))
        validate_config(prepared)
        made = bootstrap_aws(prepared)
        provider = AWSNodeProvider(made["provider"], made["cluster_name"])
        node = made["available_node_types"]["worker"]["node_config"]
        provider.create_node(node, {"ray-user-node-type": "worker"}, 1)
        [found] = [
            instance
            for reservation in ec2.describe_instances()["Reservations"]
            for instance in reservation["Instances"]
        ]
        assert (found["InstanceType"], found["InstanceLifecycle"]) == ("g5.2xlarge", "spot")
        assert found["ImageId"] == image
        with pytest.raises(botocore.exceptions.ParamValidationError, match="InstanceTypo"):
            provider.create_node({**node, "InstanceTypo": "x"}, {}, 1)
