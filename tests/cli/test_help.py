"""Every command explains itself with an example, stands in the README, and says what is wrong with one sentence."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from photdb.cli import COMMANDS, cli

README = Path(__file__).resolve().parents[2] / "README.md"


def walk(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Give the words of every command and subcommand there is."""
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None, name
            yield from walk(inner, (*words, name))


EVERY = list(walk(cli))


def test_every_command_is_found() -> None:
    assert {words[0] for words in EVERY if words} == set(COMMANDS)
    assert ("select", "asteroid") in EVERY


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_shows_an_example(words: tuple[str, ...], option: str) -> None:
    done = CliRunner().invoke(cli, [*words, option], prog_name="photdb")
    assert done.exit_code == 0, done.output
    assert "\\b" not in done.output
    example = done.output.partition("Example:" if words else "A night, from frames to curves:")[2]
    assert f"photdb {' '.join(words)}".strip() in example.partition("Options:")[0]
    assert all(len(line) <= 100 for line in done.output.splitlines())


@pytest.mark.parametrize("words", [words for words in EVERY if words], ids=" ".join)
def test_command_stands_in_the_readme(words: tuple[str, ...]) -> None:
    assert f"photdb {' '.join(words)}" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_wrong_usage_exits_with_2(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli, [*words, "--no-such-option"], prog_name="photdb")
    assert done.exit_code == 2
    assert "No such option" in done.output
    assert "Usage: photdb" in done.output


def test_unknown_command_exits_with_2() -> None:
    done = CliRunner().invoke(cli, ["measur"], prog_name="photdb")
    assert done.exit_code == 2
    assert "No such command 'measur'" in done.output


#: What each command needs beside a project, so that it gets as far as looking for one.
ARGUMENTS = {
    ("select", "asteroid"): ("X", "--at", "1", "5", "5"),
    ("select", "variable"): ("V", "--at", "1", "5", "5"),
    ("select", "reference"): ("--auto", "3"),
    ("select", "check"): ("C",),
    ("select", "remove"): ("C",),
    ("reject", "frames"): ("1",),
    ("reject", "source"): ("R1",),
    ("reject", "aperture"): ("1",),
    ("accept", "frames"): ("1",),
    ("accept", "source"): ("R1",),
    ("accept", "aperture"): ("1",),
    ("add",): (__file__,),
    ("set",): ("--gain", "2"),
    ("sql",): ("SELECT 1",),
    ("export",): ("out",),
    ("plot",): ("qc", "--save", "a.png"),
    ("relocate",): (".",),
}
WITHOUT_PROJECT = {(), ("init",), ("demo",), ("select",), ("reject",), ("accept",)}


@pytest.mark.parametrize("words", [words for words in EVERY if words not in WITHOUT_PROJECT], ids=" ".join)
def test_without_a_project_one_sentence_says_so(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PHOTDB_PROJECT", raising=False)
    typed = [*words, *ARGUMENTS.get(words, ())]
    for more, message in (
        ([], "Error: No project: make one with `photdb init FRAMES`, go to its folder, or name it with -p or"),
        (["-p", "none.photdb"], "Error: There is no project none.photdb: make one with `photdb init FRAMES"),
    ):
        done = CliRunner().invoke(cli, [*typed, *more], prog_name="photdb")
        assert done.exit_code == 1, done.output
        assert done.output.startswith(message)
        assert done.output.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "nothing is left behind, no lock either"
