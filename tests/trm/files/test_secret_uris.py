"""Which URIs hold a password, and which only look like it."""

from __future__ import annotations

import pytest

from trm.errors import UserError
from trm.files.secret_uris import refuse_secrets


@pytest.mark.parametrize(
    "uri",
    [
        "s3://key:hunter2@bucket/run",
        "s3://key:hun/ter2@bucket/run?region=x",
        "s3://key:1/hunter2@bucket/run",
        "s3://:hunter2@bucket",
        "hdfs://me:hunter2@host:9000/run",
        "abfs://box@account.dfs.core.windows.net/run?sas_token=hunter2",
        "s3://bucket/run?region=x&Secret_Key=hunter2",
    ],
)
def test_a_password_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(UserError, match="holds a password; give it by the environment") as refused:
        refuse_secrets(uri)
    assert "ter2" not in str(refused.value)


@pytest.mark.parametrize(
    "uri",
    [
        "runs/a:b@c",
        "/srv/runs/token=1",
        "file:///srv/a:b@c",
        "s3://bucket/a:b@c?region=eu-north-1",
        "s3://bucket/run?endpoint_override=localhost:9000&scheme=http",
        "hdfs://host:9000/runs/me@work",
        "gs://anonymous@bucket/run",
        "abfs://box@account.dfs.core.windows.net/run",
    ],
)
def test_others_are_not(uri: str) -> None:
    refuse_secrets(uri)
