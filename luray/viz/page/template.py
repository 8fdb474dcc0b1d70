"""Filling a template of the page; all extend base.html.jinja, which has the styles."""

from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape


def fill_template(name: str, **values: Any) -> str:
    """Return a document from the template of a name beside this file."""
    environment = Environment(
        loader=PackageLoader("luray.viz.page", "."),
        autoescape=select_autoescape(["jinja"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)
