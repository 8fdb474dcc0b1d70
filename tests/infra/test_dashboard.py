"""The Grafana dashboard asks for metrics that are exported."""

import json
import re
from typing import Any

import pytest

from luray.distributed.metrics import EXPORTED
from tests.infra.helm import ROOT

LURAY = set(EXPORTED)
RAY = {
    "ray_node_cpu_utilization",
    "ray_node_mem_used",
    "ray_node_mem_total",
    "ray_object_store_memory",
}
"""As Ray 2.60 names them at its metrics port."""
WORDS = {"sum", "max", "by", "rate", "increase", "run", "Location", "m"}
"""Functions and labels of the queries."""


@pytest.fixture(scope="module")
def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((ROOT / "infra/grafana/luray.json").read_text())
    assert dashboard["uid"] == "luray"
    return dashboard["panels"]


def queries(panels: list[dict[str, Any]]) -> list[str]:
    return [target["expr"] for panel in panels for target in panel["targets"]]


def names(query: str) -> set[str]:
    """Identifiers of a query, without strings, variables of Grafana's and ranges."""
    bare = re.sub(r'"[^"]*"|\$\w+|\[[^\]]*\]', " ", query)
    return set(re.findall(r"[A-Za-z_]\w*", bare))


def test_queries_use_exported_metrics_and_all_of_lurays(panels: list[dict[str, Any]]) -> None:
    used: set[str] = set()
    for query in queries(panels):
        found = names(query)
        assert found <= LURAY | RAY | WORDS, query
        assert found & (LURAY | RAY), query
        used |= found
    assert used >= LURAY | RAY


def test_counters_are_drawn_as_rates_and_gauges_are_not(panels: list[dict[str, Any]]) -> None:
    for query in queries(panels):
        for metric in re.findall(r"ray_\w+", query):
            rated = re.search(rf"(rate|increase)\({metric}[{{\[]", query) is not None
            assert rated == (metric in LURAY and metric.endswith("_total")), query


def test_panels_do_not_overlap_and_use_the_chosen_source(panels: list[dict[str, Any]]) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        taken = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in taken) < 24
        assert not taken & cells
        cells |= taken
        assert panel["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in panels}) == len(panels)
