from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.tree import (
    apply_overrides,
    check_ranges,
    dump_yaml,
    from_dict,
    load_yaml,
    option,
    read_yaml,
    replace_values,
    to_dict,
)
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    rate: float = option(0.1, "a rate", minimum=0, maximum=1)
    name: str = option("inner", "a name")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Outer:
    steps: int = option(10, "steps", minimum=1)
    flag: bool = option(False, "a flag")
    maybe: bool | None = option(None, "true, false or left open")
    most: float | None = option(None, "no limit if None", maximum=8)
    kind: str = option("plain", "a kind", choices=("plain", "fancy"))
    paths: tuple[str, ...] = option((), "paths")
    sizes: list[int] = option([], "sizes")
    inner: Inner = option(Inner(), "nested options")
    either: int | str = option(3, "a number or a name")
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_ranges(self)


def outer(**values: object) -> Outer:
    return from_dict(Outer, values)


def test_what_is_left_out_keeps_its_default() -> None:
    assert outer() == Outer()
    assert outer(inner={"name": "x"}).inner == Inner(0.1, "x")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"inner": {"rate": 1}}, Outer(inner=Inner(1.0))),
        ({"inner": {"rate": "1e-4"}}, Outer(inner=Inner(1e-4))),  # YAML reads 1e-4 as a string.
        ({"inner": Inner(0.5)}, Outer(inner=Inner(0.5))),
        ({"paths": ["a", "b"]}, Outer(paths=("a", "b"))),
        ({"sizes": (1, 2)}, Outer(sizes=[1, 2])),
        ({"maybe": None, "most": 3}, Outer(maybe=None, most=3.0)),
        ({"either": "name"}, Outer(either="name")),
        ({"extra": {"a": [1]}}, Outer(extra={"a": [1]})),
    ],
)
def test_values_are_taken_as_their_type_where_that_loses_nothing(values: dict[str, Any], expected: Outer) -> None:
    config = outer(**values)
    assert config == expected
    assert isinstance(config.inner.rate, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": "ten"}, r"steps must be of type int. Received: 'ten' \(str\)"),
        ({"steps": 1.5}, "steps must be of type int"),
        ({"steps": True}, "steps must be of type int"),
        ({"steps": None}, "steps must be of type int"),
        ({"flag": 1}, "flag must be of type bool"),
        ({"flag": "yes"}, "flag must be of type bool"),
        ({"inner": {"rate": True}}, r"inner\.rate must be of type float"),
        ({"inner": {"rate": "much"}}, r"inner\.rate must be of type float"),
        ({"inner": 3}, "inner must be a mapping"),
        ({"paths": "a.txt"}, "paths must be a list"),
        ({"paths": ["a", 3]}, r"paths\[1\] must be of type str"),
        ({"extra": [1]}, "extra must be a mapping"),
        ({"either": 1.5}, "either must be"),
        ({"either": None}, "either must be"),
        ({"stepps": 3}, "no option stepps. Did you mean steps?"),
        ({"inner": {"nam": "x"}}, r"no option inner\.nam. Did you mean name?"),
        ({"zzz": 1}, "no option zzz. The options are: steps, flag"),
        ({3: 1}, "no option 3"),
        ({"kind": "simple"}, "kind must be one of plain, fancy. Received: 'simple'"),
        ({"steps": 0}, "steps must be at least 1. Received: 0"),
        ({"most": 9.5}, "most must be at most 8. Received: 9.5"),
        ({"inner": {"rate": 1.01}}, "rate must be between 0 and 1"),
        ({"inner": {"rate": float("nan")}}, "rate must be between 0 and 1. Received: nan"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(Outer, values)


def test_only_a_mapping_makes_a_config() -> None:
    with pytest.raises(ConfigError, match="Outer must be a mapping"):
        from_dict(Outer, ["steps"])  # type: ignore[arg-type]


# PyYAML itself does not give every control character back.
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]))


@given(
    st.builds(
        Outer,
        steps=st.integers(1),
        flag=st.booleans(),
        maybe=st.none() | st.booleans(),
        most=st.none() | st.floats(max_value=8, allow_nan=False, allow_infinity=False),
        kind=st.sampled_from(["plain", "fancy"]),
        paths=st.lists(TEXT, max_size=3).map(tuple),
        sizes=st.lists(st.integers(), max_size=3),
        inner=st.builds(Inner, rate=st.floats(0, 1), name=TEXT),
        extra=st.dictionaries(TEXT, st.integers() | TEXT, max_size=2),
    )
)
def test_yaml_and_back(tmp_path_factory: pytest.TempPathFactory, config: Outer) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    path.write_text(dump_yaml(config), encoding="utf-8")
    assert load_yaml(Outer, str(path)) == config
    assert from_dict(Outer, to_dict(config)) == config


