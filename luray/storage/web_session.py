"""The HTTP sessions through which fsspec reads web servers."""

from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin

import aiohttp

from luray.storage.places import public
from luray.storage.trust import require_within
from luray.storage.web import TIMEOUT, trusted_certificates


def open_session(**options: Any) -> aiohttp.ClientSession:
    """Open an HTTP session that follows a redirect to another host only where it is allowed.

    It takes proxies (http_proxy, https_proxy, no_proxy) and logins (.netrc) from the environment.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_check_redirect)
    connector = aiohttp.TCPConnector(ssl=trusted_certificates())
    settings: dict[str, Any] = {
        "timeout": TIMEOUT,
        "trust_env": True,
        "connector": connector,
        **options,
    }
    return aiohttp.ClientSession(trace_configs=[trace], **settings)


async def _check_redirect(_: aiohttp.ClientSession, __: SimpleNamespace, redirect: Any) -> None:
    start = str(redirect.url)
    headers = redirect.response.headers
    target = urljoin(start, headers.get("Location") or headers.get("URI") or "")
    require_within(target, [urljoin(start, "/")], led_by=f"a redirect of {public(start)}")
