"""Writes that a store makes only where nobody else was faster: what a lease rests on.

An object has a tag that changes with its content: the ETag on S3, the generation on Google Cloud
Storage, the sha256 on a local disk. A write names the tag that it replaces, or none where it
creates the object, and the store refuses it when the object has another. So of several writers that
have seen the same state exactly one succeeds. S3 has the headers If-None-Match and If-Match for
this, Google the parameter ifGenerationMatch, a disk O_EXCL and the lock of the file.

The requests go through s3fs and gcsfs: credentials, endpoint, proxies and certificates are by
construction those of every other access to the store.
"""

import errno
import fcntl
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from luray.storage.objects import accessing, filesystem
from luray.storage.places import is_local, public

CONFLICT_TRIES = 5
"""Times that a write is sent to S3 while another one to the same object is under way."""
CONFLICT_PAUSE = 0.2
"""Seconds between these tries."""

NOT_KNOWN = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""Errors of a disk that cannot lock files, and of a server that does not know conditions (501)."""


class UnconditionalStoreError(OSError):
    """A store that makes no conditional writes: names it, and what to do."""


class Tagged(NamedTuple):
    """The content of an object and the tag that it has with this content."""

    data: bytes
    tag: str


class _Object(Protocol):
    """An object of some store; `expected` is the tag that it must have, None for no object."""

    def read(self) -> Tagged | None: ...

    def write(self, data: bytes, *, expected: str | None) -> str | None:
        """Return the new tag, None where the store refuses because the object has another."""

    def remove(self, *, expected: str) -> None: ...


def read_tagged(url: str) -> Tagged | None:
    """Read an object and its tag; None where there is no object."""
    target = _object_at(url)
    with accessing(url):
        return target.read()


def write_if(url: str, data: bytes, *, expected: str | None) -> str | None:
    """Write a whole object if nobody has changed it.

    Parameters
    ----------
    url : str
        A local path, an s3:// or a gs:// URL.
    data : bytes
        The new content, which no other writer may write as well: a repeated request is recognised
        by it.
    expected : str or None
        The tag that the object must still have; None where there must be no object.

    Returns
    -------
    str or None
        The tag of the object with the new content, None where it was changed in the meantime and
        is left as it is.

    Raises
    ------
    UnconditionalStoreError
        For a store that refuses conditional writes as such.
    """
    target = _object_at(url)
    with _explained(url):
        tag = target.write(data, expected=expected)
        if tag is not None:
            return tag

        # The first answer may have been lost on the way. The library then sent the request again,
        # and the store refused it because the object was already ours.
        now = target.read()
    return now.tag if now is not None and now.data == data else None


def remove_if(url: str, *, expected: str) -> None:
    """Delete an object if it still has the tag that is expected."""
    target = _object_at(url)
    with _explained(url):
        target.remove(expected=expected)


def require_conditions(url: str, data: bytes) -> None:
    """Raise UnconditionalStoreError where a store ignores the conditions of writes.

    Some servers that speak the protocol of S3 accept any write. `data` is the content of the
    object, which the caller has written and nobody else writes: to write it again does no harm.
    """
    target = _object_at(url)
    if not isinstance(target, _S3Object):
        return
    for wrong in (None, '"0123456789abcdef0123456789abcdef"'):
        with _explained(url):
            tag = target.write(data, expected=wrong)
        if tag is not None:
            raise UnconditionalStoreError(_unconditional(url, "ignores them"))


def _object_at(url: str) -> _Object:
    """Return the object at a place. Raises UnconditionalStoreError for another kind of store."""
    fs, path = filesystem(url)
    scheme = url.partition("://")[0]
    if is_local(url):
        return _LocalFile(Path(path))
    if scheme in ("s3", "s3a"):
        return _S3Object(fs, path)
    if scheme in ("gs", "gcs"):
        return _GcsObject(fs, path)
    raise UnconditionalStoreError(_unconditional(url, f"{scheme}:// is not known to make them"))


def _unconditional(url: str, reason: str) -> str:
    return (
        f"{public(url)}: the store must make conditional writes, so that two jobs never write one "
        f"product, but {reason}; set an output on a local disk, on s3:// or on gs://"
    )


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Explain the errors of a store; one that knows no conditional writes is named as such."""
    try:
        with accessing(url):
            yield
    except OSError as error:
        unknown = isinstance(error.__cause__, OSError) and error.__cause__.errno in NOT_KNOWN
        if unknown or error.errno in NOT_KNOWN:
            raise UnconditionalStoreError(_unconditional(url, "does not know them")) from error
        raise


