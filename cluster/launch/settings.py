"""The keys of the `cluster` section that launch files are made from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cluster.launch.words import AbsolutePath, Label, RemotePath, Variable, Word, matching
from curricula.component import Component

Constraint = Annotated[
    str,
    matching(r"[A-Za-z0-9_.+*&|,()\[\]:-]+", "features as Slurm joins them, as in a100|h100"),
]
Module = Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9_./+-]*", "one module, as in cuda/12.4")]
Image = Annotated[
    str,
    matching(
        r"[a-z0-9]([\w.:/-]*[\w])?(@sha256:[0-9a-f]{64})?",
        "an image, as in registry.example/trm:0.1",
    ),
]
LabelKey = Annotated[
    str, matching(r"([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?", "a label's key")
]
LabelValue = Annotated[
    str, matching(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", "a label's value")
]
Infra = Annotated[str, matching(r"[a-z0-9]+(/[A-Za-z0-9_.*-]+)*", "as in aws, or gcp/us-central1")]
Bucket = Annotated[
    str, matching(r"[a-z0-9]+://[A-Za-z0-9_.-]+(/[A-Za-z0-9_./=+-]*)?", "as in s3://bucket/data")
]


class SlurmSettings(Component):
    """What `trm cluster slurm` asks Slurm for.

    Attributes:
        partition: null leaves it to Slurm, and so do the other nulls.
        account: whom the time is charged to.
        qos: quality of service.
        constraint: features that nodes must have.
        modules: `module load` of each before the start; an empty list loads none.
        exclusive: whole nodes, shared with no other job; null is true where `cpus_per_node` is
            null.
        warning_seconds: how long before the time limit the sweep is stopped and queued again.
        requeue: whether it is queued again at the time limit, and after a node's failure; false
            ends it.
    """

    partition: Annotated[str, matching(r"[A-Za-z0-9_.+,-]+", "one word, or some with commas")] | (
        None
    ) = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Constraint | None = None
    modules: list[Module] = Field(default=[])
    exclusive: bool | None = None
    warning_seconds: int = Field(default=120, ge=60, le=3600)
    requeue: bool = True


class KuberaySettings(Component):
    """What `trm cluster kuberay` asks Kubernetes for.

    Attributes:
        image: with Ray and this package; every pod runs it.
        namespace: null leaves it to kubectl.
        service_account: of the pods; null is the namespace's own.
        claim: a PersistentVolumeClaim (ReadWriteMany) that all pods mount; null mounts none, the
            run then lies in a bucket.
        mount: where the claim is mounted.
        secret: a Secret whose keys become the pods' environment; null is none.
        min_workers: workers that stay; below `nodes`, Ray adds and removes the others.
        idle_seconds: after which an idle worker is removed.
        node_selector: labels that a worker's node must have; empty is any node.
        head_cpus: cores of the head's pod, which runs the sweep and no trial.
        head_memory_gb: its memory.
        retries: new clusters after a lost one, each goes on with the run; 0 is none.
        pending_minutes: how long pods may wait for machines; null is for ever.
        keep_minutes: how long the finished job stays to be looked at.
    """

    image: Image | None = None
    namespace: Label | None = None
    service_account: Label | None = None
    claim: Label | None = None
    mount: RemotePath = "/shared"
    secret: Label | None = None
    min_workers: int = Field(default=0, ge=0)
    idle_seconds: int = Field(default=120, ge=1, le=86_400)
    node_selector: dict[LabelKey, LabelValue] = Field(default={})
    head_cpus: int = Field(default=2, ge=1)
    head_memory_gb: int = Field(default=4, ge=2)
    retries: int = Field(default=3, ge=0, le=1000)
    pending_minutes: int | None = Field(default=None, ge=1, le=525_600)
    keep_minutes: int = Field(default=60, ge=0, le=525_600)


class SkySettings(Component):
    """What `trm cluster sky` asks SkyPilot for.

    Attributes:
        infra: cloud, region and zone; null takes the cheapest that SkyPilot finds.
        image: of the machines; null is SkyPilot's own.
        disk_gb: of each machine.
        mounts: folders of the machines and the buckets that are mounted there, for data; empty
            mounts none.
        restarts: new starts after an error of the sweep itself; lost machines do not count.
    """

    infra: Infra | None = None
    image: Annotated[str, matching(r"[\w.:/@-]+", "an image's name")] | None = None
    disk_gb: int = Field(default=100, ge=20)
    mounts: dict[RemotePath, Bucket] = Field(default={})
    restarts: int = Field(default=3, ge=0)


class AwsSettings(Component):
    """What `trm cluster aws` has `ray up` ask AWS for.

    Attributes:
        region: where.
        zones: availability zones, tried in this order; empty leaves it to AWS.
        head_type: the instance that runs the sweep and no trial.
        worker_type: the instances that run trials.
        image: an AMI of that region with Ubuntu and, for GPUs, NVIDIA's driver.
        ssh_user: the image's user.
        instance_profile: ARN of the IAM instance profile that may write to the bucket; null is
            the one that Ray makes, which may read and write S3.
        min_workers: workers that stay; below `nodes`, Ray adds and removes the others.
        idle_minutes: after which an idle worker is removed.
        disk_gb: of each machine.
    """

    region: Annotated[str, matching(r"[a-z]{2}(-[a-z]+)+-\d", "as in eu-central-1")] = "us-east-1"
    zones: list[Annotated[str, matching(r"[a-z]{2}(-[a-z]+)+-\d[a-z]", "as in us-east-1a")]] = (
        Field(default=[])
    )
    head_type: Annotated[str, matching(r"[a-z0-9-]+\.[a-z0-9-]+", "as in m6i.xlarge")] = (
        "m6i.xlarge"
    )
    worker_type: Annotated[str, matching(r"[a-z0-9-]+\.[a-z0-9-]+", "as in g5.2xlarge")] | None = (
        None
    )
    image: Annotated[str, matching(r"ami-[0-9a-f]{8,17}", "as in ami-0123456789abcdef0")] | None = (
        None
    )
    ssh_user: Annotated[str, matching(r"[a-z_][a-z0-9_-]*", "a user's name")] = "ubuntu"
    instance_profile: (
        Annotated[
            str,
            matching(r"arn:aws[a-z-]*:iam::\d{12}:instance-profile/[\w+=,.@/-]+", "an ARN"),
        ]
        | None
    ) = None
    min_workers: int = Field(default=0, ge=0)
    idle_minutes: int = Field(default=5, ge=1)
    disk_gb: int = Field(default=100, ge=20)


class Machines(Component):
    """Machines to ask for, in launch files.

    Attributes:
        nodes: machines that run trials, at most where they come and go.
        cpus_per_node: cores of each; null is all that it has.
        gpus_per_node: GPUs of each; 0 is none.
        gpu: the kind of GPU, as the scheduler or the cloud calls it; null is any.
        memory_gb_per_node: memory of each; null leaves it to the scheduler.
        spot: whether machines may be taken away, at a lower price.
        hours: time limit of the job; null is the scheduler's, or none.
        storage: where run folders go, a folder that all nodes share or a bucket's URI.
        python: full path of the nodes' Python; null is the one that writes a Slurm script, that
            of the image, or the cluster's own.
        secrets: environment variables that the job needs, by name; their values are never
            written.
        slurm: what `trm cluster slurm` asks for.
        kuberay: what `trm cluster kuberay` asks for.
        sky: what `trm cluster sky` asks for.
        aws: what `trm cluster aws` asks for.
    """

    nodes: int = Field(default=1, ge=1, le=10_000)
    cpus_per_node: int | None = Field(default=None, ge=1)
    gpus_per_node: int = Field(default=0, ge=0)
    gpu: Word | None = None
    memory_gb_per_node: int | None = Field(default=None, ge=1)
    spot: bool = False
    hours: float | None = Field(default=None, gt=0.0, le=8760.0)
    storage: str | None = None
    python: AbsolutePath | None = None
    secrets: list[Variable] = Field(default=[])
    slurm: SlurmSettings = SlurmSettings()
    kuberay: KuberaySettings = KuberaySettings()
    sky: SkySettings = SkySettings()
    aws: AwsSettings = AwsSettings()
