"""Plug-ins of any kind: how they are found by name, and how their options are parsed and described.

A plug-in is one module or folder of its kind's package that defines one subclass of the kind's base class, and states
the same `name`. Plug-ins of one's own lie in the folders `extractors`, `detectors`, `corpora` and `exporters` of a
folder that the environment variable `MERFLOW_PLUGINS` names (several are separated as in `PATH`).
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import pkgutil
import re
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from configs.errors import ConfigError, RunError

PLUGINS_VARIABLE = "MERFLOW_PLUGINS"


class Section(BaseModel):
    """Base of every part of a configuration and of every plug-in's options: frozen, and unknown keys are errors.

    The meaning of each field stands under `Attributes:` in the docstring of the class that defines it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


SectionT = TypeVar("SectionT", bound=BaseModel)
PluginT = TypeVar("PluginT")


class Registry(Generic[PluginT]):
    """The plug-ins of one kind.

    Args:
        package: Package whose modules and folders they are, such as `storage.exporters`.
        kind: What one of them is called, such as `format`.
        plural: What several are called.
        base: Name of their base class; each module defines exactly one subclass of it.
    """

    def __init__(self, package: str, kind: str, plural: str, base: str) -> None:
        self._package, self._kind, self._plural, self._base = package, kind, plural, base

    def names(self) -> list[str]:
        """Names of the plug-ins, sorted, without importing any of them."""
        names = {m.name for m in pkgutil.iter_modules(self._paths())}
        return sorted(name for name in names if not name.startswith("_") and name != "core")

    def load(self, name: str) -> type[PluginT]:
        """The plug-in's class.

        Raises:
            RunError: If there is none of this name (lists the valid ones), or its module does not hold exactly one,
                called like the module.
        """
        names = self.names()
        if name not in names:
            raise RunError(f"unknown {self._kind} {name!r}; {self._plural}: {', '.join(names)}.{_closest(name, names)}")
        module = importlib.import_module(f"{self._package}.{name}")
        classes = [c for c in vars(module).values() if self._is_plugin(c, module.__name__)]
        if len(classes) != 1:
            raise RunError(f"{self._kind} {name}: expected one subclass of {self._base}, found {len(classes)}")
        stated = getattr(classes[0], "name", None)
        if stated != name:
            raise RunError(f"{self._kind} {name}: expected name = {name!r} as its file is called, got {stated!r}")
        return typing.cast("type[PluginT]", classes[0])

    def summary(self, name: str) -> str:
        """First line of the plug-in's module docstring."""
        text = sys.modules[self.load(name).__module__].__doc__
        return (text or "").strip().split("\n")[0]

    def options(self, name: str) -> list[OptionDescription]:
        """Every option of a plug-in; see `describe_options`."""
        plugin: Any = self.load(name)
        return describe_options(plugin.Options)

    def _paths(self) -> list[str]:
        paths = importlib.import_module(self._package).__path__
        for folder in os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep):
            own = Path(folder).absolute() / self._package.rpartition(".")[2]
            if folder and own.is_dir() and str(own) not in paths:
                paths.append(str(own))
        return list(paths)

    def _is_plugin(self, value: object, module: str) -> bool:
        if not isinstance(value, type) or not (value.__module__ == module or value.__module__.startswith(f"{module}.")):
            return False
        return any(base.__name__ == self._base for base in value.__mro__[1:]) and not inspect.isabstract(value)


@dataclass(frozen=True, slots=True)
class OptionDescription:
    """One option, for people.

    Attributes:
        name: What it is called.
        type: What it may be, such as `error or omit`.
        default: Its default; empty where it must be given.
        meaning: What it does.
    """

    name: str
    type: str
    default: str
    meaning: str


def describe_options(model: type[BaseModel]) -> list[OptionDescription]:
    """Every option of a section with type, default and meaning, in order of definition.

    >>> class Example(Section):
    ...     '''Options.
    ...
    ...     Attributes:
    ...         rate: Rows per second.
    ...     '''
    ...
    ...     rate: float = 25.0
    >>> describe_options(Example)
    [OptionDescription(name='rate', type='number', default='25.0', meaning='Rows per second.')]
    """
    meanings: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel):
            meanings |= _attributes(base.__dict__.get("__doc__"))
    hints = typing.get_type_hints(model, include_extras=True)
    described = []
    for name, field in model.model_fields.items():
        default = "" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        described.append(OptionDescription(name, _type_name(hints[name]), default, meanings.get(name, "")))
    return described


