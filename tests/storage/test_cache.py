from hypothesis import given
from hypothesis import strategies as st

from luray.storage.cache import ByteLRUCache


@given(
    most=st.integers(0, 10),
    acts=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6) | st.none()), max_size=30),
)
def test_it_keeps_the_latest_used_that_fit(most, acts):
    """Against a list, the least used first; an act gets a key, or puts it with so many bytes."""
    kept, twin = ByteLRUCache(most_bytes=most), []
    for i, (key, n_bytes) in enumerate(acts):
        found = next((entry for entry in twin if entry[0] == key), None)
        if found:
            twin.remove(found)
        if n_bytes is None:
            assert kept.get(key) == (found and found[1])
            twin += [found] if found else []
            continue
        kept.put(key, i, n_bytes=n_bytes)
        twin.append((key, i, n_bytes))
        while sum(n for _, _, n in twin) > most:
            twin.pop(0)
    assert {key: kept.get(key) for key in range(5)} == {
        key: next((v for k, v, _ in twin if k == key), None) for key in range(5)
    }
