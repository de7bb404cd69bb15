"""Rows of the RL dataset as models: a state, the action taken in it, and what followed (``risk.md`` 4.1).

Files hold them as columns; a row of a file becomes a model with :func:`state_of`, :func:`action_of` and
:func:`transition_of`, which refuse what contradicts itself: a mask that does not say what its columns say, or
anything that was not known at the decision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from regime_trading.core.errors import CheckFailed
from regime_trading.core.rl_features import BLOCKS, MASKS, Block, features, known_column, mask_column
from regime_trading.core.rules import Authority, AuthorityName, Frozen, TradingState, TradingStateName

Count = Annotated[int, Field(ge=0)]
Seq = Annotated[int, Field(ge=1)]
Known = Annotated[float, Field(allow_inf_nan=False)]
Vector = tuple[Known | None, ...]
REWARDS: tuple[str, ...] = ("pnl_net", "cost", "dd_penalty", "breach_penalty", "turnover", "flow")


class RLRow(Frozen):
    """Whose row it is, and which decision it belongs to: ``seq`` is that of its DECISION in the chain, ``state_id``
    that entry's ``event_id``."""

    firm_id: str
    account_id: str
    run_id: str
    env: str
    feature_set_version: str
    seq: Seq
    ts_event_ns: int
    state_id: str | None  #: null in rows of version 3


class StateBlock(Frozen):
    """Features of one block by name; null = not known, or not there for this account. ``assets`` are in the order of
    ``symbols``."""

    ts_known_ns: int
    values: dict[str, Known | None]
    assets: dict[str, Vector]


class PMState(RLRow):
    """What was known when a decision was made, and nothing else.

    ``attempt`` counts the attempts of an evaluation account; ``binding_rules`` are the rules that kept an asset from
    its proposal, ``latch_bits`` the latches that were held (words of bits in registry order).
    """

    attempt: Count
    symbols: tuple[str, ...]
    binding_rules: tuple[int, ...]
    latch_bits: int | None
    blocks: dict[Block, StateBlock]

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if set(self.blocks) != set(BLOCKS):
            raise ValueError(f"blocks: expected {', '.join(BLOCKS)}, found {', '.join(sorted(self.blocks))}")
        for block, said in self.blocks.items():
            if said.ts_known_ns > self.ts_event_ns:
                raise ValueError(
                    f"{block}: known at {said.ts_known_ns}, after the decision {self.ts_event_ns}"
                )
            for per, found in (("row", said.values), ("asset", said.assets)):
                named = [f.name for f in features(block, per)]  # type: ignore[arg-type]
                if set(found) != set(named):
                    raise ValueError(f"{block}: expected {named}, found {sorted(found)}")
            if any(len(vector) != len(self.symbols) for vector in said.assets.values()):
                raise ValueError(f"{block}: expected {len(self.symbols)} numbers for each feature of assets")
        return self


class PMAction(RLRow):
    """What was proposed, and what the guards left of it.

    ``multiplier`` is final over proposed (null where nothing was proposed), ``action_lo`` and ``action_hi`` the weights
    that were allowed (null = no bound). ``propensity`` is the probability with which the policy takes this action: 1 of
    a deterministic one. ``override_by`` is who changed it by hand, null = nobody.
    """

    action_id: str | None
    proposed_w: Vector
    final_w: Vector
    multiplier: Vector
    action_lo: Vector
    action_hi: Vector
    trading_state: TradingStateName
    authority: AuthorityName | None
    behaviour_policy_id: str
    propensity: Annotated[float, Field(gt=0, le=1)]
    override_by: str | None


class Rewards(Frozen):
    """Components of a reward, as fractions of the equity the action was taken on; null = not known.

    ``pnl_net``: change of equity less flows, costs included; ``cost``: fees; ``turnover``: notional traded; ``flow``:
    deposits less withdrawals; ``dd_penalty``: by how much the drawdown of the unit value deepened; ``breach_penalty``:
    how many circuits latched at the next decision (a count).
    """

    pnl_net: Known | None
    cost: Known | None
    dd_penalty: Known | None
    breach_penalty: Known | None
    turnover: Known | None
    flow: Known | None


