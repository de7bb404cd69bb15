"""Stored inputs: what is read back is what was decided from, to the bit, whatever rolled, repeated or was missing."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.properties.budget import LEAST, examples
from tests.properties.scenes import assert_same_rows, run, scenes
from tests.unit.guards.scenarios import ANNUAL, Scene, scene

from regime_trading.core.decision_inputs import InputBlock, Lists
from regime_trading.core.errors import BadInput
from regime_trading.core.rules import LATCHING_RULES
from regime_trading.engine.cycle_inputs import CycleInputs, join_key, joined, of_firm
from regime_trading.engine.inputs import InputBuffer, cycles_of, input_block
from regime_trading.engine.record import Identity, decision_hashes, market_hash
from regime_trading.guards.chain import decide
from regime_trading.guards.snapshot import View

FEW = settings(examples(), max_examples=LEAST // 10)  # a scene is large, and one tries every column


def named(view: View, firms: tuple[str, ...] = ("north",)) -> View:
    """The view with accounts of the given firms, in turn."""
    accounts = tuple(f"{firms[i % len(firms)]}/a{i}" for i in range(view.n_accounts))
    firm = np.array([i % len(firms) for i in range(view.n_accounts)], dtype=np.int64)
    return replace(view, books=replace(view.books, accounts=accounts, firm=firm))


def seen(view: View) -> CycleInputs:
    ids = tuple(f"id-{name}" for name in view.books.accounts)
    return CycleInputs(view, ANNUAL, False, ids, ("c" * 64,) * view.n_accounts, market_hash(view.market))


def same(one: Any, two: Any, path: str = "") -> None:
    """Every field of two trees of dataclasses is equal, arrays to the bit and in type and shape."""
    for f in fields(one):
        ours, theirs, at = getattr(one, f.name), getattr(two, f.name), f"{path}.{f.name}"
        if is_dataclass(ours):
            same(ours, theirs, at)
        elif isinstance(ours, np.ndarray):
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), at
            assert ours.tobytes() == theirs.tobytes(), at
        elif isinstance(ours, float):
            assert np.float64(ours).tobytes() == np.float64(theirs).tobytes(), at
        else:
            assert (type(ours), ours) == (type(theirs), theirs), at


@FEW
@given(st.lists(scenes(), min_size=1, max_size=3))
@example([scene(0, 2, 0, frozenset({"currencies"}))])
def test_a_view_comes_back_to_the_bit_and_is_decided_alike(drawn: list[Scene]) -> None:
    cycles = [seen(named(s.view)) for s in drawn]
    back = list(cycles_of(input_block("north", "run-1", cycles, {})))
    assert len(back) == len(cycles)
    for world, stored, found in zip(drawn, cycles, back, strict=True):
        same(stored, found)
        ours, theirs = (
            run(replace(world, view=stored.view)),
            decide(found.view, world.knobs, annual=found.annual),
        )
        everyone = range(world.view.n_accounts)
        assert_same_rows(ours[0], theirs[0], everyone)
        assert_same_rows(ours[1], theirs[1], everyone)


@FEW
@given(scenes(accounts=6))
def test_firms_are_taken_apart_and_joined_again(drawn: Scene) -> None:
    """Their rows may be interleaved; the hashes of each account stay what they are."""
    whole = seen(named(drawn.view, ("north", "south")))
    firms = sorted({name.split("/")[0] for name in whole.view.books.accounts})
    parts = [of_firm(whole, firm) for firm in firms]
    assert len({join_key(part) for part in parts}) == 1
    together = joined(parts)
    order = [whole.view.books.accounts.index(name) for name in together.view.books.accounts]
    assert together.decision_ids == tuple(whole.decision_ids[i] for i in order)
    assert_same_rows(whole.view.states, together.view.states, order)
    free = np.zeros(len(order), dtype=np.int8)
    books = replace(whole.view.books, firm=together.view.books.firm[np.argsort(order)], imposed_state=free)
    assert_same_rows(books, replace(together.view.books, imposed_state=free), order)

    def hashes(cycle: CycleInputs) -> dict[str, str]:
        accounts = cycle.view.books.accounts
        who = [Identity(*name.split("/"), "r", "dry_run", "c", "0") for name in accounts]
        found = decision_hashes(cycle.view, cycle.market, who)
        return {name: h.decision_id for name, h in zip(accounts, found, strict=True)}

    assert hashes(whole) == hashes(together)
    assert hashes(whole) == {name: h for part in parts for name, h in hashes(part).items()}


# --- the log of rows --------------------------------------------------------------------------------------


def rolled(drawn: list[np.ndarray], world: Scene) -> tuple[InputBlock, list[CycleInputs]]:
    market = world.view.market
    cycles = [
        seen(
            named(
                replace(world.view, market=replace(market, signals=replace(market.signals, scenarios=rows)))
            )
        )
        for rows in drawn
    ]
    return input_block("north", "run-1", cycles, {}), cycles


@FEW
@given(
    scenes(least=1, accounts=1),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5), st.booleans()), min_size=1, max_size=8),
)
def test_windows_come_back_however_they_roll(world: Scene, steps: list[tuple[int, int, bool]]) -> None:
    """Windows that grow, roll, stand still, jump, shrink, or hold other bits of NaN."""
    past = np.random.default_rng(1).normal(size=(40, world.view.n_assets))
    windows, start = [], 0
    for length, moved, fresh in steps:
        start += moved
        rows = past[start : start + length]
        windows.append(-rows.copy() if fresh else rows.copy())
        windows[-1][:1] = -np.nan if fresh else windows[-1][:1]
    block, cycles = rolled(windows, world)
    for stored, found in zip(cycles, cycles_of(block), strict=True):
        same(stored, found)


def test_a_rolling_window_costs_one_row_a_bar() -> None:
    past = np.random.default_rng(1).normal(size=(60, 4))
    windows = [past[max(t - 20, 0) : t] for t in range(1, 60)]
    block, _ = rolled(windows, scene(1, 1, 4))
    stored = block.columns["market_signals_scenarios"]
    assert isinstance(stored, Lists) and np.array_equal(stored.values, past[:59].ravel())
    correlation = block.columns["market_correlation"]
    assert isinstance(correlation, Lists) and len(correlation.values) == 16, "the same matrix is kept once"


# --- versions ----------------------------------------------------------------------------------------------


def test_a_rule_that_was_unknown_then_has_no_latch_and_a_rule_that_is_unknown_now_is_left_out() -> None:
    cycle = seen(named(scene(5, 2, 3, frozenset({"latched"})).view))
    block = input_block("north", "run-1", [cycle], {})
    kinds = cycle.view.states.latch_kind
    stored = ("XX-99", *LATCHING_RULES[1:])
    older = replace(
        block, columns={**block.columns, "axes_latching": Lists([*stored], np.array([0, len(stored)]))}
    )
    (found,) = cycles_of(older)
    assert np.array_equal(found.view.states.latch_kind[:, 1:], kinds[:, 1:])
    assert (found.view.states.latch_kind[:, 0] == -1).all()


def test_a_field_that_was_unknown_then_is_as_in_an_account_without_a_past() -> None:
    cycle = seen(named(scene(5, 2, 3).view))
    columns = dict(input_block("north", "run-1", [cycle], {}).columns)
    del columns["states_best_day"], columns["books_broker_sent_qty"]
    (found,) = cycles_of(InputBlock("north", "run-1", columns))
    assert not found.view.states.best_day.any() and not found.view.books.broker.sent_qty.any()
    del columns["market_price"]
    with pytest.raises(BadInput, match="north, run run-1, row 0: expected stored inputs of a cycle"):
        list(cycles_of(InputBlock("north", "run-1", columns)))


# --- tenancy ----------------------------------------------------------------------------------------------


def test_every_firm_has_a_block_of_its_own_with_its_own_configurations() -> None:
    view = named(scene(3, 4, 3).view, ("north", "south"))
    who = [
        Identity(*name.split("/"), "run-1", "dry_run", name.split("/")[0][0] * 64, "0")
        for name in view.books.accounts
    ]
    blocks = list[InputBlock]()
    buffer = InputBuffer(ANNUAL, who, {"n" * 64: b"north", "s" * 64: b"south"}, blocks.append)
    digest = market_hash(view.market)
    buffer.add(view, digest, decision_hashes(view, digest, who))
    buffer.flush()
    buffer.flush()
    assert [(b.firm_id, dict(b.configs)) for b in blocks] == [
        ("north", {"n" * 64: b"north"}),
        ("south", {"s" * 64: b"south"}),
    ]
    for block in blocks:
        text = repr(block.columns)
        assert ("south" in text) == (block.firm_id == "south") and ("north" in text) == (
            block.firm_id == "north"
        )
    two = Lists(["north/a0", "south/a1"], np.array([0, 2]))
    with pytest.raises(BadInput, match="expected accounts of firm north, found south/a1"):
        InputBlock("north", "run-1", {**blocks[1].columns, "accounts": two})
