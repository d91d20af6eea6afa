from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.vocab.config import VocabConfig
from pipeline.config.flags import add_flags, add_override_flags, check_given_once, config_from
from pipeline.config.tree import apply_overrides, option
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Config:
    steps: int = option(10, "steps, 100 % of them")
    rate: float = option(0.5, "rate")
    flag: bool = option(True, "a flag")
    maybe: bool | None = option(None, "left open")
    kind: str = option("plain", "a kind", choices=("plain", "fancy"))
    long_paths: tuple[str, ...] = option((), "paths")
    numbers: tuple[int, ...] = option((1,), "numbers")


@dataclass(frozen=True)
class Whole:
    inner: Config = option(Config(), "options within options")
    name: str = option("", "a name")


def parser(kind: type = Config) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_flags(made, kind)
    return made


def parse(*flags: str) -> Config:
    return config_from(parser().parse_args(flags), Config)


def test_no_flag_leaves_every_default() -> None:
    assert parse() == Config()


def test_flags_of_every_type() -> None:
    assert parse(
        *"--steps 3 --rate 1e-3 --no-flag --no-maybe --kind fancy --long-paths a b --numbers 4,5".split()
    ) == Config(3, 1e-3, False, False, "fancy", ("a", "b"), (4, 5))
    assert parse("--flag", "--maybe") == Config(maybe=True)


def test_flags_stand_before_the_file_and_the_file_before_defaults(tmp_path: Path) -> None:
    path = tmp_path / "options.yaml"
    path.write_text("steps: 3\nrate: 0.25\nmaybe: true\nlong_paths: [x]\n")
    assert parse("--config", str(path)) == Config(steps=3, rate=0.25, maybe=True, long_paths=("x",))
    # A flag with the default's own value still stands before the file.
    flags = ["--config", str(path), "--steps", "10", "--long-paths", "y"]
    assert parse(*flags) == Config(steps=10, rate=0.25, maybe=True, long_paths=("y",))


def test_unknown_names_in_the_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "options.yaml"
    path.write_text("step: 3\n")
    with pytest.raises(ConfigError, match=r"Did you mean steps\?"):
        parse("--config", str(path))


@pytest.mark.parametrize("flags", [["--steps", "many"], ["--kind", "simple"], ["--rate", "x"], ["--numbers", "1,x"]])
def test_values_of_another_type_end_with_code_2(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*flags)
    assert caught.value.code == 2
    assert f"argument {flags[0]}" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [CorpusConfig, VocabConfig])
def test_every_option_of_the_jobs_has_a_flag_and_a_help_text(kind: type) -> None:
    text = "".join(parser(kind).format_help().split())  # Lines break at spaces and hyphens.
    for field in dataclasses.fields(kind):
        expected = f"{field.metadata['help']}"
        if isinstance(field.default, (int, float)):
            expected += f" (default: {field.default})"
        assert f"--{field.name.replace('_', '-')}" in text
        assert expected.replace(" ", "") in text


def test_files_of_options_add_up_in_their_order(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("steps: 3\nrate: 0.25\n")
    second.write_text("steps: 4\n")
    flags = ["--config", str(first), "--config", str(second)]
    assert parse(*flags) == Config(steps=4, rate=0.25)
    assert parse(*flags, "--steps", "5") == Config(steps=5, rate=0.25)
    assert parse(*flags[2:], *flags[:2]) == Config(steps=3, rate=0.25)


def test_lists_add_up() -> None:
    assert parse("--long-paths", "a", "b", "--long-paths", "c").long_paths == ("a", "b", "c")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--steps", "1", "--rate", "0.1", "--steps=2"], "argument --steps: given twice, with 1 and 2"),
        (["--flag", "--no-flag"], "argument --no-flag: given twice, with --flag and --no-flag"),
        (["--kind=plain", "--kind", "fancy"], "argument --kind: given twice, with plain and fancy"),
    ],
)
def test_a_single_value_that_is_given_twice_is_refused(flags: list[str], message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        check_given_once(parser(), flags)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_what_says_the_same_twice_is_none() -> None:
    check_given_once(
        parser(), ["--steps", "1", "--steps=1", "--flag", "--flag", "--long-paths", "a", "--long-paths", "b"]
    )
    check_given_once(parser(), ["--experiments=a", "--experiments=b"])  # Beam's own.


def parse_overrides(*flags: str) -> list[str]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--params-override", nargs="+", action="extend", default=[])
    add_override_flags(parser, Whole, dest="params_override")
    return list(parser.parse_args(flags).params_override)


def test_options_within_options_are_flags() -> None:
    flags = ("--inner.steps", "4", "--params-override", "inner.steps=5", "name=x", "--inner.long-paths=[a, b]")
    overrides = parse_overrides(*flags)
    assert overrides == ["inner.steps=4", "inner.steps=5", "name=x", "inner.long_paths=[a, b]"]
    whole = apply_overrides(Whole(), overrides)
    assert (whole.inner.steps, whole.inner.long_paths, whole.name) == (5, ("a", "b"), "x")
    assert apply_overrides(Whole(), parse_overrides("--inner.flag", "true")).inner.flag is True
    with pytest.raises(ConfigError, match=r"inner\.steps must be of type int"):
        apply_overrides(Whole(), parse_overrides("--inner.steps", "many"))
    with pytest.raises(SystemExit):
        parse_overrides("--inner", "4")
