"""What is promised of texts that others wrote, of projects from strangers, of SQL, of files, and of the code itself."""

import ast
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from nights import DECISIONS, Night, invoke

from photdb.exports.files import safe_name
from photdb.store import schema
from photdb.store.project import Project

ROOT = Path(__file__).resolve().parents[2]
POSIX = pytest.mark.skipif(os.name == "nt", reason="terminals, signals and links of POSIX")
#: For terminals, pages, shells, databases, formulas, and readers from right to left.
EVIL = (
    "\x1b[31m\x1b]0;owned\x07<script>alert(1)</script>\"><img src=x onerror=alert(1)>'; DROP TABLE frame; --"
    " $(touch owned) `touch owned` \u202egnp.exe\u2028 ${HOME} $x_1^{2}$ \\frac{ %s {0}\r\n/../../etc/passwd\x9b2J"
)
#: Names that a user may give, and a shell or a parser may take for something else.
NASTY = (
    "$(touch owned)",
    "`touch owned`",
    "'; touch owned; '",
    '"; touch owned; "',
    "-rf",
    "--at",
    "*",
    "-",
    "#",
    "~",
    "a\\b",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "CON",
    "=1+1",
    "$x_1^{2}$",
    "\\frac{",
    "<b>&amp;",
    "%s{0}",
    "Ünï ☃ 星",
    "'); DROP TABLE frame; --",
    "x" * 64,
)
#: Columns of texts that come from headers, from users, and from other computers.
TEXTS = {
    "source": ("label",),
    "frame": ("object", "observer", "filter", "time_source", "time_note", "site_note", "header_notes"),
    "project": ("name", "observer", "object"),
    "rejection": ("reason",),
    "reference_check": ("advice",),
    "search": ("message",),
    "history": ("version", "user", "host", "outcome"),
    "stage_run": ("photdb_version",),
}
LOOKS = (
    ("status",),
    ("history", "-v"),
    ("reject", "list"),
    ("select", "list"),
    ("set",),
    ("sql", "SELECT * FROM source"),
    ("sql", "SELECT label FROM source", "--format", "json"),
    ("sql", f"SELECT '{EVIL.replace(chr(39), '')}"),  # SQLite repeats it in its error
    ("export", "out", "-v"),
    ("check",),
    ("solve",),
    ("measure",),
    ("qc",),
    ("shifts",),
    ("run",),
    ("reject", "source", EVIL),
    ("accept", "source", EVIL),
    ("reject", "frames", "3", "--source", EVIL),
    ("reject", "frames", EVIL),
    ("select", "remove", EVIL + "?"),
    ("select", "variable", EVIL, "--at", "1", "50", "50"),
    ("check", "--aperture", EVIL),
    ("plot", EVIL),
    ("plot", "qc", "--save", EVIL),
    ("plot", "lightcurve", "--target", EVIL + "?", "--save", "x.svg"),
    ("report", EVIL),
    ("export", "out", "--view", EVIL),
    ("init", EVIL),
    ("add", EVIL),
    ("status", "-p", EVIL),
    (EVIL,),
    ("status", f"--{EVIL}"),
    ("qc", "--min-range", EVIL),
    ("measure", "--apertures", EVIL),
    ("measure", "--radii", EVIL, "--annulus", "3", "5"),
    ("solve", "--weighting", EVIL),
)


def evil(night: Night) -> Night:
    """Put the text everywhere where texts are, behind the back of the commands that would have refused it."""
    night.photdb("reject", "frames", "5", "--source", "R2", "--reason", "x")
    with Project.write(night.path, "test") as project, project.transaction() as connection:
        for table, columns in TEXTS.items():
            for column in columns:
                number = "'' || id" if column == "label" else "''"
                connection.exec_driver_sql(f"UPDATE {table} SET {column} = ? || {number}", (EVIL,))
        connection.exec_driver_sql("UPDATE source SET label = ? WHERE label LIKE '%1'", (EVIL,))
        connection.exec_driver_sql("UPDATE project SET filter = NULL")
        rows = connection.exec_driver_sql("SELECT id, arguments FROM history").all()
        for id_, arguments in rows:
            connection.exec_driver_sql(
                "UPDATE history SET arguments = ?, outcome = 'ok' WHERE id = ?",
                (json.dumps([*json.loads(arguments), EVIL]), id_),
            )
    return night


