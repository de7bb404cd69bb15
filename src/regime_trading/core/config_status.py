"""Which configuration an account runs under, and the least trading state that this implies (``risk.md`` 3.1).

A configuration that cannot be read never loosens anything: its accounts keep the last one that could, and the longer
that lasts, the less they may do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from regime_trading.core.rules import TradingState
from regime_trading.core.settings import Finding
from regime_trading.core.trader_profile import TraderProfile

MAX_STALE_NS = 86_400_000_000_000


class ConfigStatus(StrEnum):
    """Where the configuration in force comes from."""

    CURRENT = "CURRENT"  #: the files as they are
    STALE = "STALE"  #: the last known good one; the files cannot be accepted
    INVALID = "INVALID"  #: none: the files cannot be accepted, and no earlier configuration verifies


@dataclass(frozen=True, slots=True)
class BrokenFirm:
    """A firm that cannot be accepted: its accounts (``firm/account``) as far as they can be read, and why."""

    firm_id: str
    accounts: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class LastGood:
    """The last configuration of an account that was accepted, its hash verified, and when it last was."""

    profile: TraderProfile
    accepted_ns: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account stands.

    Parameters
    ----------
    account : str
        ``firm/account``.
    status : ConfigStatus
    profile : TraderProfile or None
        The configuration in force; None where there is none.
    least_state : TradingState
        The account may trade no more freely than this.
    why : str
        One sentence.
    """

    account: str
    status: ConfigStatus
    profile: TraderProfile | None
    least_state: TradingState
    why: str


def standing(
    account: str,
    current: TraderProfile | None,
    last_good: LastGood | None,
    findings: Sequence[Finding],
    *,
    now_ns: int,
    starting: bool,
) -> Standing:
    """How an account stands after the files were read.

    Parameters
    ----------
    account : str
        ``firm/account``.
    current : TraderProfile or None
        What the files say of it now; None where they cannot be accepted.
    last_good : LastGood or None
        What was accepted last and still verifies.
    findings : sequence of Finding
        Why the files cannot be accepted.
    now_ns : int
        The present: in a dry run the time of the data, else of the clock.
    starting : bool
        The process has just started, so that nobody has seen this account run yet.

    Notes
    -----
    ======================================  =======  ===========
    files                                   status   least state
    ======================================  =======  ===========
    accepted                                CURRENT  NORMAL
    refused, last good at most 24 h old     STALE    NORMAL
    refused, last good older than 24 h      STALE    REDUCE_ONLY
    refused at the start, last good known   STALE    REDUCE_ONLY
    refused, no last good one               INVALID  LOCKED
    ======================================  =======  ===========
    """
    if current is not None:
        return Standing(
            account, ConfigStatus.CURRENT, current, TradingState.NORMAL, "The files are in force."
        )
    refused = f"The files are refused ({findings[0].message})" if findings else "The files do not name it"
    if last_good is None:
        why = f"{refused}; no earlier configuration verifies."
        return Standing(account, ConfigStatus.INVALID, None, TradingState.LOCKED, why)
    age_ns = now_ns - last_good.accepted_ns
    reduced = starting or not 0 <= age_ns <= MAX_STALE_NS
    state = TradingState.REDUCE_ONLY if reduced else TradingState.NORMAL
    why = f"{refused}; in force is the configuration accepted {max(age_ns, 0) / 3.6e12:.1f} h ago."
    return Standing(account, ConfigStatus.STALE, last_good.profile, state, why)


def least_states(standings: Mapping[str, Standing], accounts: Sequence[str]) -> tuple[TradingState, ...]:
    """The least trading state of each of ``accounts``, in their order: a floor under every decision.

    To be joined (maximum) with the trading state that the rules of an account ask for: ``NORMAL`` changes nothing,
    ``REDUCE_ONLY`` lets risk only shrink, ``LOCKED`` flattens and stays. An account without a standing is
    ``LOCKED``: nobody knows under which configuration it would trade.
    """
    return tuple(
        standings[account].least_state if account in standings else TradingState.LOCKED
        for account in accounts
    )
