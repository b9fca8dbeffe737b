"""Values from files against the types that dataclasses say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from cliptune.system.typed import require_types


@dataclass(frozen=True)
class Inner:
    share: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    inner: Inner
    kind: Literal["a", "b"]
    table: Mapping[str, int]
    pair: tuple[int, str]
    maybe: str | None = None
    rest: Any = None
    flag: bool = False


def outer(**changes):
    return Outer(**{"inner": Inner(1, ("x",)), "kind": "a", "table": {"n": 1}, "pair": (1, "y")}
                 | changes)  # fmt: skip


def test_right_values_pass():
    require_types(outer(maybe="text", rest=[object()]), Outer, "it")
    require_types([1, 2], list[int], "it")


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"inner": {"share": 1}}, "it.inner is"),
        ({"inner": Inner("1")}, "it.inner.share is '1'; expected float"),
        ({"inner": Inner(True)}, "it.inner.share"),
        ({"inner": Inner(float("nan"))}, "it.inner.share is nan"),
        ({"inner": Inner(float("inf"))}, "it.inner.share is inf"),
        ({"inner": Inner(1, ("x", 3))}, r"it.inner.names\[1\] is 3; expected str"),
        ({"inner": Inner(1, ["x"])}, "it.inner.names"),
        ({"kind": "c"}, "it.kind is 'c'"),
        ({"kind": ["a"]}, "it.kind"),
        ({"table": {"n": 1.5}}, r"it.table\['n'\] is 1.5; expected int"),
        ({"table": {1: 1}}, "a key of it.table"),
        ({"table": [1]}, "it.table"),
        ({"pair": (1,)}, "it.pair has 1 entries; expected 2"),
        ({"pair": ("y", 1)}, "it.pair"),
        ({"maybe": 3}, "it.maybe is 3"),
        ({"flag": 1}, "it.flag is 1; expected bool"),
    ],
)
def test_a_wrong_value_is_named(changes, where):
    with pytest.raises(TypeError, match=where):
        require_types(outer(**changes), Outer, "it")
