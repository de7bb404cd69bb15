"""Raw consolidated tape of US equities (TAQ): the quotes of every venue, and trades with their sale conditions.

Quotes ``ts_event, ex, bid, bidsiz, ofr, ofrsiz`` and trades ``ts_event, ex, size, price``, optionally ``cond`` and
``corr``; an optional ``symbol`` column may hold several.

The best bid and offer are those of the latest quotes of all venues. A venue takes no part

- after an invalid quote (a price or size ≤ 0, or bid > offer), until its next good one;
- when its quote is older than ``STALE_NS``;
- when a later quote of another venue locks or crosses it, until its next one: venues must not lock or cross each
  other's displayed quotes (SEC Rule 610(d)), so the older of the two no longer stands.

Without the last rule a consolidated tape with gaps is locked or crossed most of the time; with it the mean spread
no longer depends on the age limit (a raw two-day sample: 2.6, 2.5 and 2.5 cents at 30, 60 and 300 seconds,
against 2.1, 1.9 and 1.8 cents and 40 to 58 % of the states locked or crossed without it).
The size at the best price is the sum over the venues there. Quote sizes are in round lots.

Rows that never become a state are counted: ``venue_non_positive``, ``venue_one_sided``, ``venue_crossed``, then
``outside_session`` (before the opening or after the close of XNYS). A quote from outside the session is still the
latest one of its venue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numba as nb
import numpy as np
import pyarrow.compute as pc

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.tape.block import Block, pick
from regime_trading.adapters.tape.columns import chosen_symbol, parts_of
from regime_trading.adapters.tape.ordering import Survey, survey
from regime_trading.adapters.tape.source import Counts, Facts, Refine, leave_out
from regime_trading.adapters.tape.table import TIME, Part, Table, integers, numbers, texts, times_ns
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8, I8

CALENDAR = "XNYS"
ROUND_LOT = 100
STALE_NS = 60 * 10**9
QUOTES = (TIME, "ex", "bid", "bidsiz", "ofr", "ofrsiz")
TRADES = (TIME, "ex", "size", "price")
_VENUES = 128
_MINUTE_NS = 60 * 10**9

#: Sale conditions of continuous trading at the market: regular, automatic, intermarket sweep, odd lot, split.
REGULAR = "@ EFIS"
#: All others by why their price is none of the continuous market at that moment. Letters as in the trade
#: specifications of the CTA (Consolidated Tape System) and UTP plans.
CONDITIONS = {
    "auction": "OQM56X89",  # opening, official open and close, reopening, closing, cross, corrected close
    "extended_hours": "TU",  # form T; extended hours, sold out of sequence
    "out_of_sequence": "ZLGP",  # sold, sold last, bunched sold, prior reference price
    "other_price": "BW4V7HCNRADK1Y",  # average, derivative, contingent, variation; cash, next day, seller; …
}
_REASON = {letter: reason for reason, codes in CONDITIONS.items() for letter in codes}


def has_taq_quotes(names: Sequence[str]) -> bool:
    """Whether the columns are venue quotes."""
    return {"ex", "bid", "ofr"} <= set(names)


def has_taq_trades(names: Sequence[str]) -> bool:
    """Whether the columns are consolidated trades."""
    return {"ex", "price", "size"} <= set(names) and bool({"cond", "corr"} & set(names))


# --- quotes -----------------------------------------------------------------------------------------------


class TaqQuotes:
    """The consolidated best bid and offer from the quotes of every venue.

    Parameters
    ----------
    table : Table
    symbol : str or None
    lot_size : int
        Shares in one unit of quoted size.
    """

    def __init__(self, table: Table, symbol: str | None, *, lot_size: int = ROUND_LOT) -> None:
        if lot_size < 1:
            raise BadInput(expected="a lot of 1 share or more", found=str(lot_size), where="lot_size")
        table.require(QUOTES)
        self._table, self._lot = table, lot_size
        self._symbol, named = chosen_symbol(table, symbol)
        self.survey: Survey = survey(self._times(), table.path)
        self._sessions = _Sessions(self.survey)
        self.facts = Facts(
            symbol=self._symbol,
            named=named,
            format="taq",
            levels=1,
            has_trades=False,
            has_aggressor=False,
            calendar=CALENDAR,
            paths=(table.path,),
            notes=(
                f"quoted sizes are read as lots of {lot_size} shares",
                f"best bid and offer over venues whose quote is at most {STALE_NS // 10**9} s old and not locked "
                "or crossed by a later one",
            ),
        )

    def _times(self) -> Iterator[tuple[I8, bool, bool]]:
        for part in parts_of(self._table, [TIME], self._symbol):
            yield times_ns(part), True, False

    def blocks(self) -> Iterator[Block]:
        for part in parts_of(self._table, QUOTES, self._symbol):
            yield {
                "ts": times_ns(part),
                "venue": _venues(part),
                "bid_px_00": numbers(part, "bid"),
                "ask_px_00": numbers(part, "ofr"),
                "bid_sz_00": numbers(part, "bidsiz"),
                "ask_sz_00": numbers(part, "ofrsiz"),
            }

    def refiner(self, counts: Counts) -> Refine:
        board = np.zeros((_VENUES, 4))
        since = np.full(_VENUES, np.iinfo(np.int64).min)
        good = np.zeros(_VENUES, dtype=np.bool_)

        def refine(block: Block) -> Block:
            quotes = np.column_stack([block[n] for n in ("bid_px_00", "ask_px_00", "bid_sz_00", "ask_sz_00")])
            reason = _reasons(quotes)
            best = _consolidated(
                block["ts"], block["venue"], quotes, reason == 0, board, since, good, STALE_NS
            )
            outside = (reason == 0) & ~self._sessions.inside(block["ts"])
            leave_out(counts.removed, "outside_session", outside)
            for code, name in enumerate(("venue_non_positive", "venue_one_sided", "venue_crossed"), start=1):
                leave_out(counts.removed, name, reason == code)
            kept = (reason == 0) & ~outside
            state = {
                "bid_px_00": best[:, 0],
                "ask_px_00": best[:, 1],
                "bid_sz_00": best[:, 2] * self._lot,
                "ask_sz_00": best[:, 3] * self._lot,
            }
            return pick({"ts": block["ts"], **state}, kept)

        return refine


def _venues(part: Part) -> I8:
    """The code of a venue is its letter."""
    column = texts(part, "ex")
    good = pc.match_substring_regex(column, "^[A-Za-z0-9]$").fill_null(False)
    part.refuse_first(
        ~good.to_numpy(zero_copy_only=False), "ex", expected="one letter or digit, the venue of the quote"
    )
    return column.to_numpy(zero_copy_only=False).astype("S1").view(np.uint8).astype(np.int64)


def _reasons(quotes: F8) -> I8:
    """0 for a good quote of one venue, else the first class that applies: 1 no price on either side or a
    negative size, 2 one side missing or zero-sized, 3 bid above offer."""
    bid, ask, bid_size, ask_size = quotes.T
    with np.errstate(invalid="ignore"):
        no_bid, no_ask = ~((bid > 0) & np.isfinite(bid)), ~((ask > 0) & np.isfinite(ask))
        non_positive = (no_bid & no_ask) | (bid_size < 0) | (ask_size < 0)
        one_sided = no_bid | no_ask | ~(bid_size > 0) | ~(ask_size > 0)
        return np.select([non_positive, one_sided, bid > ask], [1, 2, 3], 0)


@nb.njit(cache=True)  # type: ignore[misc, unused-ignore]
def _consolidated(
    ts: I8, venue: I8, quotes: F8, valid: B1, board: F8, since: I8, good: B1, stale_ns: int
) -> F8:
    """Best bid and offer after each valid row; ``board``, ``since`` and ``good`` carry on to the next rows."""
    best = np.full(quotes.shape, np.nan)
    for i in range(ts.size):
        own = venue[i]
        good[own] = valid[i]
        if not valid[i]:
            continue
        board[own] = quotes[i]
        since[own] = ts[i]
        bid, ask = quotes[i, 0], quotes[i, 1]
        for other in range(good.size):
            if good[other] and other != own and (board[other, 0] >= ask or board[other, 1] <= bid):
                good[other] = False
        bid_size, ask_size = quotes[i, 2], quotes[i, 3]
        for other in range(good.size):
            if other == own or not good[other] or since[other] < ts[i] - stale_ns:
                continue
            if board[other, 0] > bid:
                bid, bid_size = board[other, 0], board[other, 2]
            elif board[other, 0] == bid:
                bid_size += board[other, 2]
            if board[other, 1] < ask:
                ask, ask_size = board[other, 1], board[other, 3]
            elif board[other, 1] == ask:
                ask_size += board[other, 3]
        best[i, 0], best[i, 1], best[i, 2], best[i, 3] = bid, ask, bid_size, ask_size
    return best


class _Sessions:
    """Trading hours of the exchange, half days and changes of clock included."""

    def __init__(self, seen: Survey) -> None:
        calendar = ExchangeCalendar(CALENDAR)
        calendar.require_inside(seen.first_ns, seen.last_ns)
        grid = calendar.grid(_MINUTE_NS)
        self._opens, self._closes = grid.opens_ns, grid.closes_ns

    def inside(self, ts_ns: I8) -> B1:
        """opening ≤ ts ≤ close."""
        at = np.minimum(np.searchsorted(self._closes, ts_ns, side="left"), self._closes.size - 1)
        return (self._opens[at] <= ts_ns) & (ts_ns <= self._closes[at])


# --- trades -----------------------------------------------------------------------------------------------


class TaqTrades:
    """Consolidated trades. A correction (``corr`` other than 0) or a trade without a positive price and size is
    left out; a print that is none of the continuous market stays, marked as such."""

    def __init__(self, table: Table, symbol: str | None) -> None:
        table.require(TRADES)
        self._table = table
        self._symbol, named = chosen_symbol(table, symbol)
        self._optional = [n for n in ("cond", "corr") if n in table.names]
        self._marked: Counter[str] = Counter()
        self.survey: Survey = survey(self._times(), table.path)
        self._sessions = _Sessions(self.survey)
        self._count_marked()
        marked = ", ".join(f"{name} {count}" for name, count in sorted(self._marked.items()))
        self.facts = Facts(
            symbol=self._symbol,
            named=named,
            format="taq",
            levels=0,
            has_trades=True,
            has_aggressor=False,
            calendar=CALENDAR,
            paths=(table.path,),
            notes=(f"trades in no measure of continuous trading: {marked}",) if marked else (),
        )

    def _times(self) -> Iterator[tuple[I8, bool, bool]]:
        for part in parts_of(self._table, [TIME], self._symbol):
            yield times_ns(part), False, True

    def _count_marked(self) -> None:
        names = [TIME, *(n for n in self._optional if n == "cond")]
        for part in parts_of(self._table, names, self._symbol):
            self._marked.update(self._excluded(part)[1])

    def _excluded(self, part: Part) -> tuple[B1, Counter[str]]:
        """Prints of no continuous trading, each counted under its first reason."""
        outside = ~self._sessions.inside(times_ns(part))
        counted: Counter[str] = Counter()
        excluded = np.zeros(len(part), dtype=np.bool_)
        if "cond" in self._optional:
            texts_, code = _coded(part)
            reasons = [reason_of(text) for text in texts_]
            for name in sorted({r for r in reasons if r is not None}):
                rows = np.array([r == name for r in reasons], dtype=np.bool_)[code]
                leave_out(counted, name, rows)
                excluded |= rows
        leave_out(counted, "outside_session", outside & ~excluded)
        return excluded | outside, counted

    def blocks(self) -> Iterator[Block]:
        for part in parts_of(self._table, [*TRADES, *self._optional], self._symbol):
            every = np.ones(len(part), dtype=np.bool_)
            corrected = integers(part, "corr") != 0 if "corr" in self._optional else ~every
            yield {
                "ts": times_ns(part),
                "price": numbers(part, "price"),
                "size": numbers(part, "size"),
                "aggressor": np.zeros(len(part), dtype=np.int8),
                "visible": every,
                "continuous": ~self._excluded(part)[0],
                "corrected": corrected,
            }

    def refiner(self, counts: Counts) -> Refine:
        def refine(block: Block) -> Block:
            price, size = block["price"], block["size"]
            with np.errstate(invalid="ignore"):
                sound = (price > 0) & (size > 0) & np.isfinite(price) & np.isfinite(size)
            leave_out(counts.trades_removed, "corrected", block["corrected"])
            leave_out(counts.trades_removed, "non_positive", ~sound & ~block["corrected"])
            return pick(block, sound & ~block["corrected"])

        return refine


def reason_of(conditions: str) -> str | None:
    """Why a print with these sale conditions is none of continuous trading; None where it is one.

    A condition that is not known is a reason too.
    """
    for name in CONDITIONS:
        if any(_REASON.get(letter) == name for letter in conditions):
            return name
    return (
        "unknown_condition"
        if any(letter not in REGULAR for letter in conditions if letter not in _REASON)
        else None
    )


def _coded(part: Part) -> tuple[list[str], Any]:
    """Distinct sale conditions, and which of them each row has."""
    encoded = texts(part, "cond").fill_null("").dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