def steering(text: str) -> set[str]:
    """Give the characters in a text that could steer a terminal."""
    return {c for c in text if not c.isprintable() and c != "\n"}


@pytest.fixture
def evil_night(night: Night, monkeypatch: pytest.MonkeyPatch) -> Night:
    monkeypatch.chdir(night.folder)
    monkeypatch.setenv("MPLBACKEND", "agg")
    return evil(night)


# --- terminals --------------------------------------------------------------------------------------------------------
def test_no_text_steers_the_terminal(evil_night: Night) -> None:
    for words in LOOKS:
        result = invoke(*words, env={"PHOTDB_PROJECT": str(evil_night.path)})
        assert result.exit_code in (0, 1, 2), (words, result.stderr)
        assert not steering(result.stdout + result.stderr), (words, result.stdout, result.stderr)
        assert "Traceback" not in result.stderr
        if result.exit_code:
            assert len(result.stderr.rstrip().splitlines()) <= 4 or words[0] in ("solve", "check"), result.stderr
    assert r"\x1b[31m" in invoke("status", env={"PHOTDB_PROJECT": str(evil_night.path)}).stdout
    assert "owned" not in {p.name for p in evil_night.folder.iterdir()}


@POSIX
@pytest.mark.parametrize(
    "words",
    [
        ("history", "--as-script"),
        ("sql", "SELECT label, object FROM source, frame", "--format", "csv"),
    ],
)
def test_data_are_exact_in_a_file_and_escaped_on_a_terminal(evil_night: Night, words: tuple[str, ...]) -> None:
    import pty

    command = [sys.executable, "-m", "photdb", *words]
    environment = {**os.environ, "PHOTDB_PROJECT": str(evil_night.path), "PYTHONPATH": str(ROOT)}
    piped = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert EVIL[:30].encode() in piped.stdout
    assert EVIL[-60:].encode() in piped.stdout
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # its end
            while part := os.read(ours, 65536):
                shown += part
    os.close(ours)
    assert process.returncode == 0
    assert not steering(shown.decode().replace("\r\n", "\n")), shown
    assert rb"\x1b[31m" in shown


