"""A store that fails in every way: the same bytes, or an error that names the key and what to do."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from luray.storage.conditional import read_tagged, write_if
from luray.storage.objects import configure, read_object, write_atomically
from luray.storage.receipts import Ledger
from luray.storage.trust import S3Options, StorageConfig, configured
from tests.faults import Fault, FaultProxy, fault_proxy
from tests.machine import patience
from tests.reliability.conftest import SmallWorld
from tests.reliability.store_faults import infer_through, on_s3
from tests.s3 import Bucket

DOWN = 10**6
"""Times of a fault that does not pass."""


@pytest.fixture
def proxy(s3: Bucket) -> Iterator[FaultProxy]:
    """A proxy before the S3 server, through which this process reaches it."""
    before = configured()
    with fault_proxy(s3.endpoint) as found:
        configure(StorageConfig(s3=S3Options(endpoint_url=found.url)))
        yield found
    configure(before)


@pytest.mark.parametrize("kind", ["latency", "500", "503", "reset", "reset after"])
def test_a_write_survives_what_passes(s3: Bucket, proxy: FaultProxy, kind):
    proxy.faults = [Fault(kind, path="deep/x", methods="PUT")]
    write_atomically(f"{s3.url}/deep/x.json", b"whole")
    assert s3.get("deep/x.json") == b"whole"
    assert proxy.injected == {kind: 1}


@pytest.mark.parametrize("kind", ["500", "reset", "cut"])
def test_a_read_survives_what_passes(s3: Bucket, proxy: FaultProxy, kind):
    s3.put("read/x", b"every byte of it")
    proxy.faults = [Fault(kind, path="read/x", methods="GET")]
    assert read_object(f"{s3.url}/read/x") == b"every byte of it"
    assert proxy.injected == {kind: 1}


@pytest.mark.parametrize("kind", ["403", "expired"])
@pytest.mark.parametrize("action", ["read", "write"])
def test_no_access_is_an_error_at_once(s3: Bucket, proxy: FaultProxy, kind, action):
    place = f"{s3.url}/closed/x.json"
    s3.put("closed/x.json", b"")
    proxy.faults = [Fault(kind, path="closed", times=DOWN)]
    started = time.monotonic()
    with pytest.raises(PermissionError, match=rf"^{place}: .*; credentials come from .*renew"):
        read_object(place) if action == "read" else write_atomically(place, b"x")
    assert time.monotonic() - started < patience(4)
    assert proxy.injected[kind] <= 2, "no retry storm"


def test_a_conditional_write_whose_answer_is_lost_is_known_to_be_ours(
    s3: Bucket, proxy: FaultProxy
):
    place = f"{s3.url}/conditional/x.lease"
    proxy.faults = [Fault("reset after", path="conditional", methods="PUT")]
    tag = write_if(place, b"ours", expected=None)
    assert proxy.injected == {"reset after": 1}
    assert tag is not None
    assert tag == read_tagged(place).tag
    assert write_if(place, b"theirs", expected=None) is None


def test_receipts_that_a_listing_lacks_are_written_again(s3: Bucket, proxy: FaultProxy):
    ledger = Ledger(f"{s3.url}/listed/p.zarr", "f" * 64)
    ledger.record("2001/0.0", "a")
    assert ledger.done() == {"2001/0.0"}
    ledger.record("2001/0.1", "b")
    proxy.faults = [Fault("stale listing", times=DOWN)]
    assert ledger.done() == {"2001/0.0"}, "the listing is late"
    proxy.faults = []
    assert ledger.done() == {"2001/0.0", "2001/0.1"}


def test_a_withdrawn_receipt_that_a_listing_still_has_is_an_error(s3: Bucket, proxy: FaultProxy):
    """Otherwise the next run would take a shard for written that is gone."""
    ledger = Ledger(f"{s3.url}/withdrawn/p.zarr", "f" * 64)
    ledger.record("2001/0.0", "a")
    assert ledger.done() == {"2001/0.0"}
    proxy.faults = [Fault("stale listing", times=DOWN)]
    with pytest.raises(OSError, match=rf"^{ledger.folder}: .*still lists 2001/0\.0"):
        ledger.withdraw(["2001/0.0"])


def test_an_inference_through_a_store_that_fails_ends_in_the_same_bytes(
    s3: Bucket, small_world: SmallWorld, tmp_path: Path
):
    place = on_s3(small_world, s3, "flaky")
    log = tmp_path / "log"
    with fault_proxy(s3.endpoint) as found:
        found.share = 0.02
        assert infer_through(found, small_world, place, log) == 0, log.read_text()
        assert sum(found.injected.values()) > 3, "a store without faults proves nothing"


def test_a_store_that_stays_away_is_named_with_what_to_do(
    s3: Bucket, small_world: SmallWorld, tmp_path: Path
):
    """After bounded tries; the run continues when it is back."""
    place = on_s3(small_world, s3, "away")
    key = "product.zarr/land_use/c/6/0/0"
    log = tmp_path / "log"
    with fault_proxy(s3.endpoint) as found:
        found.faults = [Fault("500", path=key, methods="PUT", times=DOWN)]
        assert infer_through(found, small_world, place, log) == 1
        error = rf"OSError: {place}/{key}: .*run the command again: what is finished is kept"
        assert re.search(error, log.read_text()), log.read_text()
        assert found.injected["500"] <= 10, "bounded tries"
        found.faults = []
        assert infer_through(found, small_world, place, log) == 0, log.read_text()
