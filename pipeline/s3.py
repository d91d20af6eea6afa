"""Adds to Beam's S3 file system empty files, and one shared client: Beam makes one for each call, which takes 0.1 s."""

from __future__ import annotations

import contextlib
import functools
from typing import Any


@functools.cache
def complete_s3() -> None:
    """Lets Beam's S3 clients with the same options share one boto3 client, and write empty files."""
    with contextlib.suppress(ImportError):  # Without boto3, Beam itself says what is missing.
        import boto3  # noqa: F401
        from apache_beam.io.aws import s3io

        s3io.boto3_client.Client = _client_kind(s3io.boto3_client.Client)
        s3io.S3Uploader = _uploader_kind(s3io.S3Uploader)


def _client_kind(kind: Any) -> Any:
    shared: dict[str, Any] = {}  # boto3's clients are thread-safe.

    class Client(kind):  # type: ignore[misc]
        """Shares everything but the state of its download."""

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


def _uploader_kind(kind: Any) -> Any:
    class Uploader(kind):  # type: ignore[misc]
        """Uploads at least one part, which may be empty, as S3 requires."""

        def finish(self) -> None:
            if not self.parts and not self.buffer:
                self._write_to_s3(b"")
            super().finish()

    return Uploader