@POSIX
def test_names_of_files_steer_no_terminal_either(night: Night, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    names = ["a\x1b[31mb.fits", "new\nline.fits", "\u202egnp.fits", "$(touch owned).fits", "-rf.fits"]
    for name, number in zip(names, range(1, 9), strict=False):
        os.link(night.frame_path(number), folder / name)
    project = tmp_path / "p.photdb"
    for words in (
        ("init", folder, "-p", project),
        ("qc", "-p", project, "-j", "1", "-v"),
        ("history", "-p", project),
        ("sql", "-p", project, "SELECT path FROM frame"),
        ("export", tmp_path / "out", "-p", project),
    ):
        result = invoke(*words)
        assert result.exit_code == 0, result.stderr
        assert not steering(result.stdout + result.stderr), words
    (folder / names[0]).unlink()
    (folder / names[0]).write_bytes(b"no frame any more")
    result = invoke("run", "-p", project)
    assert not steering(result.stdout + result.stderr)
    for file in (tmp_path / "out").iterdir():
        assert not steering(file.read_text().replace("\t", " ")), file


@POSIX
def test_a_file_name_that_is_no_utf8_is_one_sentence(night: Night, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    os.link(night.frame_path(1), os.fsencode(folder) + b"/caf\xe9.fits")
    result = invoke("init", folder, "-p", tmp_path / "p.photdb")
    assert result.exit_code == 1
    assert "\\udce9" in result.stderr
    assert not steering(result.stderr)
    assert "Traceback" not in result.stderr


@POSIX
def test_a_terminal_that_cannot_show_a_character_gets_its_escape(night: Night) -> None:
    environment = {**os.environ, "PHOTDB_PROJECT": str(night.path), "PYTHONPATH": str(ROOT)}
    environment["PYTHONIOENCODING"] = "latin-1"
    command = [sys.executable, "-m", "photdb", "sql", "SELECT 'Ü → ☃'", "--format"]
    for format_ in ("table", "csv", "json"):
        done = subprocess.run([*command, format_], env=environment, capture_output=True, check=True)
        assert rb"\u2192" in done.stdout
        assert "Ü".encode("latin-1") in done.stdout or format_ == "json"


# --- pages, pictures, files, scripts ----------------------------------------------------------------------------------
class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_no_text_becomes_markup_in_the_report(evil_night: Night) -> None:
    evil_night.photdb("report", "page.html")
    page = (evil_night.folder / "page.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert page.count("&lt;script&gt;") > 20
    for tag, attributes in tags.found:
        assert tag not in {"script", "iframe", "object", "embed", "link", "base", "form", "b"}
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src") != "x"
    assert not steering(page.replace("\t", " "))


@pytest.mark.parametrize("stage", ["qc", "shifts", "field", "references", "apertures", "lightcurve", "search", "noise"])
def test_no_text_is_parsed_in_a_plot(evil_night: Night, stage: str) -> None:
    evil_night.photdb("plot", stage, "--save", "plot.svg")
    text = (evil_night.folder / "plot.svg").read_text(encoding="utf-8")
    root = ET.fromstring(text)  # noqa: S314 - written here
    assert not steering(text.replace("\t", " "))
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not names & {"script", "foreignObject", "b"}
    if stage in ("field", "references", "apertures", "lightcurve", "noise"):
        assert "<script>alert(1)" in "".join(root.itertext()), "the name as it is"


def test_no_text_adds_a_line_or_a_cell_to_an_export(night: Night, evil_night: Night) -> None:
    evil_night.photdb("export", "evil")
    files = sorted((evil_night.folder / "evil").iterdir())
    assert len(files) > 12
    for file in files:
        lines = file.read_text(encoding="utf-8").split("\n")
        assert lines.pop() == ""
        assert not steering("".join(lines).replace("\t", " "))
        head = max(i for i, line in enumerate(lines) if line.startswith("#"))
        assert all(line.startswith("# ") for line in lines[: head + 1]), "what a file says of itself comes first"
        assert {line.count("\t") for line in lines[head:]} == {lines[head].count("\t")}, file.name
    frames = next(f for f in files if "01_frames" in f.name).read_text(encoding="utf-8")
    assert len(re.findall(r"^\d", frames, re.MULTILINE)) == 20
    evil_night.photdb("export", "views", *(w for view in schema.VIEWS for w in ("--view", view)))
    assert {p.parent for p in evil_night.folder.rglob("*.csv")} == {evil_night.folder / "views"}


def test_names_stay_in_their_folder_and_apart() -> None:
    taken: set[str] = set()
    names = [safe_name(name, taken) for name in (*NASTY, EVIL, "y" * 5000, "..", ".", "", "con", "NUL.txt")]
    assert len({n.lower() for n in names}) == len(names)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name), name
        assert len(name) <= 90


@POSIX
def test_the_script_of_nasty_names_runs_nothing_but_photdb(night_at, tmp_path: Path) -> None:
    night: Night = night_at("shifted")
    stars = night.rows(
        "SELECT x_px, y_px FROM detection JOIN frame f ON f.id = frame_id WHERE f.number = 1"
        " AND x_px BETWEEN 20 AND 280 AND y_px BETWEEN 20 AND 220 ORDER BY rank"
    )
    for k, (name, (x, y)) in enumerate(zip(NASTY, stars, strict=False)):
        night.photdb("select", "reference", "--at", 1, x, y, "--no-snap", "--", name)
        if k % 3 == 0:
            night.photdb("reject", "frames", "3", f"--source={name}", "--reason", name)
        if k % 5 == 0:
            night.photdb("reject", "source", "--reason", "\n" + EVIL, "--", name)
    night.photdb("select", "remove", "--", "*")
    night.photdb("set", "--observer", EVIL, f"--object={NASTY[0]}")
    assert night.one("SELECT count(*) FROM source") == len(NASTY)
    (tmp_path / "bin").mkdir()
    script = night.photdb("history", "--as-script").stdout_bytes.decode()
    # In one process instead of one for each command: the shell quotes, and says the words to a list.
    say = tmp_path / "bin" / "photdb"
    say.write_text('#!/bin/sh\nfor word; do printf "%s\\037" "$word"; done >> "$WORDS"\nprintf "\\036" >> "$WORDS"\n')
    say.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "WORDS": str(tmp_path / "words"),
    }
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "night") == ["bin", "words"]
    for command in (tmp_path / "words").read_bytes().decode().split("\x1e")[:-1]:
        result = invoke(*command.split("\x1f")[:-1], env={"PHOTDB_PROJECT": str(tmp_path / "again.photdb")})
        assert result.exit_code == 0, (command, result.stderr)
    with Project.read(tmp_path / "again.photdb") as project:
        labels = project.connection.exec_driver_sql("SELECT label FROM source ORDER BY id").scalars().all()
        observer = project.connection.exec_driver_sql("SELECT observer FROM project").scalar()
    assert labels == list(NASTY)
    assert observer == EVIL
    again = Night(tmp_path, night.truth)
    tables = [t for t in DECISIONS if t != "project"]
    (tmp_path / "again.photdb").rename(again.path)
    assert again.snapshot(*tables) == night.snapshot(*tables)


