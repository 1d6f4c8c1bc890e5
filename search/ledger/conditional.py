"""An object that is written only if nobody else has written it since it was last read.

pyarrow has no conditional write, obstore has (`pip install 'trm-search[objects]'`): If-None-Match
and If-Match on S3 and Azure, generations on GCS.
"""

from __future__ import annotations

import os
from configparser import ConfigParser, Error
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, urlsplit

from search.ledger.storage import Remote

if TYPE_CHECKING:
    from obstore import UpdateVersion
    from obstore.store import ObjectStore

_SECONDS = 10
"""For a request and for all of its repetitions: well below the time that a lease lasts."""


class ChangedError(Exception):
    """The object is not as it was when it was last read or written."""


class UnconditionalError(OSError):
    """The store does not do what a conditional write needs; the message says what."""


class ConditionalObject:
    """An object by way of obstore, with the version of it that was last seen.

    Args:
        file: the same object by way of pyarrow.

    Raises:
        ImportError: obstore is not installed.
        UnconditionalError: obstore knows no such store, or lacks something to reach it.
    """

    def __init__(self, file: Remote) -> None:
        self.file = file
        self._store = _store(file)
        self._key = file.path.partition("/")[2]
        self._seen: UpdateVersion | None = None

    def __str__(self) -> str:
        return str(self.file)

    def read_text(self) -> str:
        """The object's content; what is written next replaces this and nothing else.

        Raises:
            FileNotFoundError: there is none; what is written next is then written only if there
                still is none.
            OSError: the store does not answer, or refuses us.
        """
        import obstore
        from obstore.exceptions import BaseError

        try:
            found = obstore.get(self._store, self._key)
            content = bytes(found.bytes()).decode()
        except FileNotFoundError:
            self._seen = None
            raise
        except BaseError as error:
            raise OSError(_line(error)) from error
        self._seen = _version(found.meta)
        return content

    def write_bytes(self, data: bytes) -> None:
        """Make the object, or replace the version of it that was last seen.

        Raises:
            ChangedError: somebody else wrote or removed it since, or an earlier try of this very
                write was stored and its answer got lost.
            UnconditionalError: the store gives its objects no versions.
            OSError: the store does not answer, or refuses us.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            put = obstore.put(
                self._store, self._key, data, mode=self._seen or "create", use_multipart=False
            )
        except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
            raise ChangedError(str(self)) from error
        except BaseError as error:
            raise OSError(_line(error)) from error
        self._seen = _version(put)

    def prove(self, data: bytes) -> None:
        """Make sure that the store heeds conditions, on the object as it was just written.

        Args:
            data: differs from what is there, which it replaces.

        Raises:
            UnconditionalError: the store writes although a condition is not met, or obstore and
                pyarrow do not mean the same object.
            ChangedError: somebody else wrote or removed the object.
            OSError: the store does not answer, or refuses us.
        """
        outdated = self._seen
        self.write_bytes(data)
        current = self._seen
        for seen, header in ((outdated, "If-Match"), (None, "If-None-Match")):
            self._seen = seen
            try:
                self.write_bytes(data)
            except ChangedError:
                self._seen = current
            else:
                raise UnconditionalError(f"the store ignores {header}")
        try:
            same = self.file.read_bytes() == data
        except FileNotFoundError:
            same = False
        if not same:
            raise UnconditionalError("obstore writes elsewhere than pyarrow")


def _version(found: Any) -> UpdateVersion:
    """What obstore says of a version, without what the store does not say."""
    seen = {name: found[name] for name in ("e_tag", "version") if found.get(name)}
    if not seen:
        raise UnconditionalError("the store gives its objects no ETag")
    return cast("UpdateVersion", seen)


def _store(file: Remote) -> ObjectStore:
    """obstore's connection to the bucket, by the same URI and environment as pyarrow's."""
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, S3Store

    url = urlsplit(file.uri)
    query = {name: values[-1] for name, values in parse_qs(file.query.removeprefix("?")).items()}
    bucket = file.path.partition("/")[0]
    endpoint = query.get("endpoint_override", "")
    if endpoint and "://" not in endpoint:
        endpoint = f"{query.get('scheme', 'https')}://{endpoint}"
    common: Any = {
        "client_options": {"timeout": f"{_SECONDS}s", "connect_timeout": "5s"},
        "retry_config": {"max_retries": 2, "retry_timeout": timedelta(seconds=_SECONDS)},
    }
    config: Any = {}
    try:
        if url.scheme == "s3":
            names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
            endpoint = endpoint or next(filter(None, map(os.environ.get, names)), "")
            config = {"region": file.filesystem.region, **_profile_keys()}
            if endpoint:
                config["endpoint"] = endpoint
                common["client_options"]["allow_http"] = endpoint.startswith("http:")
            return S3Store(bucket, config=config, **common)
        if url.scheme in ("gs", "gcs"):
            if url.username == "anonymous":
                config["skip_signature"] = True
            if endpoint:
                config["base_url"] = endpoint
                common["client_options"]["allow_http"] = endpoint.startswith("http:")
            return GCSStore(bucket, config=config, **common)
        if url.scheme in ("abfs", "abfss") and not query:
            return AzureStore.from_url(f"{url.scheme}://{url.netloc}", **common)
    except (BaseError, ValueError) as error:
        raise UnconditionalError(f"obstore cannot be used: {_line(error)}") from error
    raise UnconditionalError("obstore does not know such a URI")


def _profile_keys() -> dict[str, str]:
    """The keys of a profile, which obstore does not look up, where the environment has none."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    profiles = ConfigParser(interpolation=None)
    try:
        default = Path.home() / ".aws" / "credentials"
        profiles.read(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or default, encoding="utf-8")
        found = profiles[os.environ.get("AWS_PROFILE") or "default"]
    except (Error, KeyError, OSError, UnicodeError, RuntimeError):  # the last: no home
        return {}
    names = {
        "aws_access_key_id": "access_key_id",
        "aws_secret_access_key": "secret_access_key",
        "aws_session_token": "session_token",
    }
    return {name: found[key] for key, name in names.items() if found.get(key)}


def _line(error: Exception) -> str:
    """What obstore says of an error, without its account of how it came to it."""
    return " ".join(str(error).partition("\n\nDebug source")[0].split())[:300]
