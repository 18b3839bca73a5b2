import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.runs.plain import from_data, from_json, to_json


@dataclass(frozen=True)
class Inner:
    pair: tuple[int, str]


@dataclass(frozen=True)
class Outer:
    number: float
    text: str = "NaN"
    flag: bool = False
    rows: tuple[tuple[int, ...], ...] = ()
    by_name: Mapping[str, float | None] | None = None
    inner: Inner | None = None


def strict(text: str) -> object:
    """As browsers read it."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_json_does_not_have_are_told_by_name_and_texts_stay_texts() -> None:
    values = Outer(math.inf, "NaN", by_name={"a": -math.inf, "NaN": 1.0, "b": None})
    text = to_json(asdict(values))
    assert strict(text)["number"] == "Infinity"
    assert from_json(Outer, text) == values
    assert math.isnan(from_json(Outer, to_json({"number": math.nan})).number)


@given(st.builds(Outer, by_name=st.none() | st.dictionaries(st.text(), st.none() | st.floats())))
def test_all_values_come_back(values: Outer) -> None:
    text = to_json(asdict(values))
    strict(text)
    assert "\n" not in text
    assert text.isascii()
    assert repr(from_json(Outer, text)) == repr(values)


def test_whole_numbers_do_for_numbers_but_not_the_other_way_round() -> None:
    number = from_json(Outer, '{"number": 1}').number
    assert (number, type(number)) == (1.0, float)
    with pytest.raises(ValueError, match="int expected, got float"):
        from_json(Inner, '{"pair": [1.0, "a"]}')


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", "null", '"text"', "{}", '{"number": "much"}', '{"number": true}', '{"number": null}'),
        *('{"number": 1, "text": 3}', '{"number": 1, "flag": 1}', '{"number": 1, "more": 1}', '{"number": [1]}'),
        *('{"number": 1, "rows": [[1], 2]}', '{"number": 1, "rows": {"0": 1}}', '{"number": 1, "rows": [["NaN"]]}'),
        *('{"number": 1, "inner": {"pair": [1]}}', '{"number": 1, "inner": {"pair": [1, "a", 2]}}'),
        *('{"number": 1, "inner": {}}', '{"number": 1, "by_name": [1]}', '{"number": 1, "by_name": {"a": "b"}}'),
        *(f'{{"number": 1{"0" * 400}}}', f'{{"number": 1{"0" * 5000}}}', "[" * 100_000, '{"number": ' + "[" * 100_000),
    ],
)
def test_what_is_not_of_the_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(Outer, text)


NAMES = st.sampled_from(["number", "text", "rows", "inner", "pair", "by_name"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(NAMES, inside),
)


@given(ANYTHING)
def test_whatever_json_says_is_read_or_refused(data: object) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(from_data(Outer, data), Outer)
