"""One connection of the live channel and the tail it reads from, without sockets, databases or time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.access import MATRIX, Caller, Grant, Permission, Principal, Role
from regime_trading.core.messages import (
    AuditData,
    BreachData,
    ConfigData,
    Data,
    ModeData,
    Numbered,
    ResyncData,
    RunLogData,
)
from regime_trading.core.wire import FRAME_BYTES, ServerFrame
from regime_trading.services import stream_tail
from regime_trading.services.stream import HEARTBEAT_NS, PERMISSION, Close, Connection, Limits
from regime_trading.services.stream_tail import Ring, Tail, Told

LINE = RunLogData(job_id="j", line="epoch 3")
BREACH = BreachData(breach_id="b", rule_id="LD-01", value="1", limit="2", rationale="LD-01 lost 5.")
MODE = ModeData(mode="shadow", trading_state=None, kill_level=None)
ENTRY = AuditData(chain_id="shadow/alpha/a", seq=1, event_type="FILL", rationale="2 fills.")
CONFIG = ConfigData(version=1, config_hash="", loaded=True)
BULK = ResyncData(reason="bulk")


def told(seq: int, data: Data = LINE, account: str = "alpha/a") -> Told:
    return Told(Numbered("alpha", seq, 7, data.type, account, data.model_dump_json()))


def ring(n: int, data: Data = LINE, account: str = "alpha/a", first: int = 1) -> Ring:
    return Ring("alpha", first, [told(first + i, data, account) for i in range(n)])


def person(*grants: Grant, **more: Any) -> Principal:
    return Principal("u1", grants, second_factor=True, session_id="s1", **more)


WHOLE = person(Grant("alpha", Role.PM))
OF_A = person(Grant("alpha", Role.ANALYST, frozenset({"alpha/a"})))


def asking(*wanted: tuple[str, str], firm: str = "alpha", after: int | None = None) -> str:
    topics = [{"topic": topic, "account": account} for topic, account in wanted or [("*", "")]]
    return json.dumps({"v": 1, "firm": firm, "subscribe": topics, "after": after})


def connected(
    principal: Principal = WHOLE, at: Ring | None = None, frame: str = "", **limits: int
) -> Connection:
    one = Connection(lambda: principal, 0, Limits(**limits))
    one.receive(frame or asking(), 0)
    if at is not None:
        one.begin(at, 0)
    return one


def sent(one: Connection, at: Ring, tick_ns: int = 0, **more: Any) -> list[dict[str, Any]]:
    frames = one.take(at, tick_ns, 9, **more)
    for frame in frames:
        ServerFrame.validate_json(frame)
    return [json.loads(frame) for frame in frames]


def heard(frames: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
    return [(frame["seq"], frame["type"]) for frame in frames]


# --- asking ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        ("", Close.BAD_FRAME),
        ("[]", Close.BAD_FRAME),
        (asking().replace('"v": 1', '"v": 2'), Close.BAD_FRAME),
        (asking().replace("*", "nothing"), Close.BAD_FRAME),
        (asking().replace("after", "since"), Close.BAD_FRAME),
        (asking(after=-1), Close.BAD_FRAME),
        (asking(("*", "alpha")), Close.BAD_FRAME),
        (asking(firm="../x"), Close.BAD_FRAME),
        (asking(*[("*", "")] * 65), Close.BAD_FRAME),
        (asking().encode(), Close.BAD_FRAME),
        ("x" * (FRAME_BYTES + 1), Close.TOO_LARGE),
        ("é" * (FRAME_BYTES // 2 + 1), Close.TOO_LARGE),
        (asking(firm="beta"), Close.UNKNOWN),
        (asking(firm="nobody"), Close.UNKNOWN),
        (asking(("*", "beta/a")), Close.UNKNOWN),
        (asking(("*", "alpha/a"), ("*", "alpha/b")), Close.UNKNOWN),
    ],
)
def test_whatever_is_wrong_ends_the_connection(frame: str | bytes, why: Close) -> None:
    one = Connection(lambda: OF_A, 0)
    one.receive(frame, 0)
    assert (one.closing, one.firm_id) == (why, None)
    assert one.take(ring(3), 10 * HEARTBEAT_NS, 0) == []


def test_a_role_without_its_second_factor_hears_nothing() -> None:
    one = Connection(lambda: replace(WHOLE, second_factor=False), 0)
    one.receive(asking(), 0)
    assert one.closing is Close.NO_ROLE
    token = replace(WHOLE, caller=Caller.TOKEN, permissions=frozenset({Permission.RUN}))
    other = Connection(lambda: token, 0)
    other.receive(asking(), 0)
    assert other.closing is Close.NO_ROLE


def test_more_than_ten_frames_a_second_end_it() -> None:
    one = Connection(lambda: WHOLE, 0)
    for n in range(25):
        one.receive(asking(), n * 100_000_000)
    assert one.closing is None
    one.receive(asking(), 2_499_999_999)
    assert one.closing is Close.TOO_FAST


def test_who_asks_for_nothing_is_not_kept() -> None:
    one, other = Connection(lambda: WHOLE, 0), connected()
    for tick_ns in (0, 10_000_000_000, 10_000_000_001):
        assert one.closing is None
        one.tick(tick_ns)
        other.tick(tick_ns)
    assert (one.closing, other.closing) == (Close.NOTHING_ASKED, None)


# --- resuming -------------------------------------------------------------------------------------------------


def test_without_a_number_it_begins_with_what_comes_next_and_with_one_after_it() -> None:
    at = ring(5)
    assert heard(sent(connected(at=at), at)) == [(5, "hb")]
    resumed = connected(at=at, frame=asking(after=3))
    assert heard(sent(resumed, at)) == [(4, "run.log"), (5, "run.log"), (5, "hb")]
    at.add([told(6)])
    frames = sent(resumed, at)
    assert heard(frames) == [(6, "run.log")]
    assert frames[0]["n"] == 4
    assert frames[0] == {
        "v": 1, "n": 4, "seq": 6, "ts": "7", "type": "run.log", "firm": "alpha", "account": "alpha/a",
        "data": LINE.model_dump(),
    }  # fmt: skip


@pytest.mark.parametrize("after", [3, 4, 11])
def test_a_number_that_is_no_longer_kept_or_not_yet_given_is_a_resync(after: int) -> None:
    at = ring(5, first=6)
    one = connected(at=at, frame=asking(after=after))
    frames = sent(one, at)
    assert heard(frames) == [(10, "resync"), (10, "hb")]
    assert frames[0]["data"] == {"reason": "behind"}
    at.add([told(11)])
    assert heard(sent(one, at)) == [(11, "run.log")]
    at = ring(5, first=6)
    edge = connected(at=at, frame=asking(after=5))
    assert [frame["seq"] for frame in sent(edge, at)] == [6, 7, 8, 9, 10, 10]


def test_resuming_is_not_slowness() -> None:
    at = ring(50)
    one = connected(at=at, frame=asking(after=0), waiting=10)
    frames = list(itertools.chain.from_iterable(sent(one, at, most=7) for _ in range(9)))
    assert [frame["seq"] for frame in frames if frame["type"] == "run.log"] == list(range(1, 51))
    assert all(frame["type"] != "resync" for frame in frames)


def test_a_slow_reader_is_told_and_still_hears_what_is_urgent() -> None:
    at = ring(1)
    one = connected(at=at, waiting=10)
    sent(one, at)
    at.add([told(seq, MODE if seq % 5 == 0 else LINE) for seq in range(2, 22)])
    assert one.is_due(at, 0)
    frames = sent(one, at)
    assert heard(frames) == [(1, "resync"), *((seq, "mode.update") for seq in (5, 10, 15, 20))]
    assert frames[0]["data"] == {"reason": "slow"}
    at.add([told(22)])
    assert heard(sent(one, at)) == [(22, "run.log")]


def test_what_waits_is_what_one_may_hear() -> None:
    at = ring(1)
    one = connected(OF_A, at, waiting=10)
    sent(one, at)
    at.add([told(seq, account="alpha/b") for seq in range(2, 40)] + [told(40)])
    assert heard(sent(one, at)) == [(40, "run.log")]


def test_asking_again_replaces_what_was_asked() -> None:
    at = ring(3)
    one = connected(at=at, frame=asking(("run.log", ""), after=1))
    assert len(sent(one, at)) == 3
    one.receive(asking(("mode.update", ""), after=0), 1)
    assert one.take(at, 1, 0) == [] and one.awaits is not None
    at.add([told(4, MODE)])
    one.begin(at, 1)
    frames = sent(one, at, 1)
    assert (heard(frames), frames[0]["n"]) == ([(4, "mode.update"), (4, "hb")], 4)


def test_heartbeats_come_every_five_seconds_while_the_store_can_be_read() -> None:
    at = ring(2)
    one = connected(OF_A, at)
    assert heard(sent(one, at, 0)) == [(2, "hb")]
    assert not one.is_due(at, HEARTBEAT_NS - 1) and sent(one, at, HEARTBEAT_NS - 1) == []
    at.add([told(3, account="alpha/b")])
    assert not one.is_due(at, HEARTBEAT_NS, alive=False)
    assert sent(one, at, HEARTBEAT_NS, alive=False) == []
    assert one.is_due(at, HEARTBEAT_NS)
    assert heard(sent(one, at, HEARTBEAT_NS)) == [(3, "hb")], "its number moves on over what is not heard"


# --- who hears what -------------------------------------------------------------------------------------------

VIEWER = person(Grant("alpha", Role.VIEWER))
VIEWER_OF_A = person(Grant("alpha", Role.VIEWER, frozenset({"alpha/a"})))


@pytest.mark.parametrize(
    ("principal", "data", "account", "hears"),
    [
        (OF_A, LINE, "alpha/a", True),
        (OF_A, LINE, "alpha/b", False),
        (OF_A, LINE, "", True),
        (OF_A, ENTRY, "alpha/a", True),
        (OF_A, ENTRY, "", False),
        (OF_A, CONFIG, "alpha/b", False),
        (OF_A, BULK, "", True),
        (WHOLE, ENTRY, "", True),
        (WHOLE, CONFIG, "alpha/b", True),
        (VIEWER, LINE, "alpha/b", True),
        (VIEWER, ENTRY, "alpha/a", False),
        (VIEWER, CONFIG, "alpha/a", False),
        (VIEWER_OF_A, MODE, "", True),
        (replace(WHOLE, permissions=frozenset({Permission.READ})), ENTRY, "alpha/a", False),
        (replace(WHOLE, permissions=frozenset({Permission.READ})), LINE, "alpha/a", True),
    ],
)
def test_each_message_is_judged_by_its_account(
    principal: Principal, data: Data, account: str, hears: bool
) -> None:
    at = ring(1, data, account)
    one = connected(principal, at, asking(after=0))
    assert one.is_due(at, -1) is hears or one.is_due(at, -1, alive=False) is hears
    assert (heard(sent(one, at))[0] == (1, data.type)) is hears


@pytest.mark.parametrize(
    ("wanted", "data", "account", "hears"),
    [
        (("run.log", ""), LINE, "alpha/b", True),
        (("mode.update", ""), LINE, "alpha/b", False),
        (("*", "alpha/a"), LINE, "alpha/b", False),
        (("mode.update", "alpha/a"), MODE, "", True),
        (("mode.update", "alpha/a"), BULK, "", True),
    ],
)
def test_only_what_was_asked_for_is_heard(
    wanted: tuple[str, str], data: Data, account: str, hears: bool
) -> None:
    at = ring(1, data, account)
    assert (len(sent(connected(at=at, frame=asking(wanted, after=0)), at)) == 2) is hears


def test_amounts_are_left_out_where_they_are_not_shown() -> None:
    redacted = Grant("alpha", Role.ANALYST, redact=True)
    at = ring(1, BREACH)
    hidden, shown = (sent(connected(person(*g), at, asking(after=0)), at)[0]["data"] for g in (
        (redacted,), (redacted, Grant("alpha", Role.VIEWER, frozenset({"alpha/a"})))
    ))  # fmt: skip
    assert (hidden["value"], hidden["limit"], hidden["rationale"]) == (None, None, "LD-01 lost ….")  # fmt: skip
    assert (shown["value"], shown["rationale"]) == ("1", "LD-01 lost 5.")
    firm = ring(1, LINE, "")
    assert sent(connected(person(redacted), firm, asking(after=0)), firm)[0]["data"]["line"] == "epoch …"


def test_rights_are_read_anew_and_an_ended_session_hears_nothing_more() -> None:
    at, who = ring(1), {"now": WHOLE}
    one = Connection(lambda: who["now"], 0)
    one.receive(asking(after=0), 0)
    one.begin(at, 0)
    assert len(sent(one, at)) == 2
    who["now"] = OF_A
    at.add([told(2, account="alpha/b"), told(3)])
    assert heard(sent(one, at)) == [(3, "run.log")]
    who["now"] = None  # type: ignore[assignment]
    at.add([told(4)])
    assert one.is_due(at, 0)
    assert (sent(one, at), one.closing) == ([], Close.SESSION_ENDED)


def test_no_message_takes_a_fresh_proof_of_identity() -> None:
    assert not any(MATRIX[permission].step_up for permission in (*PERMISSION.values(), Permission.READ))


SAID = st.tuples(st.sampled_from([LINE, MODE, ENTRY]), st.sampled_from(["alpha/a", "alpha/b", ""]))
STEPS = st.lists(st.one_of(st.lists(SAID, max_size=12), st.integers(1, 9)), max_size=30)


@settings(max_examples=150)
@given(STEPS, st.integers(0, 4), st.sampled_from([WHOLE, OF_A, VIEWER]))
def test_nothing_is_lost_in_silence(steps: list[Any], after: int, principal: Principal) -> None:
    """However slowly it is read: every message one may hear came, or a ``resync`` came before where it would have;
    what is urgent came in any case; ``n`` has no gaps, ``seq`` never goes back."""
    at, everything = ring(4), [told(seq) for seq in range(1, 5)]
    one = connected(principal, at, asking(after=after), waiting=6)
    frames: list[dict[str, Any]] = []
    for step in [*steps, 10_000]:
        if isinstance(step, int):
            frames += sent(one, at, most=step)
        else:
            new = [told(at.last + 1 + i, data, account) for i, (data, account) in enumerate(step)]
            everything += new
            at.add(new)
    assert [frame["n"] for frame in frames] == list(range(1, len(frames) + 1))
    assert [frame["seq"] for frame in frames] == sorted(frame["seq"] for frame in frames)
    came = [frame["seq"] for frame in frames if frame["type"] not in ("hb", "resync")]
    assert len(came) == len(set(came))
    resyncs = [frame["seq"] for frame in frames if frame["type"] == "resync"]
    hears = connected(principal, at, asking(after=0))
    hears._judge()
    for message in everything[after:]:
        if hears._text(message) is None:
            assert message.seq not in came
        elif message.seq not in came:
            assert not message.urgent and any(seq < message.seq for seq in resyncs)


# --- the tail -------------------------------------------------------------------------------------------------


class Store:
    """Messages of firms in memory, with the questions that were asked."""

    def __init__(self, **heads: int) -> None:
        self.last, self.first, self.asked = dict(heads), dict.fromkeys(heads, 1), 0

    def heads(self, firms: Sequence[str]) -> dict[str, int]:
        self.asked += 1
        return {firm: self.last[firm] for firm in firms if firm in self.last}

    def messages(self, firm: str) -> Any:
        store = self

        class Messages:
            def after(self, seq: int, limit: int = 1_000) -> tuple[Numbered, ...]:
                start = max(seq + 1, store.first.get(firm, 1))
                stop = min(store.last.get(firm, 0), start + limit - 1)
                return tuple(
                    Numbered(firm, n, n, LINE.type, "", LINE.model_dump_json())
                    for n in range(start, stop + 1)
                )

        return Messages()


def look(tail: Tail, **wanted: int | None) -> frozenset[str]:
    return tail.apply(tail.read(wanted), wanted)


def span(tail: Tail, firm: str) -> tuple[int, int]:
    found = tail.ring(firm)
    assert found is not None
    assert [found[seq].seq for seq in range(found.first, found.last + 1)] == list(
        range(found.first, found.last + 1)
    )
    return found.first, found.last


def test_the_tail_reads_as_far_back_as_somebody_resumes_and_then_on() -> None:
    store = Store(alpha=2_500, beta=3)
    tail = Tail(store.heads, store.messages)
    look(tail, alpha=None, beta=1, nobody=5)
    assert (span(tail, "alpha"), span(tail, "beta"), span(tail, "nobody")) == ((2_501, 2_500), (2, 3), (1, 0))
    look(tail, alpha=0, beta=None)
    assert (span(tail, "alpha"), tail.ring("nobody")) == ((1, 2_500), None)
    before = tail.ring("alpha")
    store.last["alpha"] += 2_001
    assert look(tail, alpha=2_000, beta=None) == {"alpha"}
    assert (span(tail, "alpha"), tail.ring("alpha")) == ((1, 4_501), before)


def test_the_ring_is_bounded_and_begins_anew_where_reading_on_makes_no_sense(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_tail, "RING", 100)
    store = Store(alpha=1_000)
    tail = Tail(store.heads, store.messages)
    look(tail, alpha=0)
    assert span(tail, "alpha") == (901, 1_000)
    for _ in range(50):
        store.last["alpha"] += 7
        look(tail, alpha=None)
    first, last = span(tail, "alpha")
    assert last == 1_350 and 100 <= last - first + 1 <= 110
    store.last["alpha"] += 5_000
    look(tail, alpha=None)
    assert span(tail, "alpha") == (6_351, 6_350), "much came at once: whoever listened is behind"
    store.last["alpha"], store.first["alpha"] = 6_400, 6_390
    look(tail, alpha=None)
    assert span(tail, "alpha") == (6_390, 6_400), "dropped before it was read"
    store.last["alpha"] = 10
    look(tail, alpha=None)
    assert span(tail, "alpha") == (11, 10), "another database"


def test_a_look_is_one_question_whatever_the_number_of_firms() -> None:
    store = Store(alpha=1, beta=1, gamma=1)
    tail = Tail(store.heads, store.messages)
    look(tail, alpha=None, beta=None, gamma=None)
    asked = store.asked
    for _ in range(9):
        look(tail, alpha=None, beta=None, gamma=None)
    assert store.asked == asked + 9
