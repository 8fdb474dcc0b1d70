from hypothesis import given
from hypothesis import strategies as st

from luray.storage.cache import ByteLRUCache


@given(
    most_bytes=st.integers(0, 10),
    steps=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6) | st.none()), max_size=30),
)
def test_the_latest_used_that_fit_are_cached(most_bytes, steps):
    """Against a list, the least used first; a step gets a key, or puts it with so many bytes."""
    cache = ByteLRUCache(most_bytes=most_bytes)
    twin = []
    for value, (key, n_bytes) in enumerate(steps):
        entry = next((entry for entry in twin if entry[0] == key), None)
        if entry:
            twin.remove(entry)
        if n_bytes is None:
            assert cache.get(key) == (entry and entry[1])
            twin += [entry] if entry else []
            continue
        cache.put(key, value, n_bytes=n_bytes)
        twin.append((key, value, n_bytes))
        while sum(size for _, _, size in twin) > most_bytes:
            twin.pop(0)
    in_twin = {key: value for key, value, _ in twin}
    assert {key: cache.get(key) for key in range(5)} == {key: in_twin.get(key) for key in range(5)}
