"""Reading the documents of a catalog from any store, and none outside of what may be read.

A catalog is somebody else's text. What it links to is opened only below its own root or below a
root that the run file allows.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urljoin

import pystac
import requests
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from luray.catalog.catalog_config import CatalogConfig
from luray.core.causes import chain_of
from luray.sources.file_formats import HEAD_BYTES, identify_format
from luray.storage.errors import AbsentError, WebError
from luray.storage.objects import read_object
from luray.storage.places import WEB, public
from luray.storage.trust import RefusedError, require_within
from luray.storage.web import TrustingAdapter, fetch_text

MOST_DOCUMENTS = 100_000
"""Documents of a catalog that are read: links can go round in a circle of ever new names."""


class CatalogError(ValueError):
    """A catalog that cannot be read or lacks what the run wants: says what it has, what to do."""


class CatalogReader(StacApiIO):
    """Reads the documents of one catalog, for pystac-client and for luray's own walk."""

    def __init__(self, catalog: CatalogConfig) -> None:
        super().__init__(max_retries=None)
        self.catalog = catalog
        self.n_documents = 0
        # A server may lead outside with a redirect as well as a document with a link.
        self.session.hooks["response"].append(self._check_redirect)
        for scheme in WEB:
            self.session.mount(f"{scheme}://", TrustingAdapter())

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return the text of a document of a web server or API.

        Raises WebError, and APIError where there is no such document.
        """
        method = (method or "GET").upper()
        sent = {"params": parameters} if method == "GET" else {"json": parameters}
        try:
            data = fetch_text(self.session, method, href, headers=headers, **sent)
        except AbsentError as error:
            absent = APIError(str(error))
            # By this pystac-client knows that an API has no such collection.
            absent.status_code = 404
            raise absent from error
        return _text(data, href)

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        """Return the text of a document.

        Raises RefusedError for one outside, FileNotFoundError where there is none, CatalogError
        after `MOST_DOCUMENTS`.
        """
        href = str(source.get_href() if isinstance(source, pystac.Link) else source)
        self._require(href, "a link")
        self.n_documents += 1
        if self.n_documents > MOST_DOCUMENTS:
            raise CatalogError(
                f"more than {MOST_DOCUMENTS} documents, expected the inputs of a run; give a "
                "smaller catalog"
            )
        if href.startswith(("http://", "https://")):
            return super().read_text(source, *args, **kwargs)
        data = read_object(href)
        if data is None:
            raise FileNotFoundError(f"{public(href)} is not there")
        return _text(data, href)

    def document(self, href: str) -> dict[str, Any]:
        """Return a document as plain JSON."""
        document = self.read_json(href)
        if not isinstance(document, dict):
            raise CatalogError(
                f"{public(href)} is a JSON {type(document).__name__}, expected an object; correct "
                "the link to it"
            )
        return document

    def _require(self, href: str, led_by: str) -> None:
        """Raise RefusedError for a place outside; `led_by` says what leads there."""
        catalog = public(self.catalog.url)
        require_within(href, [self.catalog.root], led_by=f"{led_by} of catalog {catalog}")

    def _check_redirect(self, response: requests.Response, *_: Any, **__: Any) -> None:
        target = self.session.get_redirect_target(response)
        try:
            self._require(urljoin(response.url, target or ""), "a redirect")
        except RefusedError:
            response.close()
            raise


def _text(data: bytes, href: str) -> str:
    """Return the text of a document.

    Raises ValueError for a page, a picture, or what is packed or empty.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    if not text.lstrip().startswith(("{", "[")):
        file_format = identify_format(data[:HEAD_BYTES])
        name = PurePosixPath(public(href)).name
        raise ValueError(
            f"{public(href)} is {file_format.name}, expected JSON; "
            f"{file_format.advice.format(name=name, end='.json')}"
        )
    return text


@contextmanager
def reading(catalog: CatalogConfig) -> Iterator[None]:
    """Turn whatever goes wrong inside into a RefusedError or CatalogError, without secrets."""
    where = f"catalog {public(catalog.url)}"
    try:
        yield
    except Exception as error:  # every store and pystac raise errors of their own kind
        refused = _refusal_behind(error)
        if refused is not None:
            raise refused from None
        if isinstance(error, WebError):
            raise CatalogError(f"{where}: cannot be read as STAC ({error})") from error
        # Libraries put whole URLs into their messages, signatures included.
        shown = re.sub(
            r"\w+://[^\s'\"]+", lambda match: public(match[0]), str(error) or type(error).__name__
        )
        if isinstance(error, CatalogError):
            raise CatalogError(f"{where}: {shown}") from error
        raise CatalogError(
            f"{where}: cannot be read as STAC ({shown}); give the url of a catalog.json or of a "
            "STAC API"
        ) from error


def _refusal_behind(error: BaseException) -> RefusedError | None:
    """Return the refusal that a library has wrapped into an error of its own."""
    return next((link for link in chain_of(error) if isinstance(link, RefusedError)), None)