@dataclass(frozen=True)
class _LocalFile:
    """A file on a disk that all processes of this machine, or of a cluster, share.

    Whoever changes the file holds its lock while it compares and replaces. The system releases the
    lock of a process that dies, so nothing is left behind that could hold others up.
    """

    path: Path

    def read(self) -> Tagged | None:
        try:
            return _tagged(self.path.read_bytes())
        except FileNotFoundError:
            return None

    def write(self, data: bytes, *, expected: str | None) -> str | None:
        written = self._create(data) if expected is None else self._replace(data, expected)
        return _tagged(data).tag if written else None

    def remove(self, *, expected: str) -> None:
        with self._locked() as file:
            if file is not None and _tagged(file.read()).tag == expected:
                self.path.unlink()

    def _create(self, data: bytes) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            return False

        # Until the content is in it the file is empty, and another writer that sees it so may
        # replace it. Whoever has the lock first finds the empty file, and nobody after that.
        empty = _tagged(b"").tag
        try:
            return self._replace(data, empty)
        except OSError:
            self.remove(expected=empty)
            raise

    def _replace(self, data: bytes, expected: str) -> bool:
        with self._locked() as file:
            if file is None or _tagged(file.read()).tag != expected:
                return False

            # readers take no lock: under a new name, they see the old content or the new one
            temporary = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex[:8]}.partial")
            try:
                temporary.write_bytes(data)
                temporary.replace(self.path)
            except OSError:
                with suppress(OSError):
                    temporary.unlink()
                raise
            return True

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO | None]:
        """Open the file and hold its lock; None where it is gone or was replaced before that."""
        try:
            file = self.path.open("r+b")
        except FileNotFoundError:
            yield None
            return
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file if self._is_at_path(file) else None

    def _is_at_path(self, file: BinaryIO) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False


def _tagged(data: bytes) -> Tagged:
    return Tagged(data, hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class _S3Object:
    """An object of S3, or of a server that speaks its protocol."""

    fs: Any
    path: str

    def read(self) -> Tagged | None:
        return _read_remote(self.fs, self.path, "ETag")

    def write(self, data: bytes, *, expected: str | None) -> str | None:
        condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
        answer = self._ask(
            lambda: self.fs.pipe_file(self.path, data, **condition), replaces=expected is not None
        )
        return None if answer is None else str(answer["ETag"])

    def remove(self, *, expected: str) -> None:
        bucket, key, _ = self.fs.split_path(self.path)
        try:
            self._ask(
                lambda: self.fs.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=expected),
                replaces=True,
            )
        except OSError as error:
            if error.errno not in NOT_KNOWN:
                raise
            # Some servers know conditions of writes and not of deletions. Whoever takes over an
            # object in the moment before this finds it gone, and gives in.
            self.fs.rm_file(self.path)

    def _ask(self, request: Callable[[], Any], *, replaces: bool) -> Any:
        """Send a conditional request; None where its condition does not hold."""
        for attempt in range(1, CONFLICT_TRIES + 1):
            try:
                return request()
            except OSError as error:
                status = _s3_status(error)
                # 404 is the answer where an object that is to be replaced was deleted
                if status == 412 or (status == 404 and replaces):
                    return None
                # S3 says 409 while another write is under way, and wants the request again
                if status != 409 or attempt == CONFLICT_TRIES:
                    raise
            time.sleep(CONFLICT_PAUSE)
        raise AssertionError("the last try returns or raises")


def _s3_status(error: OSError) -> int | None:
    """The HTTP status behind an error of s3fs, which keeps that of botocore as its cause."""
    response: Any = getattr(error.__cause__, "response", None) or {}
    status: int | None = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


@dataclass(frozen=True)
class _GcsObject:
    """An object of Google Cloud Storage."""

    fs: Any
    path: str

    def read(self) -> Tagged | None:
        return _read_remote(self.fs, self.path, "generation")

    def write(self, data: bytes, *, expected: str | None) -> str | None:
        # gcsfs sends a condition only where it creates, so the upload is spelled out here
        bucket, key, _ = self.fs.split_path(self.path)
        upload = self.fs.base.replace("/storage/v1/", "/upload/storage/v1/")
        try:
            answer = self.fs.call(
                "POST",
                f"{upload}b/{{}}/o",
                bucket,
                uploadType="media",
                name=key,
                ifGenerationMatch=expected or "0",
                headers={"Content-Type": "application/octet-stream"},
                data=data,
                json_out=True,
            )
        except FileExistsError:  # what gcsfs makes of 412
            return None
        return str(answer["generation"])

    def remove(self, *, expected: str) -> None:
        bucket, key, _ = self.fs.split_path(self.path)
        with suppress(FileExistsError, FileNotFoundError):
            self.fs.call("DELETE", "b/{}/o/{}", bucket, key, ifGenerationMatch=expected)


def _read_remote(fs: Any, path: str, tag: str) -> Tagged | None:
    """Read the tag, then the content.

    In this order a change in between leaves an old tag with a new content, and a write that names
    the old tag is refused; the other way round it would replace what nobody has looked at.
    """
    try:
        tag_before = str(fs.info(path)[tag])
        return Tagged(fs.cat_file(path), tag_before)
    except FileNotFoundError:
        return None
