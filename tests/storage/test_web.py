"""Web servers that fail: answers are told apart, what may pass is tried again, and nothing else."""

import datetime
import email.utils
import ipaddress
import socket
import ssl
import time

import numpy as np
import pytest
import rasterio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from luray.catalog.catalog_config import CatalogConfig
from luray.catalog.read import find_assets
from luray.catalog.reader import CatalogError
from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.discover import list_files
from luray.sources.geotiff import open_raster
from luray.sources.netcdf import inspect_netcdf
from luray.sources.raster import inspect_raster
from luray.storage import web as http
from luray.storage.errors import AbsentError, DeniedError, InputError, WebError
from luray.storage.objects import exists, filesystem, read_object
from luray.storage.web import WebFileSystem, seconds_asked_for
from tests.sources.writers import axes, write_nc, write_tif
from tests.web import LOGIN, serve_site

GRID = Grid(50, 10, 1, 4, 6)
FIELD = np.arange(24, dtype=np.float32).reshape(4, 6)
BOX = Box(0, 0, 4, 6)
QUICK = 0.01


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Short pauses, no proxies or logins of this machine, and a session of its own."""
    monkeypatch.setattr(http, "FIRST_PAUSE", QUICK)
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "NETRC",
        *http.CERTIFICATES,
        "SSL_CERT_FILE",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    WebFileSystem.clear_instance_cache()
    yield
    WebFileSystem.clear_instance_cache()


@pytest.fixture
def raster(tmp_path, site):
    """Address of a GeoTIFF."""
    path = write_tif(tmp_path / "dem.tif", FIELD, north=50, west=10, step=1)
    return site.put("dem.tif", path.read_bytes())


@pytest.fixture
def netcdf(tmp_path, site):
    """Address of a NetCDF file."""
    path = write_nc(tmp_path / "f.nc", {**axes(GRID), "v": (("lat", "lon"), FIELD, {})})
    return site.put("f.nc", path.read_bytes())


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (
            401,
            DeniedError,
            r"wants a login \(401 Unauthorized\); put the login into ~/\.netrc \(machine 127\.",
        ),
        (403, DeniedError, r"does not let this user read it \(403 Forbidden\)"),
        (404, AbsentError, r"no such file on the server \(404 Not Found\); correct the address"),
        (410, AbsentError, r"no such file on the server \(410 Gone\)"),
        (418, WebError, r"the server answers 418 .*; open the address in a browser"),
        (501, WebError, r"the server answers 501 Not Implemented"),
        (599, WebError, r"the server answers 599;"),
    ],
)
def test_a_final_answer_is_explained_at_once(site, status, kind, message):
    url = site.put("x.nc", b"x")
    site.always["/x.nc"] = status
    with pytest.raises(kind, match=rf"^{url}: .*{message}"):
        filesystem(f"{url}?sig=secret")[0].cat_file(f"{url}?sig=secret")
    assert len(site.asked) == 1


def test_what_is_not_there_is_none_and_anything_else_is_an_error(site):
    assert read_object(f"{site.url}/none") is None
    assert not exists(f"{site.url}/none")
    site.always["/none"] = 403
    with pytest.raises(DeniedError):
        exists(f"{site.url}/none")


@pytest.mark.parametrize("fault", [429, 500, 502, 503, 504, "reset", "cut"])
def test_what_may_pass_is_tried_again(site, fault):
    data = bytes(range(200))
    url = site.put("x", data)
    site.faults["/x"] = [fault, fault]
    assert read_object(url) == data
    assert len(site.asked) == 3
    site.faults["/x"] = [fault]
    assert filesystem(url)[0].cat_file(url, start=10, end=20) == data[10:20]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            429,
            r"gets more requests than it takes \(429 .*\) after 5 tries; .* with fewer workers",
        ),
        (503, r"cannot answer now \(503 Service Unavailable\) after 5 tries"),
        ("reset", "broke off before .*, 5 times"),
        ("cut", "broke off before .*, 5 times"),
    ],
)
def test_tries_are_bounded(site, fault, message):
    url = site.put("x", b"x" * 100)
    site.always["/x"] = fault
    with pytest.raises(WebError, match=message):
        read_object(url)
    # aiohttp sends once more by itself what a reset connection did not answer
    assert len(site.asked) in (http.TRIES, 2 * http.TRIES)


def test_a_server_that_says_when_to_come_back_is_heeded(site):
    url = site.put("x", b"x")
    site.faults["/x"] = [(503, {"Retry-After": "1"})]
    started = time.monotonic()
    assert read_object(url) == b"x"
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_server_that_asks_for_a_day_is_not_waited_for(site, form):
    tomorrow = email.utils.formatdate(time.time() + 86400, usegmt=True)
    url = site.put("x", b"x")
    site.always["/x"] = (429, {"Retry-After": "86400" if form == "seconds" else tomorrow})
    with pytest.raises(
        WebError, match=r"\(429 Too Many Requests\) and asks to come back in 8[56]\d{3} s"
    ):
        read_object(url)
    assert len(site.asked) == 1


def test_times_to_come_back_that_are_none_are_passed_over():
    for text in ("", "soon", "-3", "Mon, 99 Foo 2000"):
        assert seconds_asked_for({"retry-after": text}) is None
    assert seconds_asked_for({"retry-after": email.utils.formatdate(0, usegmt=True)}) == 0


def test_values_are_read_through_faults(site, raster, netcdf):
    file, field = inspect_raster(raster), inspect_netcdf(netcdf)
    for name in ("dem.tif", "f.nc"):
        site.faults[f"/{name}"] = [503, "reset", 429, "cut"]
    np.testing.assert_array_equal(file.read(BOX), FIELD)
    np.testing.assert_array_equal(field.read(("v",), BOX)[0], FIELD)


def test_a_fault_of_the_server_is_not_called_damage(tmp_path, site):
    noise = np.random.default_rng(0).integers(
        0, 255, (3000, 3000), dtype=np.uint8
    )  # more than is read ahead
    path = write_tif(tmp_path / "big.tif", noise, north=50, west=10, step=0.001)
    url = site.put("big.tif", path.read_bytes())
    file = inspect_raster(url)
    file.read(Box(0, 0, 8, 8))
    site.always["/big.tif"] = 503
    with pytest.raises(InputError, match=rf"^{url}: the server cannot answer now \(503"):
        file.read(Box(2900, 0, 100, 3000))
    del site.always["/big.tif"]
    np.testing.assert_array_equal(file.read(Box(2900, 0, 100, 3000)), noise[2900:])


def test_a_mask_of_a_busy_server_is_not_absent(site, raster, tmp_path):
    site.always["/dem.tif.msk"] = 503
    with (
        pytest.raises(InputError, match=r"dem\.tif\.msk: the server cannot answer now"),
        open_raster(raster) as opened,
    ):
        opened.read_masks(1)
    site.always["/dem.tif.msk"] = 403  # what object stores answer for what is not there
    with open_raster(raster) as opened:
        assert opened.read_masks(1).all()
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
        rasterio.open(tmp_path / "dem.tif", "r+") as out,
    ):
        out.write_mask(FIELD > 3)
    del site.always["/dem.tif.msk"]
    site.put("dem.tif.msk", (tmp_path / "dem.tif.msk").read_bytes())
    with open_raster(raster) as opened:
        np.testing.assert_array_equal(opened.read_masks(1) > 0, FIELD > 3)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
def test_a_source_passes_on_the_servers_answer(site, raster, netcdf, status):
    for url, inspect in ((raster, inspect_raster), (netcdf, inspect_netcdf), (raster, list_files)):
        site.always |= {"/dem.tif": status, "/f.nc": status}
        with pytest.raises(InputError, match=rf"^{url}: .*\({status} ") as caught:
            inspect(f"{url}?sig=secret")
        assert "secret" not in str(caught.value)


def test_a_server_without_ranges_is_read_whole_if_the_file_is_small(
    site, raster, netcdf, monkeypatch
):
    site.ranges = False
    np.testing.assert_array_equal(inspect_raster(raster).read(BOX), FIELD)
    np.testing.assert_array_equal(inspect_netcdf(netcdf).read(("v",), BOX)[0], FIELD)
    data = read_object(raster)
    assert filesystem(raster)[0].cat_file(raster, start=3, end=9) == data[3:9]
    monkeypatch.setattr(http, "WHOLE", 50)
    with pytest.raises(
        WebError, match=r"gives no part of a file .*, and the whole is larger than .*; download it"
    ):
        filesystem(raster)[0].cat_file(raster, start=3, end=9)


@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html><title>Login</title>",
        b"\n<!-- x -->\n<HTML>",
        b'<?xml version="1.0"?><html>',
    ],
)
def test_a_login_page_in_place_of_a_file_is_recognised(site, page):
    for name, inspect in (("x.nc", inspect_netcdf), ("x.tif", inspect_raster)):
        with pytest.raises(
            InputError,
            match=r"it is a web page \(HTML\); open the address in a browser: it asks for a login",
        ):
            inspect(site.put(name, page))


def test_a_login_is_taken_from_netrc(site, tmp_path, monkeypatch, netcdf):
    data = (site.folder / "f.nc").read_bytes()
    url, catalog = (
        site.put("private/f.nc", data),
        site.put("private/catalog.json", b'{"type": "Catalog"}'),
    )
    with pytest.raises(InputError, match="wants a login"):
        inspect_netcdf(url)
    with pytest.raises(CatalogError, match="wants a login"):
        find_assets(CatalogConfig(url=catalog), "luh2")
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login {LOGIN[0]} password {LOGIN[1]}\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert inspect_netcdf(url).layout.grid == GRID
    with pytest.raises(CatalogError, match="cannot be read as STAC") as caught:
        find_assets(CatalogConfig(url=catalog), "luh2")
    assert "login" not in str(caught.value)


def test_the_proxy_of_the_environment_is_used_unless_no_proxy_names_the_host(
    site, raster, monkeypatch
):
    monkeypatch.setenv("http_proxy", site.url)
    assert inspect_raster("http://data.example/dem.tif").layout.grid == GRID
    with pytest.raises(
        CatalogError, match=r"data\.example/c\.json: there is no such file on the server \(404"
    ):
        find_assets(CatalogConfig(url="http://data.example/c.json"), "luh2")
    site.asked.clear()
    monkeypatch.setenv("no_proxy", "data.invalid,127.0.0.1")
    with pytest.raises(InputError, match=r"no host is found under the name data\.invalid"):
        inspect_raster("http://data.invalid/dem.tif")
    assert site.asked == []


def test_a_proxy_that_is_away_or_closed_is_named(site, monkeypatch):
    def error_at(host):
        with pytest.raises(WebError) as caught:
            read_object(f"https://{host}/x")
        assert "word" not in str(caught.value)
        return str(caught.value)

    monkeypatch.setenv("https_proxy", f"http://me:word@{site.url.removeprefix('http://')}")
    assert (
        "the proxy of the environment refuses to connect (403 Forbidden); check https_proxy"
        in error_at("data.example")
    )
    assert "the proxy of the environment wants a login (407" in error_at("closed.example")
    assert len(site.asked) == 2
    monkeypatch.setenv("https_proxy", f"http://me:word@127.0.0.1:{_free_port()}")
    assert "the proxy that http_proxy or https_proxy names does not answer" in error_at(
        "data.example"
    )
    with pytest.raises(
        CatalogError, match="the proxy that http_proxy or https_proxy names does not answer"
    ) as caught:
        find_assets(CatalogConfig(url="https://data.example/c.json"), "luh2")
    assert "word" not in str(caught.value)


def _free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def test_no_server_no_host_and_no_address_are_told_apart():
    port = _free_port()
    for url, message in (
        (
            f"http://127.0.0.1:{port}/x.nc",
            rf"nothing answers at 127\.0\.0\.1, port {port} \(connection refused\)",
        ),
        ("https://data.invalid/x.nc", r"no host is found under the name data\.invalid"),
        ("http://127.0.0.1:notaport/x.nc", "is no address"),
    ):
        started = time.monotonic()
        with pytest.raises(InputError, match=message):
            inspect_netcdf(url)
        if "invalid" not in url:
            assert time.monotonic() - started < 5
        if "notaport" not in url:
            with pytest.raises(CatalogError, match=message):
                find_assets(CatalogConfig(url=url.replace("x.nc", "catalog.json")), "luh2")


def test_a_server_that_does_not_answer_is_given_up(monkeypatch):
    timeout = http.TIMEOUT.__class__(total=None, sock_connect=0.2, sock_read=0.2)
    monkeypatch.setattr(http, "TIMEOUT", timeout)
    monkeypatch.setattr("luray.storage.web_session.TIMEOUT", timeout)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/catalog.json"
        with pytest.raises(
            WebError, match=r"no answer from 127\.0\.0\.1 within .*; check the network"
        ):
            read_object(url)
        with pytest.raises(CatalogError, match=r"no answer from 127\.0\.0\.1 within"):
            find_assets(CatalogConfig(url=url), "luh2")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of 127.0.0.1 that nobody else signed: its file, and the server's side."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "luray test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_an_untrusted_certificate_is_named_and_can_be_trusted(
    certificate, tmp_path, monkeypatch, variable
):
    file, context = certificate
    with serve_site(tmp_path / "tls", tls=context) as site:
        url, catalog = (
            site.put("x", b"x"),
            CatalogConfig(url=site.put("c/catalog.json", b'{"type": "Catalog"}')),
        )
        with pytest.raises(
            WebError,
            match=r"certificate of 127\.0\.0\.1 is not trusted \(self-signed.*; .* SSL_CERT_FILE",
        ):
            read_object(url)
        with pytest.raises(
            CatalogError, match=r"certificate of 127\.0\.0\.1 is not trusted .* set SSL_CERT_FILE"
        ):
            find_assets(catalog, "luh2")
        assert site.asked == []
        monkeypatch.setenv(variable, str(file))
        WebFileSystem.clear_instance_cache()
        assert read_object(url) == b"x"
        with pytest.raises(CatalogError, match="cannot be read as STAC"):
            find_assets(catalog, "luh2")
        assert site.asked == ["/x", "/c/catalog.json"]


def test_a_server_without_tls_is_named(site):
    with pytest.raises(WebError, match=r"does not speak TLS as expected .*check port and scheme"):
        read_object(site.url.replace("http", "https") + "/x")


@pytest.mark.parametrize(("status", "tries"), [(401, 1), (403, 1), (404, 1), (429, 5), (503, 5)])
def test_a_catalog_fails_as_files_do(site, status, tries):
    url = site.put("c/catalog.json", b"{}")
    site.always["/c/catalog.json"] = status
    with pytest.raises(CatalogError, match=rf"^catalog {url}: .*\({status} ") as caught:
        find_assets(CatalogConfig(url=f"{url}?sig=secret"), "luh2")
    assert "secret" not in str(caught.value)
    assert len(site.asked) == tries


def test_a_catalog_is_read_through_faults(site):
    url = site.put(
        "c/catalog.json",
        b'\xef\xbb\xbf{"type": "Catalog", "id": "c", "stac_version": "1.0.0",'
        b' "description": "d", "links": []}',
    )
    site.faults["/c/catalog.json"] = [503, "reset", (429, {"Retry-After": "0"}), "cut"]
    with pytest.raises(CatalogError, match="has no collection 'luh2', found none"):
        find_assets(CatalogConfig(url=url), "luh2")


def test_the_page_of_a_folder_is_no_folder(site, monkeypatch):
    site.put("maps", b"<html><a href=x.tif>x</a></html>")
    monkeypatch.setattr(
        "luray.storage.web.WebFileSystem.info",
        lambda self, path: {"mimetype": "text/html", "type": "file"},
    )
    with pytest.raises(
        InputError, match=r"/maps: is a web page, expected a file: .* list several as `assets`"
    ):
        list_files(f"{site.url}/maps")
