"""The shape of the code: rooms and who may import whom, sizes, docstrings, words. Nothing here runs merflow's work."""

from __future__ import annotations

import ast
import inspect
import re
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("configs", "storage", "extractors", "flows")
FILES = [ROOT / "merflow.py", *(p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py")))]
ROOMS = {  # folder of plug-ins: folders beside them that no plug-in is
    "extractors": {"core"},
    "extractors/core/faces/detectors": set(),
    "storage/corpora": {"_shared"},
    "storage/exporters": {"_shared"},
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return named(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> set[str]:
    """Modules that a file imports, at whatever place in it."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def plugins_of(room: str) -> dict[str, list[Path]]:
    """Files of each plug-in of a room."""
    made = {}
    for entry in sorted((ROOT / room).iterdir()):
        if entry.name.startswith("__") or entry.name in ROOMS[room] or entry.suffix not in {"", ".py"}:
            continue
        made[entry.stem] = sorted(entry.rglob("*.py")) if entry.is_dir() else [entry]
    return made


@pytest.mark.parametrize("room", ROOMS)
def test_no_plug_in_imports_another_one_of_its_kind(room):
    plugins = plugins_of(room)
    assert len(plugins) >= 3
    package = room.replace("/", ".")
    for name, files in plugins.items():
        others = {f"{package}.{other}" for other in plugins if other != name}
        for file in files:
            reached = {o for o in others for i in imports_of(file) if i == o or i.startswith(f"{o}.")}
            assert not reached, f"{named(file)} imports {reached}"


@pytest.mark.parametrize("room", ROOMS)
def test_what_plug_ins_share_imports_none_of_them(room):
    package = room.replace("/", ".")
    plugins = {f"{package}.{name}" for name in plugins_of(room)}
    shared = [f for beside in ROOMS[room] for f in (ROOT / room / beside).rglob("*.py") if "detectors/" not in named(f)]
    for file in [*shared, ROOT / room / "__init__.py"]:
        reached = {p for p in plugins for i in imports_of(file) if i == p or i.startswith(f"{p}.")}
        assert not reached, f"{named(file)} imports {reached}"


def test_prefect_and_dask_are_imported_where_their_names_say_so():
    users = {lib: set() for lib in ("prefect", "distributed", "dask")}
    for file in FILES:
        for lib, files in users.items():
            if any(i == lib or i.startswith(f"{lib}.") for i in imports_of(file)):
                files.add(named(file))
    assert users == {
        "prefect": {"flows/prefect_flow.py", "flows/prefect_schedule.py"},
        "distributed": {"flows/engines/dask_cluster.py"},
        "dask": {"flows/engines/dask_cluster.py"},
    }


def test_the_flow_knows_nothing_of_faces():
    files = [*(ROOT / "flows").glob("*.py"), *(ROOT / "flows" / "engines").glob("*.py")]
    for file in (f for f in files if f.stem != "reference"):  # that one documents every section of a configuration
        assert not re.search(r"face(?!t)", _code(file), re.IGNORECASE), file


@cache
def _code(file: Path) -> str:
    """A file's code without its docstrings and comments."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def test_files_of_a_store_are_opened_listed_and_published_in_one_place():
    opening = re.compile(
        r"\.open\(|\bopen\(|h5py\.File\(|\.glob\(|\.rglob\(|\.iterdir\(|read_text\(|read_bytes\(|write_bytes\("
        r"|\.exists\(|\.is_file\(|\bos\.(link|replace|rename)|shutil|filecmp"
    )
    for file in sorted((ROOT / "storage" / "store").glob("*.py")):
        if file.name != "files.py":
            code = _code(file).replace("Manifest.open(", "").replace("h5d.open(", "").replace("h5o.open(", "")
            assert not opening.findall(code), file.name
    spelled = [named(f) for f in FILES if re.search(r"features/\*|store\.json|/ 'manifest\.parquet'", _code(f))]
    assert spelled == ["storage/store/layout.py", "flows/cli/demo.py"]  # the demo's own manifest lies beside its store


def test_nobody_asks_super_for_a_cached_property():
    """`super().x` on a cached property stores the parent's unchecked value under the same name: the second time it
    bypasses the subclass."""
    cached = {
        node.name
        for file in FILES
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.FunctionDef) and any("cached_property" in ast.unparse(d) for d in node.decorator_list)
    }
    assert cached
    for file in FILES:
        asked = set(re.findall(r"super\(\)\.(\w+)", file.read_text(encoding="utf-8")))
        assert not asked & cached, named(file)


def test_no_file_is_over_three_hundred_lines():
    sizes = {named(file): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {name: size for name, size in sizes.items() if size > 300} == {}


def functions() -> Iterator[tuple[Path, ast.FunctionDef, str]]:
    """Every function, with the name of the class that it is in, if any."""
    for file in FILES:
        tree = tree_of(file)
        owners = {id(f): c.name for c in ast.walk(tree) if isinstance(c, ast.ClassDef) for f in c.body}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield file, node, owners.get(id(node), "")


def test_the_median_function_is_short():
    lengths = []
    for _, function, _ in functions():
        first = function.body[0]
        is_doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        body = function.body[1:] if is_doc and len(function.body) > 1 else function.body
        lengths.append((body[-1].end_lineno or 0) - body[0].lineno + 1)
    assert len(lengths) > 500
    assert statistics.median(lengths) < 10


def test_public_functions_of_two_or_more_arguments_describe_them():
    """ruff's D417 looks only at functions that have an `Args:` section."""
    lacking = []
    for file, function, owner in functions():
        arguments = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
        arguments = [a for a in arguments if a not in {"self", "cls"}]
        is_private = function.name.startswith("_") or owner.startswith("_")
        is_command = "flows/cli/" in named(file) and owner == "" and _is_command(function)
        nested = function.col_offset > (4 if owner else 0)
        if is_private or is_command or nested or len(arguments) < 2:
            continue
        text = ast.get_docstring(function) or ""
        described = [a for a in arguments if re.search(rf"^\s+\*{{0,2}}{a}: ", text, re.MULTILINE)]
        if "Args:" not in text or described != arguments:
            lacking.append(f"{named(file)}:{function.lineno} {owner}.{function.name}{arguments}")
    assert lacking == []


def _is_command(function: ast.FunctionDef) -> bool:
    """Whether the parameters are options of a command, which describe themselves."""
    return all(a.annotation is not None and ("Option" in (t := ast.unparse(a.annotation)) or "Argument" in t)
               for a in function.args.args)  # fmt: skip


def test_every_folder_says_what_it_is():
    for package in PACKAGES:
        for folder in [ROOT / package, *(p for p in (ROOT / package).rglob("*") if p.is_dir())]:
            if folder.name == "__pycache__" or (folder.parent.name == "exporters" and folder.name != "_shared"):
                continue  # a format's docstring is its layout
            text = ast.get_docstring(tree_of(folder / "__init__.py")) or ""
            assert len(text.splitlines()) >= 3, named(folder)


@pytest.mark.parametrize("room", ROOMS)
def test_every_plug_in_states_its_name(room):
    for name, files in plugins_of(room).items():
        assert any(
            re.search(
                rf'^    name = (?:"{name}"|FACES|FACE_TRACKS|SPEAKING)$', f.read_text(encoding="utf-8"), re.MULTILINE
            )
            for f in files
        )


REPLACED = (
    r"PictureReader|SoundTrack|_settled\b|strangers|_take_apart|\bIngested\b|runs_beside|lets go of Python's lock"
)
REPLACED += (
    r"|goes on where it stopped|on one clock|is none of the choices|belongs into the recipe|\bpictures?\b|\bsounds?\b"
)


def test_the_fields_words_are_used():
    own = r"attached_pic|\"picture\"|`picture` as in stores|\"pictures, median area"
    for file in [*FILES, ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if not re.search(own, line):
                assert not re.search(REPLACED, line), f"{named(file)}:{number}: {line.strip()}"


def test_no_digest_depends_on_where_a_file_lies():
    """Extractors state their name; nothing is derived from a module's path."""
    for file in FILES:
        assert (
            not re.search(r"__module__\s*\.|__module__\.rpartition|__file__.*digest", _code(file))
            or named(file) == "configs/plugins.py"
        ), named(file)
    from extractors.core.extractor import EXTRACTORS

    source = inspect.getsource(EXTRACTORS.load("hubert"))
    assert "extractor=" not in source or "self.name" in source
