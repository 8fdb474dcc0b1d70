"""Files on web servers, read through fsspec: bounded retries, and errors that say what to do.

fsspec's own file system answers "not found" whatever goes wrong, be it a missing login or no
network. Here every request goes through `WebFileSystem._fetch`, and every fault is explained by
`refusal` (the server answered) or `unreachable` (it did not). STAC catalogs, which are read through
the library requests, use the same functions in `fetch_text`.
"""

import asyncio
import email.utils
import errno
import io
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import requests
from fsspec.asyn import sync_wrapper
from fsspec.caching import AllBytes
from fsspec.implementations.http import HTTPFile, HTTPFileSystem

from luray.storage.errors import AbsentError, DeniedError, WebError
from luray.storage.places import public, without_secrets

TRIES = 5
"""Times that a request is sent while a server is busy or breaks the connection off."""
FIRST_PAUSE = 0.5
"""Seconds before the second try; each further pause is twice as long."""
LONGEST_PAUSE = 30.0
"""Seconds of the longest pause before a try; a server that asks for more is given up."""
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30.0, sock_read=60.0)
"""Seconds without a connection, and without a byte; a large file may take any time in all."""

BUSY = frozenset((429, 500, 502, 503, 504))
"""Statuses that may be others a moment later."""
WHOLE = 2**26
"""Bytes of the largest file that is fetched whole because its server gives no part of it."""

BROKEN_OFF = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientPayloadError,
    aiohttp.SocketTimeoutError,
    ConnectionResetError,
    BrokenPipeError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ReadTimeout,
)
"""Connections that ended before their answer did."""
UNREACHED = (aiohttp.ClientError, requests.exceptions.RequestException, OSError, TimeoutError)
"""Errors of the libraries where there is no answer at all."""

