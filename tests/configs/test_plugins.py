"""Plug-ins of any kind: found by name, refused when they are not what they should be, options read and described."""

from __future__ import annotations

import sys
from typing import Literal

import pytest
from pydantic import Field

from configs.errors import ConfigError, RunError
from configs.plugins import CommaList, Flag, OptionDescription, Pairs, Registry, Section, describe_options, parse

BASE = '"""Plug-ins of a test."""\n\n\nclass Toy:\n    """What they are subclasses of."""\n'
GOOD = '"""A good one.\n\nMore about it.\n"""\nfrom toys import Toy\n\n\nclass Good(Toy):\n    name = "good"\n'


class Options(Section):
    """Options.

    Attributes:
        rate: Rows per second,
            over two lines.
        mode: What to do.
        names: Which ones.
    """

    rate: float = Field(default=25.0, gt=0)
    mode: Literal["error", "omit"] = "error"
    names: CommaList = ()
    pairs: Pairs = ()
    strict: Flag = False
    folds: int = Field(default=5, ge=2, le=10)
    most: int | None = Field(default=None, ge=1)
    needed: str


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A package of plug-ins, and a function that adds one."""
    package = tmp_path / "toys"
    package.mkdir()
    (package / "__init__.py").write_text(BASE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(name: str, text: str) -> Registry:
        (package / f"{name}.py").write_text(text, encoding="utf-8")
        return Registry("toys", "toy", "toys", "Toy")

    yield add
    for module in [name for name in sys.modules if name.split(".")[0] == "toys"]:
        del sys.modules[module]


def test_a_plug_in_is_found_by_its_file_and_private_modules_are_not(toys):
    toys("_helpers", "x = 1\n")
    registry = toys("good", GOOD)
    assert registry.names() == ["good"]
    assert registry.load("good").__name__ == "Good"
    assert registry.summary("good") == "A good one."


def test_names_are_listed_without_importing_any_plug_in(toys):
    assert toys("broken", "raise SystemError\n").names() == ["broken"]
    assert "toys.broken" not in sys.modules


def test_an_unknown_name_gives_the_valid_ones_and_the_closest(toys):
    with pytest.raises(RunError, match=r"^unknown toy 'goood'; toys: good\. Did you mean 'good'\?$"):
        toys("good", GOOD).load("goood")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "toy bad: expected one subclass of Toy, found 0"),
        ("from toys import Toy\nclass A(Toy): name = 'bad'\nclass B(Toy): name = 'bad'\n", "found 2"),
        (
            "from toys import Toy\nclass A(Toy): name = 'else'\n",
            "as its file is called, got 'else'",
        ),
        ("from toys.good import Good\n", "found 0"),  # that of another module
    ],
)
def test_a_module_that_is_no_plug_in_is_refused(toys, text, message):
    toys("good", GOOD)
    with pytest.raises(RunError, match=message):
        toys("bad", text).load("bad")


def test_a_folder_of_ones_own_adds_plug_ins(toys, tmp_path, monkeypatch):
    registry = toys("good", GOOD)
    (tmp_path / "own" / "toys").mkdir(parents=True)
    (tmp_path / "own" / "toys" / "mine.py").write_text(GOOD.replace("good", "mine"), encoding="utf-8")
    monkeypatch.setenv("MERFLOW_PLUGINS", str(tmp_path / "own"))
    assert registry.names() == ["good", "mine"]
    assert registry.load("mine").name == "mine"


def test_options_are_described_with_type_default_and_meaning():
    assert describe_options(Options) == [
        OptionDescription("rate", "number", "25.0", "Rows per second, over two lines."),
        OptionDescription("mode", "error or omit", "error", "What to do."),
        OptionDescription("names", "names separated by commas", "", "Which ones."),
        OptionDescription("pairs", "pairs a:b,c:d", "", ""),
        OptionDescription("strict", "true or false", "false", ""),
        OptionDescription("folds", "whole number", "5", ""),
        OptionDescription("most", "whole number", "", ""),
        OptionDescription("needed", "text", "", ""),
    ]


def test_text_of_the_command_line_becomes_values():
    given = {"names": "a, b,a,", "pairs": "x:y:z,u:v", "strict": "true", "folds": "3", "needed": "n"}
    options = parse(Options, given, "here", "option")
    assert (options.names, options.pairs) == (("a", "b"), (("x:y", "z"), ("u", "v")))
    assert (options.strict, options.folds, options.rate) == (True, 3, 25.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rat": 1}, "here: unknown option 'rat'; valid options here: folds, mode, .* Did you mean 'rate'?"),
        ({"rate": "fast"}, "here: option rate: expected a number over 0, got 'fast'"),
        ({"rate": 0}, "here: option rate: expected a number over 0, got 0"),
        ({"folds": 11}, "here: option folds: expected a whole number from 2 to 10, got 11"),
        ({"most": 0}, "here: option most: expected a whole number of 1 or more, got 0"),
        ({"mode": "x"}, "here: option mode: expected error or omit, got 'x'"),
        ({"strict": "yes"}, "here: option strict: expected false or true, got 'yes'"),
        ({"pairs": "a"}, "here: option pairs: expected pairs such as a:b,c:d, got 'a'"),
        ({}, "here: option needed: expected a value, got none"),
    ],
)
def test_an_option_that_does_not_fit_gives_one_line(given, message):
    with pytest.raises(ConfigError, match=f"^{message}".replace("?", r"\?")) as error:
        parse(Options, given if not given else given | {"needed": "n"}, "here", "option")
    assert "\n" not in str(error.value)
