import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from luray.core.tiling import Tile
from luray.storage.objects import read_object
from luray.storage.receipts import Ledger, digest, fingerprint_of, key_of, tile_of, year_of

RUNS = ["a" * 64, "b" * 64]
KEYS = [
    *(key_of(year, Tile(row, 10)) for year in (-3, 1850, 2100) for row in (0, 1)),
    "hilda/land/0.2000",
    "gebco/static/0.0",
]
HASHES = [digest(np.full(3, i)) for i in range(3)]

damage = st.one_of(
    st.just(b""),
    st.binary(max_size=20),
    st.integers(1, 60),
    st.sampled_from(
        [b"[]", b"null", b"7", b'"x"', b"{}", b'{"key": null}', b'{"sha256": "aa"}', b"\xff\xfe"]
    ),
)


class LedgerMachine(RuleBasedStateMachine):
    """A ledger on disk against a dict; damaged receipts are listed, but have no hash."""

    keys = Bundle("keys")

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.model = {run: {} for run in RUNS}

    def teardown(self):
        self.folder.cleanup()

    def ledger(self, run):
        """A new object each time: nothing may be kept in memory."""
        return Ledger(f"{self.folder.name}/product.zarr", run)

    @rule(target=keys, key=st.sampled_from(KEYS))
    def know(self, key):
        return key

    @rule(run=st.sampled_from(RUNS), key=keys, sha256=st.sampled_from(HASHES))
    def record(self, run, key, sha256):
        self.ledger(run).record(key, sha256)
        self.model[run][key] = sha256

    @rule(run=st.sampled_from(RUNS), some=st.lists(st.sampled_from(KEYS), max_size=3))
    def withdraw(self, run, some):
        self.ledger(run).withdraw(some)
        for key in some:
            self.model[run].pop(key, None)

    @rule(run=st.sampled_from(RUNS), key=keys, how=damage)
    def corrupt(self, run, key, how):
        receipt = Path(self.ledger(run).folder, f"{key}.json")
        if key in self.model[run]:
            receipt.write_bytes(receipt.read_bytes()[:how] if isinstance(how, int) else how)
            self.model[run][key] = ""

    @rule(run=st.sampled_from(RUNS), key=keys, other=st.sampled_from(KEYS))
    def exchange(self, run, key, other):
        """The receipt of another piece of work under this name."""
        if key != other and self.model[run].get(key) and self.model[run].get(other):
            folder = Path(self.ledger(run).folder)
            (folder / f"{key}.json").write_bytes((folder / f"{other}.json").read_bytes())
            self.model[run][key] = ""

    @rule(run=st.sampled_from(RUNS), key=keys)
    def killed_while_writing(self, run, key):
        partial = Path(self.ledger(run).folder, f"{key}.json.0123abcd.partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(b'{"key": "')

    @invariant()
    def equals_the_dict(self):
        for run in RUNS:
            assert self.ledger(run).done() == set(self.model[run])
            for key in KEYS:
                assert self.ledger(run).sha256(key) == self.model[run].get(key, "")


LedgerMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
test_a_ledger_is_a_dict = LedgerMachine.TestCase


def test_the_ledger_lies_beside_the_store_and_is_readable(tmp_path):
    ledger = Ledger(f"{tmp_path}/product.zarr/", RUNS[0])
    assert ledger.done() == set()
    ledger.record("2001/3.4", HASHES[0])
    receipt = tmp_path / "product.zarr.ledger" / ("a" * 16) / "2001" / "3.4.json"
    assert json.loads(receipt.read_text()) == {"key": "2001/3.4", "sha256": HASHES[0]}
    assert list(receipt.parent.iterdir()) == [receipt]


def test_a_receipt_written_by_another_process_is_seen_on_s3(s3):
    """The store of other workers, here another file system object, must not hide behind a cached
    listing.
    """
    ledger = Ledger(f"{s3.url}/product.zarr", RUNS[0])
    ledger.record("2001/0.0", HASHES[0])
    assert ledger.done() == {"2001/0.0"}
    s3.put(
        "product.zarr.ledger/aaaaaaaaaaaaaaaa/2001/0.1.json", b'{"key": "2001/0.1", "sha256": "cd"}'
    )
    assert ledger.sha256("2001/0.1") == "cd"
    assert ledger.done() == {"2001/0.0", "2001/0.1"}
    s3.put(
        "product.zarr.ledger/aaaaaaaaaaaaaaaa/2002/0.1.json", b'{"key": "2002/0.1", "sha256": "ef"}'
    )
    ledger.withdraw(["2002/0.1", "2001/0.0", "1999/0.0"])
    assert ledger.done() == {"2001/0.1"}
    assert read_object(f"{ledger.folder}/2001/0.0.json") is None


@given(year=st.integers(-9999, 9999), row=st.integers(0, 99), col=st.integers(0, 99))
def test_a_key_is_its_tile_year(year, row, col):
    key = key_of(year, Tile(row, col))
    assert (year_of(key), tile_of(key)) == (year, Tile(row, col))


@given(
    values=st.lists(st.integers(0, 255), min_size=4, max_size=4),
    at=st.integers(0, 3),
    by=st.integers(1, 255),
)
def test_a_digest_depends_on_every_byte_and_on_shape_and_type(values, at, by):
    array = np.array(values, np.uint8)
    changed = array.copy()
    changed[at] ^= by
    base = digest(array)
    assert base == digest(array.copy()) == digest(np.repeat(array, 2)[::2])
    different = [changed, array.reshape(2, 2), array.astype(np.int16), array.view(np.int8)]
    assert base not in [digest(a) for a in different]
    assert digest(array, changed) != digest(changed, array)


def test_a_fingerprint_depends_on_content_and_not_on_the_order_of_keys():
    assert fingerprint_of({"a": 1, "b": 2}, "x") == fingerprint_of({"b": 2, "a": 1}, "x")
    others = [
        fingerprint_of({"a": 1, "b": 3}, "x"),
        fingerprint_of({"a": 1, "b": 2}),
        fingerprint_of("x", {"a": 1, "b": 2}),
    ]
    assert len({fingerprint_of({"a": 1, "b": 2}, "x"), *others}) == 4
    assert len(others[0]) == 64


@pytest.mark.parametrize("part", [(1, 2), [1, 2], {"x": Tile(0, 1)}])
def test_a_fingerprint_survives_the_process(part):
    assert fingerprint_of(part) == fingerprint_of(json.loads(json.dumps(part)))
