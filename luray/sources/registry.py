"""The kinds of source that a run file may name, each with the class of its `[[sources]]` table.

A class registers itself under its `kind`. From then on a run file may name it, and everything that
luray does with a source follows from `luray.sources.base.SourceConfig` and `Source`.
"""

from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema, to_json

from luray.sources.base import About, SourceConfig

ConfigClass = TypeVar("ConfigClass", bound=type[SourceConfig])

_classes: dict[str, type[SourceConfig]] = {}
"""The class of each kind, in the order in which they were registered."""


def register(config_class: ConfigClass) -> ConfigClass:
    """Make a class known as the configuration of its kind of source.

    Parameters
    ----------
    config_class : class
        A pydantic model that fulfils `SourceConfig`, with a field `kind: Literal["<its name>"]`;
        a subclass of `FilesConfig` has most of it already.

    Returns
    -------
    class
        The same class, so that `register` can be used as a decorator.

    Raises
    ------
    ValueError
        Where the class names no kind, or another class has the same one.
    """
    kind = _kind_of(config_class)
    holder = _classes.setdefault(kind, config_class)
    if holder is not config_class:
        raise ValueError(
            f"{config_class.__name__} has kind {kind!r}, which is that of {holder.__name__}; "
            "give it another"
        )
    return config_class


def _kind_of(config_class: type[Any]) -> str:
    names = get_args(config_class.model_fields["kind"].annotation)
    if len(names) != 1:
        raise ValueError(
            f"{config_class.__name__} does not say its kind, expected a field such as "
            'kind: Literal["my_data"]; add it'
        )
    return str(names[0])


def kinds() -> dict[str, About]:
    """Return every kind of source that a run file may name, with its description."""
    return {kind: config_class.about for kind, config_class in _classes.items()}


@cache
def _union_of(classes: tuple[type[SourceConfig], ...]) -> TypeAdapter[SourceConfig]:
    """The union of some classes, told apart by `kind`."""
    union: Any = Union[classes]  # noqa: UP007 - its members are known at run time only
    return TypeAdapter(Annotated[union, Field(discriminator="kind")])


def _registered() -> TypeAdapter[SourceConfig]:
    return _union_of(tuple(_classes.values()))


class OfRegisteredKind:
    """Marks a field whose value is checked by the class that is registered for its `kind`.

    Pydantic builds the schema of a model once, when its class is defined. The union of sources is
    looked up at each validation instead, so that a source may be registered after
    `luray.stages.config` was imported.
    """

    def __get_pydantic_core_schema__(
        self, source_type: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(_validated)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(_registered().core_schema)


def _validated(value: Any, info: core_schema.ValidationInfo) -> SourceConfig:
    """The configuration that a table of a run file describes. Raises pydantic's ValidationError."""
    if info.mode == "json":
        # JSON has no tuples: pydantic takes its arrays for them only where it reads JSON itself.
        return _registered().validate_json(to_json(value))
    return _registered().validate_python(value)
