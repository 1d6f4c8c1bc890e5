"""URIs that hold a password: refused where they are read, as what holds a URI shows it."""

from __future__ import annotations

import re

from trm.errors import UserError

# A key may hold a slash, and is then no part of the host for whoever parses the URI.
_USER = re.compile(r"(?!hdfs:|viewfs:)[^/]*://[^/@]*:[^@]*@|[^/]*://[^/@]*:[^/@]*@")
_QUERY = re.compile(
    r"[^/]*://[^?]*\?(.*&)?[^=&]*(token|secret|password|account_key|signature)[^=&]*=",
    re.IGNORECASE,
)


def refuse_secrets(uri: str) -> None:
    """Refuse a URI with a password in it, without repeating that.

    Raises:
        UserError: there is one.

    >>> refuse_secrets("s3://bucket/runs?region=eu-north-1")
    >>> refuse_secrets("s3://AKIA42:wJalr/XUtnFEMI@bucket/runs")
    Traceback (most recent call last):
        ...
    trm.errors.UserError: s3://...bucket: holds a password; give it by the environment, as in ...
    """
    if _USER.match(uri) or _QUERY.match(uri):
        scheme, _, rest = uri.partition("://")
        host = re.split("[/?]", rest.rpartition("@")[2])[0]
        raise UserError(
            f"{scheme}://...{host}", None,
            "holds a password; give it by the environment, as in AWS_SECRET_ACCESS_KEY",
        )  # fmt: skip