def test_defaults_are_not_shared() -> None:
    first, second = Outer(), Outer()
    first.sizes.append(1)
    assert second.sizes == []
    assert Outer().sizes == []


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    assert load_yaml(Outer, str(path)) == Outer()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"- a\n- b\n", "must contain a mapping of options. Received: "),
        (b"just words", "must contain a mapping"),
        (b"a: [1,\nb: }", "is not valid YAML"),
        (b"a: \xff\xfe", "is not valid YAML"),
        (b"a: !!python/object:os.system 1", "is not valid YAML"),
    ],
)
def test_damaged_yaml_is_refused_in_a_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=message) as caught:
        read_yaml(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no-such\.yaml.*No such file"):
        read_yaml(str(tmp_path / "no-such.yaml"))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("steps=20", Outer(steps=20)),
        ("inner.rate=0.5", Outer(inner=Inner(0.5))),
        ("inner.rate=1e-3", Outer(inner=Inner(1e-3))),
        ("flag=true", Outer(flag=True)),
        ("most=null", Outer()),
        ("paths=[a, b]", Outer(paths=("a", "b"))),
        ("inner.name=a=b", Outer(inner=Inner(name="a=b"))),
        ("extra.deep.er=1", Outer(extra={"deep": {"er": 1}})),
        (" steps =20", Outer(steps=20)),
    ],
)
def test_overrides(override: str, expected: Outer) -> None:
    assert apply_overrides(Outer(), [override]) == expected


def test_the_last_override_stands() -> None:
    assert apply_overrides(Outer(), ["steps=2", "flag=true", "steps=3"]) == Outer(steps=3, flag=True)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", r"must look like a\.b=value. Received: 'steps'"),
        ("=3", "must look like"),
        ("steps.more=3", r"no option steps\.more"),
        ("step=3", "Did you mean steps?"),
        ("inner.rat=3", r"no option inner\.rat"),
        ("steps=[", "is not valid YAML"),
        ("steps=many", "steps must be of type int"),
        ("steps=0", "steps must be at least 1"),
    ],
)
def test_wrong_overrides_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apply_overrides(Outer(), [override])


def test_replacing_within_nested_configs() -> None:
    config = Outer(steps=2, inner=Inner(0.5, "mine"), extra={"a": {"b": 1, "c": 2}, "d": 3})
    replaced = replace_values(config, {"flag": True, "inner": {"rate": 0.25}, "extra": {"a": {"b": 5}}})
    assert replaced == Outer(2, flag=True, inner=Inner(0.25, "mine"), extra={"a": {"b": 5, "c": 2}, "d": 3})
    assert replace_values(config, {}) == config
    assert replace_values(config, {"inner": Inner()}) == dataclasses.replace(config, inner=Inner())


@pytest.mark.parametrize(
    ("text", "name"), [("steps: 1\nsteps: 2\n", "steps"), ("inner:\n  rate: 0.1\n  name: x\n  rate: 0.2\n", "rate")]
)
def test_a_key_that_yaml_gives_twice_is_refused(tmp_path: Path, text: str, name: str) -> None:
    path = tmp_path / "options.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"is not valid YAML. Received: {name} is given twice.*line \d"):
        load_yaml(Outer, str(path))
    with pytest.raises(ConfigError, match="rate is given twice"):
        apply_overrides(Outer(), ["inner={rate: 0.1, rate: 0.2}"])


def test_all_overrides_count_in_their_order() -> None:
    config = apply_overrides(Outer(), ["inner.rate=0.5", "inner={name: x}", "steps=3", "steps=4"])
    assert config == Outer(steps=4, inner=Inner(0.5, "x"))
    assert apply_overrides(Outer(), ["inner={rate: 0.5, name: y}", "inner.name=x"]).inner == Inner(0.5, "x")


def test_an_override_below_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'extra.a.b=1' sets an option of a. Received: a=3 before it"):
        apply_overrides(Outer(), ["extra.a=3", "extra.a.b=1"])