NETRC = (
    "put the login into ~/.netrc (machine {host} login NAME password WORD), or download the "
    "file and give its path"
)
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Environment variables that name certificates, beside SSL_CERT_FILE and SSL_CERT_DIR of Python."""


class Answer(NamedTuple):
    """The answer of a server.

    Names of headers are in lower case, `address` is that after redirects, and `body` is empty where
    it was not read.
    """

    status: int
    headers: Mapping[str, str]
    address: str
    body: bytes

    @property
    def total(self) -> int | None:
        """Bytes of the whole file; None where the server does not say."""
        content_range = self.headers.get("content-range", "")
        total = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", content_range)
        if total:
            return int(total[1])

        # the length of a packed body is not that of the file
        is_packed = self.headers.get("content-encoding", "identity") != "identity"
        length = self.headers.get("content-length")
        return int(length) if self.status == 200 and length and not is_packed else None


class WebFileSystem(HTTPFileSystem):  # type: ignore[misc]
    """Files of web servers, see the module."""

    async def _fetch(
        self, url: str, start: int | None = None, end: int | None = None, *, body: bool = True
    ) -> Answer:
        """Ask for a file or its bytes `start` to `end`, again while the server is busy.

        Raises
        ------
        WebError
            Where there is no answer, or one that is not what was asked for.
        RefusedError
            For a redirect to a place that the run does not allow.
        """
        try:
            address = self.encode_url(url)
        except ValueError as error:
            raise WebError(f"{public(url)} is no address ({error}); correct it") from None
        session = await self.set_session()
        headers = {"Accept-Encoding": "identity"}  # packed on the way, a file has no bytes to count
        if start is not None:
            last = "" if end is None else end - 1
            headers["Range"] = f"bytes={start}-{last}"

        # the reason for no answer is explained before it is known whether another try is of use
        for attempt in range(1, TRIES + 1):
            try:
                async with session.get(address, headers=headers, **self.kwargs) as response:
                    answer = await _answer(response, url, body=body)
                fault = refusal(url, answer.status, answer.headers)
                if fault is None:
                    return answer
                pause = pause_before(attempt + 1, answer.status, answer.headers)
            except WebError:
                raise
            except UNREACHED as error:
                fault = unreachable(url, error)
                fault.__cause__ = error
                pause = pause_after_break(attempt + 1, error)
            if pause is None:
                raise fault
            await asyncio.sleep(pause)
        raise AssertionError("the last try has no pause")

    async def _info(self, url: str, **_: Any) -> dict[str, Any]:
        """Return what a server tells of a file: size, type, date, and whether it serves ranges."""
        # One byte is asked for, instead of a HEAD request: signed addresses refuse HEAD, and many
        # servers do not tell there that they serve ranges.
        answer = await self._fetch(url, 0, 1, body=False)
        marks = {}
        for name in ("ETag", "Content-MD5", "Digest", "Last-Modified"):
            if answer.headers.get(name.lower()):
                marks[name] = answer.headers[name.lower()]
        return {
            "name": url,
            "type": "file",
            "size": answer.total,
            "url": answer.address,
            "partial": answer.status in (206, 416),
            **marks,
            "mimetype": answer.headers.get("content-type", "").partition(";")[0],
        }

    async def _exists(self, path: str, **_: Any) -> bool:
        """Return True for a file that the server gives. Raises WebError where it is not known."""
        try:
            await self._info(path)
        except AbsentError:
            return False
        return True

    async def _isfile(self, path: str, **_: Any) -> bool:
        return await self._exists(path)

    async def _cat_file(
        self, url: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Return a file, or bytes of it as a slice would."""
        if start is None and end is None:
            answer = await self._fetch(url)
            return answer.body

        first = start or 0
        last = end
        if first < 0 or (last is not None and last < 0):  # counted from the end of the file
            info = await self._info(url)
            size = info["size"] or 0
            first = first + size if first < 0 else first
            last = last + size if last is not None and last < 0 else last
        if last is not None and last <= first:
            return b""

        answer = await self._fetch(url, first, last)
        if answer.status == 416:  # the file ends before the first of these bytes
            return b""
        # 200: the server serves no ranges, and sent the whole file
        return answer.body[first:last] if answer.status == 200 else answer.body

    async def _ls_real(self, url: str, detail: bool = True, **kwargs: Any) -> Any:
        try:
            return await super()._ls_real(url, detail=detail, **kwargs)
        except FileNotFoundError as error:
            raise AbsentError(
                f"{public(url)}: there is no such folder on the server; correct the address"
            ) from error
        except aiohttp.ClientResponseError as error:
            raise refusal(url, error.status, {}) or unreachable(url, error) from error
        except UNREACHED as error:
            raise unreachable(url, error) from error

    def _open(
        self, path: str, mode: str = "rb", block_size: int | None = None, **kwargs: Any
    ) -> Any:
        """Open a seekable file that is fetched in parts; one that comes whole is held in memory."""
        if mode != "rb":
            raise NotImplementedError(f"{public(path)}: web servers are only read")
        info = self.info(path)
        if info["partial"] and info["size"]:
            return WebFile(
                self,
                path,
                block_size=block_size or self.block_size,
                size=info["size"],
                loop=self.loop,
                cache_type=self.cache_type,
                cache_options=self.cache_options,
            )
        return io.BytesIO(self.cat_file(path))


class WebFile(HTTPFile):  # type: ignore[misc]
    """A file on a web server, read in blocks."""

    cache: Any

    async def async_fetch_range(self, start: int, end: int) -> bytes:
        """Fetch bytes `start` to `end`."""
        data: bytes = await self.fs._cat_file(self.url, start, end)
        return data

    _fetch_range = sync_wrapper(async_fetch_range)

    async def async_fetch_all(self) -> None:
        """Fetch the whole file at once."""
        if not isinstance(self.cache, AllBytes):
            data = await self.fs._cat_file(self.url)
            self.cache = AllBytes(size=len(data), fetcher=None, blocksize=None, data=data)
            self.size = len(data)

    _fetch_all = sync_wrapper(async_fetch_all)


