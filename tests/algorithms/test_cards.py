import pytest

from photdb.algorithms.cards import as_angle, as_number, parse_cards


def block(*cards: str) -> bytes:
    return b"".join(card.encode("utf-8").ljust(80) for card in cards)


@pytest.mark.parametrize(
    ("card", "value"),
    [
        ("KEY     =                   16 / comment", 16),
        ("KEY     = 099 / Clear sky", 99),
        ("KEY     = -0012", -12),
        ("KEY     = 060.00 / Exposure", 60.0),
        ("KEY     = +62.592", 62.592),
        ("KEY     =  1.5D+02", 150.0),
        ("KEY     =  1.5e-3/no blank", 0.0015),
        ("KEY     = .5", 0.5),
        ("KEY     =                    T", True),
        ("KEY     =                    F / no", False),
        ("KEY     =", None),
        ("KEY     =                      / undefined", None),
        ("KEY     = 'Clear   '           / Filter", "Clear"),
        ("KEY     = 'O''Neill / x' / y", "O'Neill / x"),
        ("KEY     = ''", ""),
        ("KEY     = '  left'", "  left"),
        ("KEY     =          '18 01 03' / late quote", "18 01 03"),
        ("KEY     = 'never closed", "never closed"),
        ("KEY     = 2019-11-19T19:41:48.288 / no quotes", "2019-11-19T19:41:48.288"),
        ("KEY     = e-/ADU / no quotes", "e-/ADU"),
        ("KEY     = 1_000", "1_000"),
        ("KEY     = NaN", "NaN"),
        ("KEY     =5", 5),
        ("key     = 5", 5),
        ("Key     = 'Größe'", "Größe"),
        ("HIERARCH KEY = 4.5 / e", 4.5),
    ],
)
def test_a_card(card: str, value: object) -> None:
    cards = parse_cards(block(card))
    assert cards == {"KEY": value}
    assert type(cards["KEY"]) is type(value)


def test_hierarchical_keywords() -> None:
    assert parse_cards(block("HIERARCH ESO DET OUT1 RON = 4.5 / e")) == {"ESO DET OUT1 RON": 4.5}


def test_cards_that_are_not_values_are_left_out() -> None:
    others = ("COMMENT = 5", "HISTORY  x", "", "        = 3", "NOTHING")
    cards = parse_cards(block(*others, "A       = 1", "A       = 2", "END", "B       = 1"))
    assert cards == {"A": 1}


def test_long_strings_continue() -> None:
    cards = parse_cards(
        block("LONG    = 'one &'", "CONTINUE  'two&'", "CONTINUE  '' / end", "CONTINUE  'not mine'", "B       = 'x&'")
    )
    assert cards == {"LONG": "one two", "B": "x&"}


def test_bytes_that_are_no_text() -> None:
    cards = parse_cards(b"KEY     = '\xe9t\xe9' \xff\x00".ljust(80) + block("B       = 1") + b"\x00" * 80)
    assert cards == {"KEY": "été", "B": 1}


@pytest.mark.parametrize(
    ("value", "number"),
    [(3, 3.0), ("2.07", 2.07), (" 240 s", 240.0), ("1.3 e-/ADU", 1.3), ("1D2", 100.0), ("5 m", 5.0)]
    + [(bad, None) for bad in (True, None, "", "N/A", float("nan"), float("inf"), "2018-10-18", "12:30", "1e999")],
)
def test_numbers(value: object, number: float | None) -> None:
    assert as_number(value) == number


@pytest.mark.parametrize(
    ("value", "angle"),
    [
        ("+71 29 06.00", (71.485, True, "")),
        ("-00 30 00", (-0.5, True, "")),
        ("-22:57:08:99", (-(22 + 57 / 60 + 8.99 / 3600), True, "")),
        ("02h05m15.0s", (2.0875, True, "")),
        ("71°29'06\" W", (71.485, True, "W")),
        ("N 42 36", (42.6, True, "N")),
        ("46.769", (46.769, False, "")),
        ("46.5 deg", (46.5, False, "")),
        (330.5, (330.5, False, "")),
        ("unknown", None),
        (None, None),
        ("", None),
    ],
)
def test_angles(value: object, angle: tuple[float, bool, str] | None) -> None:
    read = as_angle(value)
    if angle is None:
        assert read is None
    else:
        assert read is not None
        assert read[0] == pytest.approx(angle[0], abs=1e-12)
        assert read[1:] == angle[1:]
