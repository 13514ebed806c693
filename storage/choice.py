"""Which clips are meant: a file of ids, a pattern over ids, or an expression over what is known of a clip."""

from __future__ import annotations

import ast
import fnmatch
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import RunError
from storage.clip import Clip

if TYPE_CHECKING:
    from storage.store.store import FeatureStore

FEW = 5
_FIELDS = tuple(f.name for f in fields(Clip) if f.name not in {"files", "fingerprint", "root"})
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.eq,
    ast.IsNot: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, held: value in held,
    ast.NotIn: lambda value, held: value not in held,
}
_EXAMPLE = "such as quality.face_share > 0.5 and split in ('train', 'val')"


def chosen_ids(ids: Sequence[str], pattern: str) -> list[str]:
    """Ids that a file or a glob names, in order.

    Args:
        ids: All ids.
        pattern: A file with one id a line, or a glob over ids.

    Raises:
        RunError: If the file names a clip that there is not, or the glob matches none.
    """
    path = Path(pattern)
    if path.is_file():
        named = dict.fromkeys(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        unknown = sorted(named.keys() - set(ids))
        if unknown:
            more = f" and {len(unknown) - FEW} more" if len(unknown) > FEW else ""
            raise RunError(f"{path}: no such clips: {', '.join(unknown[:FEW])}{more}")
        return [clip_id for clip_id in ids if clip_id in named]
    found = [clip_id for clip_id in ids if fnmatch.fnmatchcase(clip_id, pattern)]
    if not found:
        raise RunError(f"clips {pattern}: no such file of ids, and no clip's id matches it")
    return found


class Where:
    """A condition on a clip, such as `quality.face_share > 0.5 and label in ("happy", "sad")`.

    Names are the fields of a clip, `labels.NAME`, `dimensions.NAME`, `about.NAME` and so on for those that have names,
    and `FEATURE.COLUMN` for features with one row per clip. `and`, `or`, `not`, comparisons and `in` are understood and
    nothing else: it is read as Python's own grammar, and nothing of it is executed. What a clip lacks is None, which
    equals only None, and is neither more nor less than anything.

    Args:
        text: The condition.
        store: Where the features are.

    Raises:
        RunError: If it is no such condition; says what is wrong.
    """

    def __init__(self, text: str, store: FeatureStore) -> None:
        self.text, self._store = text, store
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except SyntaxError as error:
            raise RunError(f"where {text!r}: cannot be read; expected a condition {_EXAMPLE}") from error
        self._check(self._tree)

    def holds(self, clip: Clip) -> bool:
        """Whether it holds for a clip.

        Raises:
            RunError: If two values cannot be compared, such as a number and a word.
        """
        try:
            return bool(self._value(self._tree, clip))
        except TypeError as error:
            raise RunError(f"where {self.text!r}: clip {clip.id}: {error}") from error

    def _refuse(self, problem: str) -> RunError:
        return RunError(f"where {self.text!r}: {problem}")

    def _check(self, node: ast.expr) -> None:
        """Refuse what is no condition, and names that there are not, before any clip is asked."""
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                self._check(value)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
            self._check(node.operand)
        elif isinstance(node, ast.Compare):
            for value in (node.left, *node.comparators):
                self._check(value)
        elif isinstance(node, (ast.Tuple, ast.List)):
            for value in node.elts:
                self._check(value)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            self._check_name(node)
        elif not isinstance(node, ast.Constant):
            raise self._refuse(f"{ast.unparse(node)!r} is not understood; expected a condition {_EXAMPLE}")

    def _check_name(self, node: ast.Name | ast.Attribute) -> None:
        if isinstance(node, ast.Name):
            if node.id not in _FIELDS:
                raise self._refuse(f"no field {node.id!r}; a word needs quotes, fields are {', '.join(_FIELDS)}")
            return
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        spec = self._store.specs.get(owner)
        if spec is None:
            if owner not in _FIELDS:
                single = [name for name, one in self._store.specs.items() if one.level == "utterance"]
                raise self._refuse(f"no feature {owner!r}; with one row per clip: {', '.join(single) or 'none'}")
        elif spec.level != "utterance":
            raise self._refuse(f"feature {owner} has many rows per clip; expected one with a row per clip")
        elif node.attr not in spec.columns:
            raise self._refuse(f"feature {owner} has no column {node.attr!r}; columns: {', '.join(spec.columns)}")

    def _value(self, node: ast.expr, clip: Clip) -> Any:
        if isinstance(node, ast.BoolOp):
            found = (self._value(value, clip) for value in node.values)
            return all(found) if isinstance(node.op, ast.And) else any(found)
        if isinstance(node, ast.UnaryOp):
            value = self._value(node.operand, clip)
            return not value if isinstance(node.op, ast.Not) else -value
        if isinstance(node, ast.Compare):
            values = [self._value(value, clip) for value in (node.left, *node.comparators)]
            pairs = zip(node.ops, values, values[1:], strict=False)
            return all(_compared(kind, left, right) for kind, left, right in pairs)
        if isinstance(node, (ast.Tuple, ast.List)):
            return tuple(self._value(value, clip) for value in node.elts)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return self._named(node.value.id, node.attr, clip)
        return getattr(clip, node.id) if isinstance(node, ast.Name) else getattr(node, "value", None)

    def _named(self, owner: str, name: str, clip: Clip) -> Any:
        spec = self._store.specs.get(owner)
        if spec is None:
            held = getattr(clip, owner)
            return held.get(name) if isinstance(held, Mapping) else None
        if not self._store.has(clip.id, owner):
            return None
        rows = self._store.get(clip.id, owner)
        return float(rows.values[0, spec.columns.index(name)]) if rows.valid[0] else None


def _compared(kind: ast.cmpop, left: Any, right: Any) -> bool:
    orders = isinstance(kind, (ast.Lt, ast.LtE, ast.Gt, ast.GtE))
    if (orders and None in (left, right)) or (isinstance(kind, (ast.In, ast.NotIn)) and right is None):
        return False
    return _COMPARISONS[type(kind)](left, right)
