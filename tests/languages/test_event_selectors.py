"""Event selectors: what they take, by cases from AWS's user guide, and against a plain evaluation of random ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skytrail.languages.event_selectors import Matcher, Together, advanced, classic, together

CASES = json.loads((Path(__file__).parent.parent / "cases" / "cloudtrail" / "selectors.json").read_text())


def matcher(case: Mapping[str, Any]) -> Matcher:
    return advanced(case["advanced"]) if "advanced" in case else classic(case["classic"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["reason"])
def test_cases(case: Mapping[str, Any]) -> None:
    compiled = matcher(case)
    all_at_once = Together([compiled])
    for record in case["takes"]:
        assert compiled.matches(record), record
        assert list(all_at_once.select(record)) == [0], record
    for record in case["leaves"]:
        assert not compiled.matches(record), record
        assert list(all_at_once.select(record)) == [], record


def test_cases_together() -> None:
    """The matchers of all cases at once: each answers as it does alone."""
    matchers = [matcher(case) for case in CASES]
    all_at_once = Together(matchers)
    for record in [record for case in CASES for record in (*case["takes"], *case["leaves"])]:
        expected = [place for place, each in enumerate(matchers) if each.matches(record)]
        assert list(all_at_once.select(record)) == expected


def test_what_may_match_is_known_beforehand() -> None:
    some = advanced(
        [
            fields(eventCategory=["Management"], readOnly=["true"]),
            fields(eventCategory=["Data"], **{"resources.type": ["AWS::S3::Object"], "readOnly": ["false"]}),
        ]
    )
    assert some.categories == {"Management", "Data"}
    assert some.data_types == {"AWS::S3::Object"}
    assert some.may_take("Management", read_only=True)
    assert not some.may_take("Management", read_only=False)
    assert some.may_take("Data", read_only=False)
    assert not some.may_take("NetworkActivity", read_only=True)
    assert classic(None).categories == {"Management"}
    assert classic(None).data_types == frozenset()


def fields(**equals: Sequence[str]) -> dict[str, Any]:
    return {"FieldSelectors": [{"Field": name, "Equals": values} for name, values in equals.items()]}


@pytest.mark.parametrize(
    "selector",
    [
        fields(eventCategory=["Data"]),
        fields(eventCategory=["Management"], **{"resources.type": ["AWS::S3::Object"]}),
        {
            "FieldSelectors": [
                {"Field": "eventCategory", "Equals": ["Management"]},
                {"Field": "resources.ARN", "StartsWith": ["x"]},
            ]
        },
        fields(eventCategory=["Management"], awsRegion=["eu-west-1"]),
        {"FieldSelectors": [{"Field": "eventCategory", "NotEquals": ["Data"]}]},
    ],
)
def test_what_has_no_meaning_does_not_compile(selector: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"data events|unknown field|Equals only"):
        advanced([selector])


def test_unknown_read_write_type_does_not_compile() -> None:
    with pytest.raises(ValueError, match="ReadWriteType"):
        classic([{"ReadWriteType": "Some"}])


def test_what_is_remembered_is_bounded() -> None:
    """Callers make up names, keys and roles: no more is remembered of them than a fixed number."""
    trails = [
        advanced(
            [
                {
                    "FieldSelectors": [
                        {"Field": "eventCategory", "Equals": ["Data"]},
                        {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
                        {"Field": "eventName", "NotEquals": ["X"]},
                        {"Field": "resources.ARN", "EndsWith": [f"/{trail}"]},
                    ]
                }
            ]
        )
        for trail in range(12)
    ]
    all_at_once = Together(trails)
    for number in range(3 * together._MOST):
        record = {
            "eventCategory": "Data",
            "eventName": f"Name{number}",
            "resources": [{"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::b/{number % 12}"}],
        }
        assert list(all_at_once.select(record)) == [number % 12]
    group = all_at_once._by_type["AWS::S3::Object"]
    assert len(group._cases) + sum(len(case.decided) for case in group._cases.values()) <= together._MOST
    assert len(all_at_once._places) <= together._MOST


# A plain evaluation, straight from the selectors.

PLAIN = ["eventName", "eventSource", "readOnly", "eventType", "errorCode", "vpcEndpointId"]
TYPES = ["AWS::S3::Object", "AWS::S3::Bucket", "AWS::SQS::Queue"]


def plainly_advanced(selectors: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> bool:
    return any(one_advanced(selector["FieldSelectors"], record) for selector in selectors)


def one_advanced(conditions: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> bool:
    entries: Sequence[Mapping[str, Any]] = record.get("resources") or []
    if record.get("eventCategory", "Management") != "Data":
        entries = [{}]
    return any(
        all(fits(condition, value_of(record, entry, condition["Field"])) for condition in conditions)
        for entry in entries
    )


def value_of(record: Mapping[str, Any], entry: Mapping[str, Any], field: str) -> Any:
    if field == "eventCategory":
        return str(record.get("eventCategory", "Management"))
    if field == "resources.type":
        return entry.get("type")
    if field == "resources.ARN":
        return entry.get("ARN", entry.get("ARNPrefix"))
    if field == "userIdentity.arn":
        return (record.get("userIdentity") or {}).get("arn")
    value = record.get(field)
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value


def fits(condition: Mapping[str, Any], value: str | None) -> bool:
    select: list[bool] = []
    deselect: list[bool] = []
    for operator, wanted in condition.items():
        if operator == "Field":
            continue
        met = value is not None and any(met_by(operator.removeprefix("Not"), value, each) for each in wanted)
        (deselect if operator.startswith("Not") else select).append(met)
    return (any(select) or not select) and not any(deselect)


def met_by(operator: str, value: str, wanted: str) -> bool:
    if operator == "Equals":
        return value == wanted
    return value.startswith(wanted) if operator == "StartsWith" else value.endswith(wanted)


def plainly_classic(selectors: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> bool:
    for selector in selectors:
        kind = selector.get("ReadWriteType", "All")
        read = record.get("readOnly") is True
        if kind != "All" and read != (kind == "ReadOnly"):
            continue
        if record.get("eventCategory", "Management") == "Management":
            excluded = selector.get("ExcludeManagementEventSources", [])
            if selector.get("IncludeManagementEvents", True) and record.get("eventSource") not in excluded:
                return True
        if record.get("eventCategory") == "Data":
            for data in selector.get("DataResources", []):
                for entry in record.get("resources") or []:
                    arn = entry.get("ARN", entry.get("ARNPrefix"))
                    if entry.get("type") == data["Type"] and any(named(data["Type"], v, arn) for v in data["Values"]):
                        return True
    return False


def named(data_type: str, value: str, arn: str | None) -> bool:
    if value in ("arn:aws:s3", "arn:aws:s3:::", "arn:aws:lambda", "arn:aws:dynamodb"):
        return True
    if arn is None:
        return False
    return arn.startswith(value) if data_type == "AWS::S3::Object" else arn == value


# Random selectors and records, of few letters so that they meet.

texts = st.text("ab/", min_size=1, max_size=4)
arns = st.builds(str.__add__, st.sampled_from(["arn:aws:s3:::", ""]), texts)
operators = st.sampled_from(["Equals", "StartsWith", "EndsWith", "NotEquals", "NotStartsWith", "NotEndsWith"])


def condition(name: str) -> st.SearchStrategy[dict[str, Any]]:
    values = arns if name in ("resources.ARN", "userIdentity.arn") else texts
    if name == "readOnly":
        return st.fixed_dictionaries(
            {"Field": st.just(name), "Equals": st.lists(st.sampled_from(["true", "false"]), min_size=1)}
        )
    asked = st.dictionaries(operators, st.lists(values, min_size=1, max_size=4), min_size=1, max_size=3)
    return asked.map(lambda chosen: {"Field": name, **chosen})


@st.composite
def advanced_selectors(draw: st.DrawFn) -> dict[str, Any]:
    category = draw(st.sampled_from(["Management", "Data", "Data", "NetworkActivity"]))
    names = draw(st.lists(st.sampled_from([*PLAIN, "userIdentity.arn"]), max_size=3))
    made = [draw(condition(name)) for name in names]
    if category == "Data":
        made.append({"Field": "resources.type", "Equals": [draw(st.sampled_from(TYPES))]})
        made += draw(st.lists(condition("resources.ARN"), max_size=2))
    made.append({"Field": "eventCategory", "Equals": [category]})
    return {"FieldSelectors": draw(st.permutations(made))}


values_of_type = {
    "AWS::S3::Object": st.one_of(arns, st.sampled_from(["arn:aws:s3", "arn:aws:s3:::"])),
    "AWS::Lambda::Function": st.one_of(arns, st.just("arn:aws:lambda")),
    "AWS::DynamoDB::Table": st.one_of(arns, st.just("arn:aws:dynamodb")),
}


@st.composite
def data_resources(draw: st.DrawFn) -> dict[str, Any]:
    data_type = draw(st.sampled_from(sorted(values_of_type)))
    return {"Type": data_type, "Values": draw(st.lists(values_of_type[data_type], max_size=3))}


classic_selectors = st.fixed_dictionaries(
    {},
    optional={
        "ReadWriteType": st.sampled_from(["ReadOnly", "WriteOnly", "All"]),
        "IncludeManagementEvents": st.booleans(),
        "ExcludeManagementEventSources": st.lists(texts, max_size=2),
        "DataResources": st.lists(data_resources(), max_size=3),
    },
)
entries = st.fixed_dictionaries(
    {"type": st.sampled_from([*TYPES, *values_of_type])},
    optional={"ARN": arns, "accountId": st.just("1")},
) | st.fixed_dictionaries({"type": st.just("AWS::S3::Object"), "ARNPrefix": arns})
records = st.fixed_dictionaries(
    {},
    optional={
        "eventCategory": st.sampled_from(["Management", "Data", "Data", "Data", "NetworkActivity", "Insight"]),
        "readOnly": st.booleans(),
        "userIdentity": st.none() | st.fixed_dictionaries({}, optional={"arn": arns}),
        "resources": st.none() | st.lists(entries, max_size=3),
        **{name: texts for name in PLAIN if name != "readOnly"},
    },
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(advanced_selectors(), max_size=4), max_size=4),
    st.lists(st.lists(classic_selectors, max_size=2), max_size=2),
    st.lists(records, min_size=1, max_size=8),
)
@example([], [[{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["a", "aa"]}]}]], [{}])
def test_all_at_once_agrees_with_the_plain_evaluation(
    advanced_trails: list[list[dict[str, Any]]],
    classic_trails: list[list[dict[str, Any]]],
    given_records: list[dict[str, Any]],
) -> None:
    matchers = [*map(advanced, advanced_trails), *map(classic, classic_trails)]
    all_at_once = Together(matchers)
    for record in (*given_records, *given_records):
        plain = [plainly_advanced(each, record) for each in advanced_trails]
        plain += [plainly_classic(each, record) for each in classic_trails]
        assert [each.matches(record) for each in matchers] == plain
        assert list(all_at_once.select(record)) == [place for place, holds in enumerate(plain) if holds]


@settings(max_examples=100, deadline=None)
@given(st.sets(st.text("ab", max_size=5), max_size=30), st.lists(st.text("ab", max_size=8), max_size=30))
def test_the_beginnings_of_a_text_are_found(beginnings: set[str], given_texts: list[str]) -> None:
    marked = {each: 1 << place for place, each in enumerate(sorted(beginnings))}
    compiled = together._Beginnings(marked)
    for each in given_texts:
        assert compiled.of(each) == sum(bit for beginning, bit in marked.items() if each.startswith(beginning))