class PMTransition(RLRow):
    """From a state by an action to the next state; written when that is known.

    ``horizon_bars`` counts bars by the calendar, ``gap`` says that some of them are missing, or that decisions without
    rows lie between. ``next_run_id`` is the run of the next state where that is another one: the next trading day, say.
    ``done``: the episode ended here, with ``done_reason`` (``passed``, ``failed by`` a rule, ``expired``); there is no
    next state. ``censored``: the data ended and the episode did not (``end_of_data``).
    """

    action_id: str | None
    next_run_id: str | None  #: null in rows of before it was there
    next_state_id: str | None
    next_seq: Count
    horizon_bars: Count
    done: bool
    done_reason: str | None  #: null, as is ``censored``, in rows of version 3
    censored: bool | None
    gap: bool
    rewards: Rewards

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if self.done != (self.next_seq == 0) or (self.done and self.next_state_id is not None):
            raise ValueError("expected a next state exactly where the episode goes on")
        if self.done and self.next_run_id is not None:
            raise ValueError("expected no next run where the episode ended")
        if not self.done and self.next_run_id is None and self.next_seq <= self.seq:
            raise ValueError(f"expected a next state after {self.seq}, found {self.next_seq}")
        return self


def state_of(row: Mapping[str, Any]) -> PMState:
    """A row of a state file.

    Raises
    ------
    CheckFailed
        A mask that does not say what its columns say.
    ValueError
        Features that are not those of the table, or known after the decision.
    """
    for block, per in MASKS:
        _require_mask(row, block, per)
    blocks = {
        block: StateBlock(
            ts_known_ns=row[known_column(block)],
            values={f.name: _number(row[f.name]) for f in features(block, "row")},
            assets={f.name: vector_of(row[f.name]) for f in features(block, "asset")},
        )
        for block in BLOCKS
    }
    return PMState(
        **_head(row),
        attempt=row["attempt"],
        symbols=symbols_of(row["symbols"]),
        binding_rules=tuple(row["binding_rules"]),
        latch_bits=row["latch_bits"],
        blocks=blocks,
    )


def symbols_of(text: str) -> tuple[str, ...]:
    """Names of the assets of a state, in the order of its lists; none of a decision about nothing."""
    return tuple(text.split(",")) if text else ()


def action_of(row: Mapping[str, Any]) -> PMAction:
    """A row of an action file."""
    vectors = ("proposed_w", "final_w", "multiplier", "action_lo", "action_hi")
    authority = _number(row["authority"])
    return PMAction(
        **_head(row),
        action_id=row["action_id"],
        **{name: vector_of(row[name]) for name in vectors},
        trading_state=TradingState(int(row["trading_state"])),
        authority=None if authority is None else Authority(int(authority)),
        behaviour_policy_id=row["behaviour_policy_id"],
        propensity=row["propensity"],
        override_by=row["override_by"],
    )


def transition_of(row: Mapping[str, Any]) -> PMTransition:
    """A row of a transition file."""
    own = (
        "action_id", "next_run_id", "next_state_id", "next_seq", "horizon_bars", "done", "done_reason", "censored",
        "gap",
    )  # fmt: skip
    rewards = Rewards(**{name: _number(row[f"reward_{name}"]) for name in REWARDS})
    return PMTransition(**_head(row), **{name: row[name] for name in own}, rewards=rewards)


def vector_of(values: Iterable[float | None]) -> Vector:
    """Numbers of a list column; what is not a finite number is null."""
    return tuple(_number(value) for value in values)


def _head(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in RLRow.model_fields}


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _require_mask(row: Mapping[str, Any], block: Block, per: Any) -> None:
    column = mask_column(block, per)
    for bit, feature in enumerate(features(block, per)):
        values, masks = (
            ([row[feature.name]], [row[column]]) if per == "row" else (row[feature.name], row[column])
        )
        for value, mask in zip(values, masks, strict=True):
            if (_number(value) is not None) != bool(mask >> bit & 1):
                raise CheckFailed(
                    f"{column} at entry {row['seq']}: expected it to say whether {feature.name} is known"
                )