async def _answer(response: aiohttp.ClientResponse, url: str, *, body: bool) -> Answer:
    """Return an answer, with its body where that is asked for.

    Raises WebError for other bytes than those that were asked for, and for a file that comes whole
    and is too large for that.
    """
    headers = {name.lower(): value for name, value in response.headers.items()}
    answer = Answer(response.status, headers, str(response.url), b"")
    requested_range = response.request_info.headers.get("Range", "")
    if not body or response.status not in (200, 203, 206):
        return answer

    # 206 is a part of the file. To a request for a part, anything else is the whole of it.
    is_part = response.status == 206
    if requested_range and not is_part:
        data = await _read_small(response, url)
    else:
        data = await response.read()
    if is_part:
        sent_range = headers.get("content-range", "")
        _require_range(url, requested=requested_range, sent=sent_range, n_bytes=len(data))
    return answer._replace(body=data)


async def _read_small(response: aiohttp.ClientResponse, url: str) -> bytes:
    """Read a file that comes whole. Raises WebError for one that is too large."""
    pieces = []
    n_bytes = 0
    async for piece in response.content.iter_chunked(2**20):
        pieces.append(piece)
        n_bytes += len(piece)
        if n_bytes > WHOLE:
            response.close()
            raise WebError(
                f"{public(url)}: the server gives no part of a file (HTTP range requests), and the "
                f"whole is larger than the {WHOLE // 2**20} MiB that are read so; download it and "
                "give its path"
            )
    return b"".join(pieces)


def _require_range(url: str, *, requested: str, sent: str, n_bytes: int) -> None:
    """Raise WebError unless the bytes of a partial answer are those that were asked for.

    `requested` is the header Range of the request, `sent` Content-Range of the answer.
    """
    if re.fullmatch(r"bytes=(\d+)-(\d*)", requested) and not _is_range(requested, sent, n_bytes):
        raise WebError(
            f"{public(url)}: asked for {requested}, the server or a proxy before it gave {n_bytes} "
            f"bytes as {sent or 'no range'!r}; download the file and give its path"
        )


def _is_range(requested: str, sent: str, n_bytes: int) -> bool:
    """Return whether a partial answer has the bytes of the range that was asked for."""
    request = re.fullmatch(r"bytes=(\d+)-(\d*)", requested)
    answer = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", sent)
    if request is None or answer is None:
        return False

    first_requested, last_requested = request.groups()
    total = answer[3]  # bytes of the whole file, * where the server does not say
    first = int(answer[1])
    last = int(answer[2])
    if first != int(first_requested) or last - first + 1 != n_bytes:
        return False
    if not last_requested or last == int(last_requested):
        return True

    # Fewer bytes are right where the file ends.
    is_end_of_file = total != "*" and last == int(total) - 1
    return is_end_of_file and last < int(last_requested)


