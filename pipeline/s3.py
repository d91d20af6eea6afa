"""Beam's S3 file system with one client a process, where Beam itself makes one for every call: 0.1 s each."""

from __future__ import annotations

import contextlib
import functools
from typing import Any


@functools.cache
def keep_clients() -> None:
    """Lets Beam's S3 clients of the same options share a client of boto3's, which threads may share."""
    with contextlib.suppress(ImportError):  # Without boto3, Beam itself says what is missing.
        import boto3  # noqa: F401
        from apache_beam.io.aws import s3io

        s3io.boto3_client.Client = _client_kind(s3io.boto3_client.Client)


def _client_kind(kind: Any) -> Any:
    shared: dict[str, Any] = {}

    class Client(kind):  # type: ignore[misc]
        """What a client keeps besides boto3's own, the download that it is at, stays its own."""

        client: Any

        def __init__(self, options: Any) -> None:
            named = options if isinstance(options, dict) else options.get_all_options()
            key = repr(sorted((name, value) for name, value in named.items() if name.startswith("s3_")))
            if key not in shared:
                super().__init__(options)
                shared[key] = self.client
            self.client = shared[key]
            self._download_request = self._download_stream = None
            self._download_pos = 0

    return Client
