"""Records are written as JSON and read back with their types; the error about a wrong value names its field."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from deconv_ae import records
from deconv_ae.records import Count, Length, Measure, Name


@dataclass(frozen=True)
class Shape:
    """A record with a check of its own."""

    lengths: tuple[Length, Length]

    def __post_init__(self) -> None:
        if self.lengths[0] > 100:
            raise ValueError(f"{self.lengths[0]} is above 100")


@dataclass(frozen=True)
class Everything:
    """A record with fields of all types."""

    flag: bool
    text: str
    name: Name
    count: Count
    whole: int
    measure: Measure
    real: float
    shape: Shape
    shapes: tuple[Shape, ...]
    names: list[Name]
    versions: dict[str, Name]
    anything: Any
    missing: Measure | None = None
    more: dict[str, Shape] = field(default_factory=dict)


RECORD = Everything(
    *(True, "\x1b\n", "é", 0, -5, 0.25, -1.5, Shape((3, 4)), (Shape((1, 2)),)),
    *(["a", "b"], {"": "1"}, [1, {"x": None}], 2.0, {"y": Shape((5, 6))}),
)


def test_record_is_read_back_as_written(tmp_path):
    (tmp_path / "record.json").write_text(records.as_text(RECORD), encoding="utf-8")
    assert records.read_file(Everything, tmp_path / "record.json") == RECORD


def test_field_with_default_may_be_missing():
    values = json.loads(json.dumps(asdict(RECORD)))
    del values["missing"], values["more"]
    assert records.read(Everything, values).missing is None
    assert records.read(Everything, values).more == {}


@pytest.mark.parametrize("missing", ["flag", "shape", "anything"])
def test_field_without_default_must_not_be_missing(missing):
    values = json.loads(json.dumps(asdict(RECORD)))
    del values[missing]
    with pytest.raises(ValueError, match=f"^{missing} is missing$"):
        records.read(Everything, values)


def test_whole_number_is_read_as_float_for_float_field():
    measure = records.read(Everything, json.loads(json.dumps(asdict(RECORD))) | {"measure": 3}).measure
    assert (measure, type(measure)) == (3.0, float)


INFINITE = json.loads("1e999")


@pytest.mark.parametrize(
    ("field_name", "value", "message"),
    [
        ("flag", 1, "flag is 1, not true or false"),
        ("flag", None, "flag is None, not true or false"),
        ("text", 5, "text is 5, not text"),
        ("name", "", "name is '', not printable text"),
        ("name", "a" * 1001, "name is 'aaaa"),
        ("name", "a\nb", "name is 'a.*, not printable text of 1 to 1,000 characters"),
        ("count", True, "count is True, not a whole number of 0 or more"),
        ("count", 1.0, "count is 1.0, not a whole number of 0 or more"),
        ("count", "1", "count is '1', not a whole number"),
        ("count", -1, "count is -1, not a whole number of 0 or more"),
        ("count", 10**400, "count is a number of many digits, not a whole number of 0 or more up to"),
        ("count", 10**4000, "count is a number of many digits"),
        ("whole", -(10**400), "whole is a number of many digits"),
        ("whole", -(2**31) - 9, "whole is -2147483657, not a whole number of -2.14748e"),
        ("measure", 10**400, "measure is a number of many digits, not a finite number of 0 or more up to"),
        ("measure", INFINITE, "measure is inf, not a finite number"),
        ("measure", float("nan"), "measure is nan, not a finite number"),
        ("measure", False, "measure is False, not a finite number"),
        ("measure", -0.1, "measure is -0.1, not a finite number of 0 or more"),
        ("real", -INFINITE, "real is -inf"),
        ("real", [], r"real is \[\], not a finite number"),
        ("shape", None, "shape is None, not a record"),
        ("shape", {}, r"shape\.lengths is missing"),
        ("shape", {"lengths": [1, 2], "x": 1}, r"'shape\.x' is an unknown field"),
        ("shape", {"lengths": [1]}, r"shape\.lengths is \[1\], not a list of 2"),
        ("shape", {"lengths": [1, 0]}, r"shape\.lengths\[1\] is 0, not a whole number of 1 or more"),
        ("shape", {"lengths": [101, 1]}, "shape: 101 is above 100"),
        ("shapes", {}, r"shapes is \{\}, not a list"),
        ("shapes", [{"lengths": "ab"}], r"shapes\[0\]\.lengths is 'ab', not a list"),
        ("names", ["a", None], r"names\[1\] is None, not text"),
        ("versions", [], r"versions is \[\], not an object"),
        ("versions", {"a": 1}, r"versions\.a is 1, not text"),
        ("missing", "", "missing is '', not a finite number"),
        ("more", {"a": {"lengths": [True, 1]}}, r"more\.a\.lengths\[0\] is True, not a whole number"),
        ("a\x1b", 1, r"is an unknown field"),
    ],
)
def test_refusal_of_a_wrong_value_names_the_field(field_name, value, message):
    values = json.loads(json.dumps(asdict(RECORD))) | {field_name: value}
    with pytest.raises(ValueError, match=message) as error:
        records.read(Everything, values)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("values", [None, [], "text", 5])
def test_anything_but_an_object_is_refused(values):
    with pytest.raises(ValueError, match=r"it is .*, not a record"):
        records.read(Everything, values)