def parse(model: type[SectionT], values: object, where: str, noun: str = "key") -> SectionT:
    """Check plain values against a section.

    Args:
        model: The section.
        values: Plain YAML values, or text from the command line.
        where: Named in errors, such as a file and key.
        noun: What a name is called in errors: `key`, or `option`.

    Raises:
        ConfigError: One line: where, which key, what was expected, what was given.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(model, error, noun)}") from error


def _explain(model: type[BaseModel], error: ValidationError, noun: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        valid = sorted(_section_at(model, first["loc"][:-1]).model_fields)
        hint = _closest(str(first["loc"][-1]), valid)
        return f"unknown {noun} {key!r}; valid {noun}s here: {', '.join(valid)}.{hint}"
    named = f"{noun} {key}" if noun == "option" and key else key
    message, got = _expected(model, dict(first)), f", got {first.get('input')!r}"
    if first["type"] in {"missing", "value_error"}:
        got = ""
    return f"{named + ': ' if named else ''}{message}{got}"


def _expected(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    if error["type"] == "literal_error":
        return f"expected {str(error['ctx']['expected']).replace(chr(39), '')}"
    if error["type"] == "missing":
        return "expected a value, got none"
    if error["type"].startswith(("int_", "float_", "greater_than", "less_than", "finite_number")):
        return f"expected {_number_expected(model, error['loc'])}"
    return str(error["msg"]).removeprefix("Value error, ")


def _number_expected(model: type[BaseModel], path: tuple[int | str, ...]) -> str:
    """What a number of a field may be, in words."""
    field = _section_at(model, path[:-1]).model_fields.get(str(path[-1]))
    bounds = {name: value for part in field.metadata for name, value in _bounds(part)} if field else {}
    noun = "whole number" if field is not None and "int" in str(field.annotation) else "number"
    if "ge" in bounds and "le" in bounds:
        return f"a {noun} from {bounds['ge']} to {bounds['le']}"
    words = {"ge": "of {} or more", "gt": "over {}", "le": "of {} or less", "lt": "under {}"}
    limits = [words[name].format(value) for name, value in bounds.items() if name in words]
    return " ".join([f"a {noun}", *limits])


def _bounds(part: object) -> list[tuple[str, Any]]:
    return [(name, getattr(part, name)) for name in ("ge", "gt", "le", "lt") if getattr(part, name, None) is not None]


def _closest(name: str, valid: list[str]) -> str:
    close = difflib.get_close_matches(name, valid, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _section_at(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    for part in path:
        field = model.model_fields.get(str(part))
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if inner:
            model = inner[0]
    return model


def _split_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    return value


def _split_pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = []
    for item in (part.strip() for part in value.split(",")):
        word, colon, target = item.rpartition(":")
        if item and not (colon and word and target):
            raise ValueError(f"expected pairs such as a:b,c:d, got {item!r}")
        if item:
            pairs.append((word.strip(), target.strip()))
    return tuple(pairs)


def _true_or_false(value: object) -> object:
    words = {"true": True, "false": False}
    if isinstance(value, str):
        if value not in words:
            raise ValueError(f"expected false or true, got {value!r}")
        return words[value]
    return value


CommaList = Annotated[tuple[str, ...], BeforeValidator(_split_list)]
"""Names separated by commas; each counts once."""
Pairs = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_split_pairs)]
"""Pairs such as `a:b,c:d`; the first part may hold colons."""
Flag = Annotated[bool, BeforeValidator(_true_or_false)]
"""`true` or `false`, and nothing else that could be meant."""

_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}


def _type_name(hint: Any) -> str:
    special = {CommaList: "names separated by commas", Pairs: "pairs a:b,c:d", Flag: "true or false"}
    for annotation, text in special.items():
        if hint == annotation:
            return text
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin is not None:
        return _generic_name(origin, arguments)
    return _NAMES.get(hint) or (hint.__name__.lower() if isinstance(hint, type) else str(hint))


def _generic_name(origin: Any, arguments: tuple[Any, ...]) -> str:
    if origin is Literal:
        return " or ".join(str(value) for value in arguments)
    if origin in (Union, types.UnionType):  # None stands for "not given", which is the default's to say
        stated = [argument for argument in arguments if argument is not type(None)]
        return " or ".join(dict.fromkeys(map(_type_name, stated)))
    return f"list of {_type_name(arguments[0])}" if origin is tuple else "mapping"


def _shown(value: object) -> str:
    if isinstance(value, BaseModel):
        parts = value.model_dump(mode="json", exclude_defaults=True)
        return "{" + ", ".join(f"{key}: {_shown(part)}" for key, part in parts.items()) + "}"
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _attributes(docstring: str | None) -> dict[str, str]:
    """Name and text of each entry under `Attributes:` of a Google docstring."""
    text = inspect.cleandoc(docstring or "")
    section = re.search(r"^Attributes:\n((?:    .*\n?|\n)*)", text, re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in entries}