def pause_before(attempt: int, status: int, headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait before a try, after an answer; None where it is of no use.

    Tries are counted from 1.
    """
    if status not in BUSY or attempt > TRIES:
        return None
    pause: float = FIRST_PAUSE * 2 ** (attempt - 2)
    retry_after = seconds_asked_for(headers)
    if retry_after is not None and retry_after > LONGEST_PAUSE:
        return None
    return max(pause, retry_after or 0.0)


def pause_after_break(attempt: int, error: BaseException) -> float | None:
    """Return the same after an error; only a connection that broke off is tried again."""
    if attempt > TRIES or not any(isinstance(e, BROKEN_OFF) for e in causes(error)):
        return None
    pause: float = FIRST_PAUSE * 2 ** (attempt - 2)
    return pause


def seconds_asked_for(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the header Retry-After asks to wait; None where it asks for none.

    The header is a number of seconds or a date.
    """
    retry_after = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+", retry_after):
        return float(retry_after)
    try:
        date = email.utils.parsedate_to_datetime(retry_after)
        return max(0.0, date.timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def refusal(url: str, status: int, headers: Mapping[str, str]) -> WebError | None:
    """Explain the answer of a server that refuses a request.

    Parameters
    ----------
    url : str
        What was asked for.
    status : int
        HTTP status of the answer.
    headers : mapping
        Of the answer, their names in lower case.

    Returns
    -------
    WebError or None
        None where the server does not refuse.
    """
    # 416 refuses nothing: the file ends before the bytes that were asked for
    if 200 <= status < 300 or status == 416:
        return None
    shown = public(url)
    host = urlsplit(url).hostname or ""
    try:
        reason = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        reason = str(status)

    if status == 401:
        return DeniedError(
            f"{shown}: the server wants a login ({reason}); {NETRC.format(host=host)}"
        )
    if status == 403:
        return DeniedError(
            f"{shown}: the server does not let this user read it ({reason}); if it was signed the "
            "address may have expired; check that the login may read it, or download the file and "
            "give its path"
        )
    if status == 407:
        return DeniedError(
            f"{shown}: the proxy of the environment wants a login ({reason}); write it into "
            "http_proxy and https_proxy, as http://NAME:WORD@host:port"
        )
    if status in (404, 410):
        return AbsentError(
            f"{shown}: there is no such file on the server ({reason}); correct the address"
        )
    if status in BUSY:
        retry_after = seconds_asked_for(headers)
        wait = f" and asks to come back in {retry_after:.0f} s" if retry_after else ""
        was_tried = retry_after is None or retry_after <= LONGEST_PAUSE
        tried = f" after {TRIES} tries" if was_tried else ""
        trouble = "gets more requests than it takes" if status == 429 else "cannot answer now"
        return WebError(
            f"{shown}: the server {trouble} ({reason}){tried}{wait}; run the command again later, "
            "with fewer workers, or download the file and give its path"
        )
    return WebError(
        f"{shown}: the server answers {reason}; open the address in a browser to see what it says, "
        "and correct it, or download the file and give its path"
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that led to it.

    aiohttp, requests and urllib3 keep the earlier errors in different places.
    """
    # breadth first, so that the nearest reason comes first; chains of causes may have circles
    pending: list[object] = [error]
    visited: set[int] = set()
    while pending:
        cause = pending.pop(0)
        if not isinstance(cause, BaseException) or id(cause) in visited:
            continue
        visited.add(id(cause))
        yield cause
        pending += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]


def unreachable(url: str, error: BaseException) -> WebError:
    """Explain why there is no answer.

    The reasons, in the order in which they are looked for: the proxy, TLS, the name of the host,
    the server, the network, the address, a redirect in a circle, time, and a connection that broke
    off. A library wraps one error into others, so an earlier reason may have later ones around it.
    """
    shown = public(url)
    address = urlsplit(url)
    port = f"port {address.port}" if address.port else address.scheme
    chain = list(causes(error))

    def first(*kinds: type[BaseException]) -> Any:
        return next((e for e in chain if isinstance(e, kinds)), None)

    numbers = {e.errno for e in chain if isinstance(e, OSError)}
    names = "".join(type(e).__name__ for e in chain)
    proxy_answer = first(aiohttp.ClientHttpProxyError)
    if proxy_answer is not None:
        wants_login = refusal(url, proxy_answer.status, {}) if proxy_answer.status == 407 else None
        return wants_login or WebError(
            f"{shown}: the proxy of the environment refuses to connect ({proxy_answer.status} "
            f"{proxy_answer.message}); check https_proxy, or name the host in no_proxy"
        )
    if first(aiohttp.ClientProxyConnectionError, requests.exceptions.ProxyError) is not None:
        return WebError(
            f"{shown}: the proxy that http_proxy or https_proxy names does not answer "
            f"({_reason(chain)}); correct the variable, or name the host in no_proxy"
        )
    if first(ssl.SSLCertVerificationError) is not None:
        messages = [getattr(e, "verify_message", "") for e in chain]
        reason = next(filter(None, messages), "not verified")
        return WebError(
            f"{shown}: the certificate of {address.hostname} is not trusted ({reason}); if your "
            "site or its proxy signs certificates itself, set SSL_CERT_FILE to its bundle"
        )
    if first(ssl.SSLError) is not None:
        return WebError(
            f"{shown}: {address.hostname} does not speak TLS as expected ({_reason(chain)}); check "
            "port and scheme (http:// or https://)"
        )
    if first(socket.gaierror) is not None or "NameResolution" in names:  # the latter of urllib3
        return WebError(
            f"{shown}: no host is found under the name {address.hostname}; correct the address, or "
            "check network, DNS and https_proxy"
        )
    if first(ConnectionRefusedError) is not None or errno.ECONNREFUSED in numbers:
        return WebError(
            f"{shown}: nothing answers at {address.hostname}, {port} (connection refused); correct "
            "the address, or start the server"
        )
    if numbers & {errno.ENETUNREACH, errno.EHOSTUNREACH}:
        return WebError(
            f"{shown}: there is no way to {address.hostname} ({_reason(chain)}); check the "
            "network, or set https_proxy"
        )
    if first(aiohttp.InvalidURL, requests.exceptions.InvalidURL, UnicodeError) is not None:
        return WebError(f"{shown} is no address; correct it")
    if first(aiohttp.TooManyRedirects, requests.exceptions.TooManyRedirects) is not None:
        return WebError(
            f"{shown}: the server redirects in a circle; open the address in a browser and give "
            "the one of the file itself"
        )
    if first(TimeoutError, asyncio.TimeoutError, requests.exceptions.Timeout) is not None:
        return WebError(
            f"{shown}: no answer from {address.hostname} within {TIMEOUT.sock_connect:.0f} s to "
            f"connect or {TIMEOUT.sock_read:.0f} s to send; check the network and https_proxy, or "
            "run the command again later"
        )
    if first(*BROKEN_OFF) is not None:
        return WebError(
            f"{shown}: the connection broke off before the answer was whole, {TRIES} times; run "
            "the command again later, or download the file and give its path"
        )
    return WebError(
        f"{shown}: cannot be fetched ({_reason(chain)}); check the address and the network"
    )


def _reason(chain: list[BaseException]) -> str:
    """Return the message of the system, or of the library if there is none, without secrets."""
    of_system = [e.strerror for e in chain if isinstance(e, OSError) and e.strerror]
    of_library = str(chain[0]) or type(chain[0]).__name__
    return without_secrets(of_system[-1] if of_system else of_library)


def trusted_certificates() -> ssl.SSLContext:
    """Return the certificates that Python trusts, and those that requests and curl may trust."""
    context = ssl.create_default_context()
    for name in CERTIFICATES:
        bundle = os.environ.get(name)
        if bundle:
            is_folder = os.path.isdir(bundle)  # noqa: PTH112, as OpenSSL takes text
            if is_folder:
                context.load_verify_locations(capath=bundle)
            else:
                context.load_verify_locations(cafile=bundle)
    return context


class TrustingAdapter(requests.adapters.HTTPAdapter):
    """Connections of the library requests that trust `trusted_certificates`."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
        """See requests."""
        return super().init_poolmanager(*args, ssl_context=trusted_certificates(), **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """See requests."""
        return super().proxy_manager_for(proxy, ssl_context=trusted_certificates(), **kwargs)


def fetch_text(session: requests.Session, method: str, url: str, **options: Any) -> bytes:
    """Send a request through the library requests, again while the server is busy.

    Parameters
    ----------
    session : requests.Session
        Its adapters, login and headers are used.
    method, url : str
        Of the request.
    **options
        Of `requests.Session.request`.

    Returns
    -------
    bytes
        The body of the answer.

    Raises
    ------
    WebError
        Where there is no answer, or one that refuses the request.
    """
    for attempt in range(1, TRIES + 1):
        try:
            response = session.request(
                method, url, timeout=(TIMEOUT.sock_connect, TIMEOUT.sock_read), **options
            )
            headers = {name.lower(): value for name, value in response.headers.items()}
            fault = refusal(url, response.status_code, headers)
            if fault is None:
                return response.content
            pause = pause_before(attempt + 1, response.status_code, headers)
        except UNREACHED as error:
            fault = unreachable(url, error)
            fault.__cause__ = error
            pause = pause_after_break(attempt + 1, error)
        if pause is None:
            raise fault
        time.sleep(pause)
    raise AssertionError("the last try has no pause")
