"""Metrics of an inference for Prometheus, at the metrics port of the node of its driver."""

from ray.util.metrics import Counter, Gauge

COUNTERS = {
    "tile_years": "maps of a tile written",
    "windows": "windows predicted",
    "retries": "jobs done again because a worker died, hung or lost its sums",
}
GAUGES = {
    "tile_years_left": "maps of a tile still to be written",
    "queue": "jobs that could run and wait for a worker",
    "workers": "workers that have joined",
}
EXPORTED = (
    *(f"ray_luray_{name}_total" for name in COUNTERS),
    *(f"ray_luray_{name}" for name in GAUGES),
)
"""Names as Ray exports them; infra/grafana draws them."""
TAG = "run"
"""Label of every metric: the product's URL."""


class PrometheusMetrics:
    """Counters and gauges of one run, labelled with the URL of its product."""

    def __init__(self, product_url: str) -> None:
        self._tags = {TAG: product_url}
        self._counters = {}
        for name, description in COUNTERS.items():
            counter = Counter(f"luray_{name}", description=description, tag_keys=(TAG,))
            self._counters[name] = counter
        self._gauges = {}
        for name, description in GAUGES.items():
            gauge = Gauge(f"luray_{name}", description=description, tag_keys=(TAG,))
            self._gauges[name] = gauge

    def count(self, name: str, n: int) -> None:
        """Add to a counter."""
        if n:
            self._counters[name].inc(n, tags=self._tags)

    def show(self, **values: int) -> None:
        """Set gauges."""
        for name, value in values.items():
            self._gauges[name].set(value, tags=self._tags)