@POSIX
def test_nothing_is_written_through_a_link_laid_in_the_way(night: Night) -> None:
    victim = night.folder / "victim"
    victim.write_text("precious")
    for name in (".page.html.part", ".plot.png.part", "night.photdb.lock", "page.html"):
        (night.folder / name).symlink_to(victim)
    (night.folder / "out").mkdir()
    for file in night.photdb("export", night.folder / "elsewhere", "-v").stderr.splitlines()[:-1]:
        (night.folder / "out" / f".{Path(file).name}.part").symlink_to(victim)
    night.photdb("report", night.folder / "page.html", "--overwrite")
    night.photdb("plot", "qc", "--save", night.folder / "plot.png")
    night.photdb("export", night.folder / "out")
    assert "annot write beside the project" in night.refused("reject", "frames", "3")
    assert victim.read_text() == "precious"
    assert not (night.folder / "page.html").is_symlink()


# --- SQL --------------------------------------------------------------------------------------------------------------
def test_no_pragma_and_no_function_of_sqlite_reaches_beyond(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(night.folder)
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        pragmas = [name for (name,) in database.execute("PRAGMA pragma_list")]
        functions = {name for (name, *_) in database.execute("PRAGMA function_list")}
    assert len(pragmas) > 40
    before, there = night.path.read_bytes(), sorted(p.name for p in night.folder.iterdir())
    told = set()
    for name in pragmas:
        for query in (
            f"PRAGMA {name}",
            f"PRAGMA {name} = 1",
            f"PRAGMA {name}('flux')",
            f"SELECT * FROM pragma_{name}(1)",
        ):
            result = invoke("sql", query, env={"PHOTDB_PROJECT": str(night.path)})
            assert result.exit_code in (0, 1), query
            if result.exit_code == 0:
                told.add(name)
    telling = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"}
    assert told <= telling
    for name in sorted(functions & {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}):
        assert "only reads" in night.refused("sql", f"SELECT {name}('/etc/passwd')")
        assert "only reads" in night.refused("sql", f"SELECT \"{name.upper()}\"('simple')")
    assert night.path.read_bytes() == before
    assert sorted(p.name for p in night.folder.iterdir()) == there


def test_an_answer_without_end_is_refused_and_a_long_text_too(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    from photdb.cli import sql

    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"
    monkeypatch.setattr(sql, "_MOST_ROWS", 1000)
    assert "more than 1000 rows" in night.refused("sql", endless)
    assert "more than 1000 rows" in night.refused("sql", endless, "--format", "json")
    night.photdb("sql", f"{endless} LIMIT 1000")
    many = night.photdb("sql", f"{endless} LIMIT 25000", "--format", "csv").stdout.splitlines()
    assert many == ["x", *map(str, range(1, 25001))]
    assert "too big" in night.refused("sql", "SELECT length(zeroblob(500000000))")


@POSIX
def test_a_question_without_end_is_interrupted(night: Night) -> None:
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
    endless += " SELECT 0 AS x UNION ALL SELECT max(x) FROM c"
    environment = {**os.environ, "PHOTDB_PROJECT": str(night.path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-u", "-m", "photdb", "sql", endless, "--format", "csv"]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # which is off where tests run in the background
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"x\n"
        time.sleep(0.5)  # until SQLite is at it
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert said == b"Interrupted.\n"


# --- projects from strangers ------------------------------------------------------------------------------------------
def tamper(night: Night, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(night.path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        (
            ["CREATE TRIGGER undo AFTER INSERT ON rejection BEGIN DELETE FROM rejection WHERE id = NEW.id; END"],
            "trigger undo",
        ),
        (["CREATE TRIGGER hidden INSTEAD OF DELETE ON frame_status BEGIN DELETE FROM flux; END"], "trigger hidden"),
        (["CREATE VIRTUAL TABLE innocent USING fts4(x)"], "virtual table innocent"),
        (
            [
                "PRAGMA foreign_keys = OFF",
                "ALTER TABLE flag RENAME TO kept",
                "CREATE VIEW flag AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT x FROM c",
            ],
            "view flag",
        ),
    ],
)
def test_a_project_that_would_do_something_by_itself_is_not_used(
    night: Night, statements: list[str], what: str
) -> None:
    tamper(night, *statements)
    before = night.path.read_bytes()
    for words in (("status",), ("run",), ("reject", "frames", "3"), ("export", night.folder / "out"), ("history",)):
        assert f"holds a {what}" in night.refused(*words)
    assert night.photdb("sql", "SELECT count(*) FROM frame").stdout.split()[-1] == "20"
    assert night.path.read_bytes() == before


def test_a_forged_view_is_not_read_and_made_anew(night: Night) -> None:
    curve = night.rows("SELECT * FROM best_light_curve")
    forged = "CREATE VIEW best_light_curve AS SELECT target, frame, jd_utc_mid, 0.0 AS mag, mag_err FROM light_curve"
    tamper(night, "DROP VIEW best_light_curve", forged)
    assert "older photdb" in night.refused("status")
    night.photdb("run")
    assert night.rows("SELECT * FROM best_light_curve") == curve


@pytest.mark.parametrize("version", ["0001'; DROP TABLE frame; --", EVIL, "../../0001", "", "0001\n"])
def test_an_odd_revision_is_no_path_and_no_statement(night: Night, version: str) -> None:
    with contextlib.closing(sqlite3.connect(night.path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (version,))
    before = night.path.read_bytes()
    for words in (("status",), ("run",)):
        assert "newer photdb" in night.refused(*words)
        assert not steering(night.refused(*words))
    assert night.path.read_bytes() == before


@pytest.mark.parametrize("version", [0, -1, 2**31 - 1, -(2**31)])
def test_an_odd_version_of_views_costs_nothing(night: Night, version: int) -> None:
    results = night.snapshot()
    tamper(night, f"PRAGMA user_version = {version}")
    assert "older photdb" in night.refused("status")
    night.photdb("run")
    assert night.snapshot() == results


def test_a_schema_is_not_trusted(night: Night) -> None:
    for open_ in (Project.read, lambda path: Project.write(path, "test")):
        with open_(night.path) as project:
            assert project.connection.exec_driver_sql("PRAGMA trusted_schema").scalar() == 0


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../../../../../etc/passwd", "", ".", "x" * 5000, "a\0b", "\x1b[2J"]
)
def test_odd_paths_of_frames_are_read_at_most(night: Night, path: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = path.replace("/etc/passwd", str(victim))
    night.change("UPDATE frame SET path = ? WHERE number = 3", path)
    for words in (
        ("status",),
        ("history", "--as-script"),
        ("export", night.folder / "out"),
        ("plot", "field", "--frame", "3", "--save", night.folder / "x.png"),
        ("run", "-j", "1"),
        ("qc", "-j", "1"),
        ("select", "variable", "V2", "--at", "3", "50", "50"),
        ("status",),
    ):
        result = invoke(*words, env={"PHOTDB_PROJECT": str(night.path), "MPLBACKEND": "agg"})
        assert result.exit_code in (0, 1), (words, result.stderr)
        assert "Traceback" not in result.stderr
        if words[0] != "history":
            assert not steering(result.stdout + result.stderr), words
    assert victim.read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["night", "victim"]


@pytest.mark.parametrize("arguments", ["", "{", "null", '{"a": 1}', "[1, null]", "[[]]", EVIL, "x" * 100_000])
def test_an_odd_history_is_listed_and_repeats_nothing_else(night: Night, arguments: str) -> None:
    night.change(
        "INSERT INTO history (at, command, arguments, version, host, outcome)"
        " VALUES ('2011', 'reject', ?, '1', 'h', 'ok'), ('2012', ?, '[]', ?, ?, NULL)",
        arguments,
        "demo\nrm -rf /; photdb export",
        EVIL,
        EVIL,
    )
    listed = night.photdb("history")
    assert not steering(listed.stdout)
    assert len(listed.stdout.splitlines()) == night.one("SELECT count(*) FROM history")
    script = night.photdb("history", "--as-script").stdout
    assert "\nrm" not in script
    assert "not a command of photdb's history: demo rm -rf /; photdb export" in script


# --- the code itself --------------------------------------------------------------------------------------------------
#: What runs text as code, or makes objects of bytes.
FORBIDDEN = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "os.execv",
    "os.execvp",
    "os.spawnv",
    "tempfile.mktemp",
    "pickle.load",
    "pickle.loads",
    "marshal.load",
    "marshal.loads",
    "shelve.open",
    "yaml.load",
    "yaml.unsafe_load",
    "joblib.load",
    "dill.load",
    "pandas.read_pickle",
    "pd.read_pickle",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
}
SOURCES = [*sorted((ROOT / "photdb").rglob("*.py")), *sorted((ROOT / "migrations").rglob("*.py"))]


def _calls(source: str) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


def _dangers(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [
            name for name in names if name.split(".")[0] in {"pickle", "marshal", "shelve", "yaml", "dill", "joblib"}
        ]
    for name, call in _calls(source):
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name in FORBIDDEN or options.get("shell", "False") != "False":
            found.append(name)
        if name.rpartition(".")[2] == "load" and options.get("allow_pickle", "False") != "False":
            found.append(name)
    return found


def test_nothing_runs_text_as_code_or_makes_objects_of_bytes() -> None:
    assert len(SOURCES) > 100
    assert {str(path.relative_to(ROOT)): found for path in SOURCES if (found := _dangers(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "eval('1')",
        "subprocess.run('x', shell=True)",
        "np.load(f, allow_pickle=True)",
        "os.system('x')",
    ],
)
def test_the_search_for_such_code_finds_it(source: str) -> None:
    assert _dangers(source)


def test_all_output_goes_through_one_place() -> None:
    for path in sorted((ROOT / "photdb").rglob("*.py")):
        if path.name == "terminal.py":
            continue
        for name, _ in _calls(path.read_text()):
            assert name not in {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"}, path
