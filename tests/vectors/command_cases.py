"""Cases of the grammar, written by hand and by table. ``python -m tests.write_guides`` makes ``commands.json`` of them,
for every parser there is: the server's, and the one of the client later.

Of a command that holds, its normal form is written here by hand; of one that does not, the code and the column.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regime_trading.core.commands.catalogue import CATALOGUE
from regime_trading.core.commands.faults import ParseError
from regime_trading.core.commands.grammar import MAX_LENGTH, parse
from regime_trading.core.commands.spec import CommandSpec, KeySpec
from regime_trading.core.commands.values import Type

FILE = Path(__file__).with_name("commands.json")
A = "account:alpha/main"
SET = f"/config set {A} "
UNTIL = f"/override rule {A} rule:CC-01 value:0.01x until:"
#: Text, and its normal form (None = the text itself).
GOOD: tuple[tuple[str, str | None], ...] = (
    ("/halt account account:alpha/main", None),
    ("/halt account:alpha/main", f"/halt account {A}"),
    ("/halt account:@alpha/main", f"/halt account {A}"),
    ("/halt account:main", "/halt account account:main"),
    ("   /halt    account:alpha/main   ", f"/halt account {A}"),
    ('/halt "account" account:alpha/main', f"/halt account {A}"),
    ("/halt firm", None),
    ("/halt firm firm:alpha", None),
    (f"/pause account {A}", f"/halt account {A}"),
    (f"/halt {A} reason:spread", f'/halt account {A} reason:"spread"'),
    (f'/halt {A} reason:"spread is wide, very"', f'/halt account {A} reason:"spread is wide, very"'),
    (f'/halt {A} reason:"a \\"b\\" c"', f'/halt account {A} reason:"a \\"b\\" c"'),
    (f'/halt {A} reason:"back\\\\slash"', f'/halt account {A} reason:"back\\\\slash"'),
    (f'/halt {A} reason:"ends in \\\\"', f'/halt account {A} reason:"ends in \\\\"'),
    (f'/halt {A} reason:"--json is no flag here"', f'/halt account {A} reason:"--json is no flag here"'),
    (f'/halt {A} reason:"key:value is no pair here"', f'/halt account {A} reason:"key:value is no pair here"'),
    (f'/halt {A} reason:"naïve – 数 😀"', f'/halt account {A} reason:"naïve – 数 😀"'),
    (f'/halt reason:"first" {A}', f'/halt account reason:"first" {A}'),
    (f"/kill {A} level:K2", f"/kill account {A} level:K2"),
    (f"/kill account {A} level:K3", None),
    (f'/kill {A} level:"K3"', f"/kill account {A} level:K3"),
    (f"/flatten {A}", f"/flatten account {A}"),
    (f"/flatten {A} max_slippage:50bp", f"/flatten account {A} max_slippage:0.005x"),
    (f"/flatten {A} max_slippage:0.5%", f"/flatten account {A} max_slippage:0.005x"),
    (f"/flatten {A} max_slippage:0.005x", f"/flatten account {A} max_slippage:0.005x"),
    (f"/resume {A}", f"/resume account {A}"),
    (f"/unlock account {A}", f"/resume account {A}"),
    ("/resume firm", None),
    ("/resume firm firm:alpha", None),
    ("/unlock firm firm:alpha", "/resume firm firm:alpha"),
    ("/enable live account:@np-crypto mode:gated until:2026-12-01",
     "/live enable account:np-crypto mode:gated until:2026-12-01"),
    (f"/live enable {A} mode:live until:2d", None),
    (f"/disable live {A}", f"/live disable {A}"),
    (f"/enable shadow {A}", f"/live shadow {A}"),
    (SET + "risk.gross:1.5x", None),
    (SET + "risk.gross:150%", SET + "risk.gross:1.5x"),
    (SET + "risk.gross:15000bp", SET + "risk.gross:1.5x"),
    (SET + "risk.gross:1.50x", SET + "risk.gross:1.5x"),
    (SET + "risk.gross:001.5x", SET + "risk.gross:1.5x"),
    (SET + "risk.gross:-0.00x", SET + "risk.gross:0x"),
    (SET + "risk.gross:100%", SET + "risk.gross:1x"),
    (SET + "risk.gross:0.000000000001%", SET + "risk.gross:0.00000000000001x"),
    (SET + "risk.gross:999999999999999x", None),
    (SET + "risk.floor:-2.5%", SET + "risk.floor:-0.025x"),
    (SET + "risk.loss:500usd", None),
    (SET + "risk.loss:500.50usd", SET + "risk.loss:500.5usd"),
    (SET + "risk.window:30m", None),
    (SET + "risk.window:030m", SET + "risk.window:30m"),
    (SET + "risk.day:2026-12-01", None),
    (SET + "risk.flat_by:15:45", None),
    (SET + "risk.flat_by:15:45:30", None),
    (SET + "rules.CC-01.enabled:true", None),
    (SET + "risk.symbols:SPY,QQQ,BRK.B", None),
    (SET + "risk.symbols:^GSPC,EURUSD=X", None),
    (SET + 'risk.note:"1.5"', None),
    (SET + "risk.gross:1.5x risk.net:50%", SET + "risk.gross:1.5x risk.net:0.5x"),
    (f"/set config {A} risk.gross:1x", SET + "risk.gross:1x"),
    (f"/config set risk.gross:1x {A}", f"/config set risk.gross:1x {A}"),
    (f"/config rollback {A} v:7", None),
    (f"/rollback config {A} v:007", f"/config rollback {A} v:7"),
    (f"/config diff {A} from:3 to:4 --json", None),
    (f"/diff config {A} from:3", f"/config diff {A} from:3"),
    (UNTIL + "4h", None),
    (UNTIL + "1w", None),
    (UNTIL + "2026-12-01T14:30Z", UNTIL + "2026-12-01T14:30:00Z"),
    (UNTIL + "2026-12-01T14:30:05Z", None),
    (UNTIL + "2028-02-29", None),
    ("/approve id:#rq-1", "/approve proposal id:rq-1"),
    ("/approve proposal id:rq-1", None),
    ('/reject id:rq-1 reason:"too large today"', '/reject proposal id:rq-1 reason:"too large today"'),
    (f"/ack {A} rule:LD-01", f"/ack breach {A} rule:LD-01"),
    (f"/ack breach {A} rule:LD-01 breach:#e-1", f"/ack breach {A} rule:LD-01 breach:e-1"),
    ("/cancel id:#run-1", "/cancel run id:run-1"),
    ("/stop run id:run-1", "/cancel run id:run-1"),
    ("/run regime symbol:SPY", None),
    ("/run regime symbol:SPY,QQQ --json --watch", None),
    ("/run backtest account:alpha/main,alpha/other from:2007-01-01 to:2009-12-31 seed:1", None),
    ("/run report id:run-20221228-856ab5e58574", None),
    ("/run report id:#bt-5fdcef203f5c8ee7", "/run report id:bt-5fdcef203f5c8ee7"),
    ("/run regime basket:us-core to:2026-12-01", None),
    ("/run scan basket:us-core", None),
    ("/show portfolio account:alpha/main --watch", None),
    ("/go overview", "/go /overview"),
    ("/go /overview", None),
    ("/go /runs/run-1", None),
    ("/go #run-1", None),
    ("/go @alpha/main", None),
    ('/go "portfolio"', "/go /portfolio"),
    ("/help", None),
    ("/help halt", None),
    ("/theme dark", None),
    ("/tz utc", None),
    ("/hide", "/hide amounts"),
)  # fmt: skip
#: Text, code, and where the caret goes.
BAD: tuple[tuple[str, str, int], ...] = (
    ("", "empty", 0),
    ("   ", "empty", 0),
    ("halt", "no_slash", 0),
    ("  halt", "no_slash", 2),
    ("\N{FULLWIDTH SOLIDUS}halt", "no_slash", 0),
    ("/" + "a" * MAX_LENGTH, "too_long", MAX_LENGTH),
    ("/halt\taccount:a/b", "bad_character", 5),
    ("/halt account:a/b\n", "bad_character", 17),
    ("/halt\N{NO-BREAK SPACE}account:a/b", "bad_character", 5),
    ('/halt account:a/b reason:"a\N{RIGHT-TO-LEFT OVERRIDE}b"', "bad_character", 27),
    ('/halt account:a/b reason:"a\N{ZERO WIDTH SPACE}b"', "bad_character", 27),
    ("/halt account:ａ/b", "bad_character", 14),
    ("/hält account:a/b", "bad_character", 2),
    ("/", "unknown_verb", 1),
    ("/h", "unknown_verb", 1),
    ("/ halt account:a/b", "unknown_verb", 1),
    ("//halt", "unknown_verb", 1),
    ("/HALT account:a/b", "unknown_verb", 1),
    ("  /hlat account:a/b", "unknown_verb", 3),
    ("/halt! account:a/b", "unknown_verb", 1),
    ("/halt:account", "unknown_verb", 1),
    ('/"halt"', "bad_quote", 1),
    ("/run", "missing_object", 4),
    ("/run symbol:SPY", "missing_object", 15),
    ("/go", "missing_object", 3),
    ("/theme", "missing_object", 6),
    ("/enable", "missing_object", 7),
    ("/run fast", "unknown_object", 5),
    ("/halt acount:a/b", "unknown_key", 6),
    ("/halt everything", "unknown_object", 6),
    ("/halt Account account:a/b", "unknown_object", 6),
    ("/enable paper", "unknown_object", 8),
    ("/go nowhere", "unknown_object", 4),
    ("/go /nowhere/1", "unknown_object", 4),
    ("/go /overview?x=1", "unknown_object", 4),
    ("/go https://example.com", "missing_object", 23),
    ("/go //overview", "unknown_object", 4),
    ("/help hlat", "unknown_object", 6),
    ("/theme blue", "unknown_object", 7),
    ("/help halt now", "loose_word", 11),
    ("/halt account account:a/b now", "loose_word", 26),
    ("/halt account now account:a/b", "loose_word", 14),
    ("/halt firm account", "loose_word", 11),
    ('/halt account "account:a/b"', "loose_word", 14),
    ("/halt account :a/b", "loose_word", 14),
    ("/halt account 1:a/b", "loose_word", 14),
    ("/halt account account :a/b", "loose_word", 14),
    ("/halt account:a/b account:a/b", "duplicate_key", 18),
    ("/halt account:a/b account:a/c", "duplicate_key", 18),
    (SET + "risk.gross:1x risk.gross:1x", "duplicate_key", 45),
    ("/halt account:a/b level:K3", "unknown_key", 18),
    ("/halt account:a/b Reason:x", "unknown_key", 18),
    (SET + "gross:1x", "unknown_key", 31),
    ("/halt", "missing_key", 5),
    ("/halt   ", "missing_key", 5),
    ("/halt account", "missing_key", 13),
    ("/kill account:a/b", "missing_key", 17),
    ("/config set account:a/b", "missing_key", 23),
    ('/config set account:a/b reason:"none"', "missing_key", 37),
    ("/reject id:rq-1", "missing_key", 15),
    ("/halt account:", "missing_value", 14),
    ("/halt account: a/b", "missing_value", 14),
    ('/halt account:a/b reason:""', "missing_value", 25),
    ('/halt account:a/b reason:"  "', "missing_value", 25),
    ("/run regime symbol:SPY,", "missing_value", 23),
    ("/run regime symbol:,SPY", "missing_value", 19),
    ("/run regime symbol:SPY,,QQQ", "missing_value", 23),
    ("/run regime symbol:SPY, QQQ", "missing_value", 23),
    ("/halt account:a/b,a/c", "too_many_values", 18),
    ("/halt account:a/b reason:wide,spread", "too_many_values", 30),
    ('/halt account:a/b reason:"open', "bad_quote", 25),
    ('/halt account:a/b reason:"open\\"', "bad_quote", 25),
    ('/halt account:a/b reason:"a\\n"', "bad_quote", 27),
    ('/halt account:a/b reason:"a"b', "bad_quote", 28),
    ('/halt account:a/b reason:it"s', "bad_quote", 27),
    ('/halt acc"ount', "bad_quote", 9),
    ("/halt account:a/b/c", "bad_value", 14),
    ("/halt account:A/B", "bad_value", 14),
    ("/halt account:#a/b", "bad_value", 14),
    ("/halt account:" + "a" * 41, "bad_value", 14),
    ("/approve id:@a/b", "bad_value", 12),
    ("/kill account:a/b level:K1", "bad_value", 24),
    ("/kill account:a/b level:k3", "bad_value", 24),
    ("/kill account:a/b level:K4", "bad_value", 24),
    ("/live enable account:a/b mode:full until:1d", "bad_value", 30),
    (SET + "risk.gross:1.5", "bad_unit", 45),
    (SET + "risk.gross:1.5X", "bad_unit", 45),
    (SET + "risk.gross:5k", "bad_unit", 43),
    (SET + "risk.gross:1.5bps", "bad_unit", 45),
    (SET + "risk.gross:1.5%%", "bad_unit", 45),
    (SET + "risk.gross:1.5eur", "bad_unit", 45),
    (f"/flatten {A} max_slippage:5usd", "bad_unit", 42),
    (f"/flatten {A} max_slippage:5", "bad_unit", 42),
    (SET + "risk.gross:1.5.0x", "bad_number", 42),
    (SET + "risk.gross:.5x", "bad_number", 42),
    (SET + "risk.gross:5.x", "bad_number", 42),
    (SET + "risk.gross:+5x", "bad_number", 42),
    (SET + "risk.gross:--5x", "bad_number", 42),
    (SET + "risk.gross:1e5x", "bad_number", 42),
    (SET + "risk.gross:1_000x", "bad_number", 42),
    (SET + "risk.gross:1234567890123456x", "bad_number", 42),
    (SET + "risk.gross:0.1234567890123x", "bad_number", 42),
    (f"/flatten {A} max_slippage:much", "bad_number", 41),
    ("/run backtest seed:-1", "bad_number", 19),
    ("/run backtest seed:1.0", "bad_number", 19),
    ("/config rollback account:a/b v:latest", "bad_number", 31),
    (UNTIL + "4", "bad_duration", len(UNTIL)),
    (UNTIL + "0h", "bad_duration", len(UNTIL)),
    (UNTIL + "4y", "bad_duration", len(UNTIL)),
    (UNTIL + "1.5h", "bad_duration", len(UNTIL)),
    (UNTIL + "367d", "bad_duration", len(UNTIL)),
    (UNTIL + "soon", "bad_duration", len(UNTIL)),
    (UNTIL + "2026-13-01", "bad_date", len(UNTIL)),
    (UNTIL + "2026-02-29", "bad_date", len(UNTIL)),
    (UNTIL + "2026-12-01T14:30", "bad_date", len(UNTIL)),
    (UNTIL + "2026-12-01T25:00Z", "bad_date", len(UNTIL)),
    (UNTIL + "2026-12-01T14:30+01:00", "bad_date", len(UNTIL)),
    (UNTIL + "1969-12-31", "bad_date", len(UNTIL)),
    (UNTIL + "2262-01-01", "bad_date", len(UNTIL)),
    ("/run backtest from:yesterday", "bad_date", 19),
    ("/run backtest from:2026-1-1", "bad_date", 19),
    (SET + "risk.day:2026-99-99", "bad_date", 40),
    ("/run regime seed:1", "unknown_key", 12),
    ("/run report", "missing_key", 11),
    ("/run regime --fast", "unknown_flag", 12),
    ("/run regime --", "unknown_flag", 12),
    ("/run regime --JSON", "unknown_flag", 12),
    ("/halt account:a/b --json", "unknown_flag", 18),
    ("/run regime --json --json", "duplicate_flag", 19),
    ("/run regime --json symbol:SPY", "pair_after_flag", 19),
    ("/run regime --json now", "loose_word", 19),
    ('/run regime --json "now"', "loose_word", 19),
    # code points, not UTF-16 units: two characters outside the basic plane before the fault
    ('/halt account:a/b reason:"😀😀" now', "loose_word", 30),
    ('/halt account:a/b reason:"😀" level:K3', "unknown_key", 29),
)  # fmt: skip
_SAMPLES = {
    Type.TEXT: '"of a test"',
    Type.WORD: "CC-01",
    Type.ACCOUNT: "alpha/main",
    Type.FIRM: "alpha",
    Type.ID: "rq-1",
    Type.LIMIT: "0.5x",
    Type.SHARE: "0.005x",
    Type.WHOLE: "3",
    Type.DATE: "2026-12-01",
    Type.UNTIL: "4h",
}


def sample(key: KeySpec) -> str:
    """A legal pair of a key, in its normal form."""
    return f"{key.name}:{key.choices[0] if key.choices else _SAMPLES[key.type]}"


def least(spec: CommandSpec, *, every: bool = False, without: str = "") -> str:
    """A command with the keys it needs (or all it knows), in its normal form."""
    noun = {"route": "/overview", "verb": "halt"}.get(spec.takes.source, "") if spec.takes else spec.object
    noun = noun or (spec.takes.choices[0] if spec.takes else "")
    pairs = [sample(key) for key in spec.keys if (key.required or every) and key.name != without]
    open_ = ["risk.gross:0.5x"] if spec.open_keys else []
    flags = [f"--{flag}" for flag in spec.flags] if every else []
    return " ".join([f"/{spec.verb} {noun}".rstrip(), *pairs, *open_, *flags])


def by_table() -> Iterator[dict[str, Any]]:
    """Of every command: with what it needs, with all it knows, and without each of the keys it needs."""
    for spec in CATALOGUE:
        for text in dict.fromkeys((least(spec), least(spec, every=True))):
            yield {"text": text, "normal": text, "command": parse(text).plain()}
        for key in spec.keys:
            if key.required:
                text = least(spec, without=key.name)
                yield {"text": text, "error": {"code": "missing_key", "at": len(text)}}


def vectors() -> list[dict[str, Any]]:
    """Every case once."""
    found = [
        {"text": text, "normal": normal or text, "command": parse(text).plain()} for text, normal in GOOD
    ]
    found += [{"text": text, "error": {"code": code, "at": at}} for text, code, at in BAD]
    found += by_table()
    return list({case["text"]: case for case in reversed(found)}.values())[::-1]


def told(text: str) -> dict[str, Any]:
    """What the parser of the server says."""
    try:
        command = parse(text)
    except ParseError as error:
        return {"text": text, "error": {"code": error.fault.code.value, "at": error.fault.at}}
    return {"text": text, "normal": command.render(), "command": command.plain()}


def write() -> None:
    """Write the file again."""
    lines = ",\n".join(json.dumps(case, ensure_ascii=True, sort_keys=True) for case in vectors())
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
