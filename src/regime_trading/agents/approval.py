"""⑤ Whose agreement is needed before an account's decision may leave.

Where an account asks for people the whole run pauses here, before anything is recorded: there is one checkpoint, and
what is decided together is recorded together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regime_trading.agents.decision import decide_run
from regime_trading.agents.deps import Deps
from regime_trading.core.canonical import content_hash
from regime_trading.core.errors import BadInput, CheckFailed, RegimeError
from regime_trading.core.instants import LATEST_NS
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import PMDecision
from regime_trading.core.state import Approval, Looked, PipelineState, ProfileRef, Question, World

#: What each part of a world is called where it has changed.
_PARTS: Mapping[str, str] = {
    "settings": "the settings",
    "config": "the account's configuration",
    "halts": "what halts the account",
    "book": "the account's positions or orders",
    "prices": "the prices (the source has later ones)",
}


def approval(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """``not_required``, or what people said where one of the account's baskets asks for them.

    Where no order would leave nobody is asked: not in a held run, and not of a decision without orders.

    Raises
    ------
    CheckFailed
        Answers that are not those to this run's question.
    """
    assert state.profiles is not None and state.decisions is not None and state.verdict is not None
    leaving = {made.account for made in state.decisions if made.orders and state.verdict.action == "ok"}
    asking = (one.account for one in state.profiles if one.approval != "none")
    waiting = tuple(account for account in asking if account in leaving)
    if not waiting:
        answers = (Approval(account=one.account, status="not_required") for one in state.profiles)
        return {"approval": tuple(answers)}
    worlds = tuple(world_of(state, deps, one) for one in state.profiles)
    given = deps.ask(Question(waiting=waiting, worlds=worlds))
    return {"approval": _checked(given, tuple(one.account for one in state.profiles), waiting)}


def _checked(
    given: tuple[Approval, ...], accounts: tuple[str, ...], waiting: tuple[str, ...]
) -> tuple[Approval, ...]:
    """Answers in the order of the run's accounts: one of each, and no account that asks for people without theirs."""
    found = {answer.account: answer for answer in given}
    if len(given) != len(found) or set(found) != set(accounts):
        raise CheckFailed(f"expected one answer for each of {', '.join(accounts)}, found {sorted(found)}")
    for account in waiting:
        if found[account].status == "not_required":
            raise CheckFailed(f"{account}: expected the answer of people, found that none is needed")
    return tuple(found[account] for account in accounts)


def look(state: PipelineState, deps: Deps, question: Question) -> tuple[Looked, ...]:
    """Decide a paused run again in the world as it is now, and say of each account what has changed."""
    assert state.profiles is not None and state.decisions is not None
    asked = {world.account: world for world in question.worlds}
    again, gone = _decide_again(state, deps)
    return tuple(
        Looked(
            decision=made,
            mode=profile.mode,
            changed=_changed(asked[made.account], world_of(state, deps, profile))
            or gone
            or ("" if again.get(made.account) == made else "the decision"),
        )
        for profile, made in zip(state.profiles, state.decisions, strict=True)
    )


def _decide_again(state: PipelineState, deps: Deps) -> tuple[dict[str, PMDecision], str]:
    """Decisions by account as they would be now; where there can be none, why not."""
    try:
        found = decide_run(state, deps, bound=())
    except RegimeError as error:
        return {}, f"whether it can be decided ({error})"
    return {decision.account: decision for decision in found.decisions}, ""


def _changed(then: World, now: World) -> str:
    return next((said for part, said in _PARTS.items() if getattr(then, part) != getattr(now, part)), "")


def world_of(state: PipelineState, deps: Deps, profile: ProfileRef) -> World:
    """What the decision of an account hangs on now: also what it holds after that bar, and the last bar there is."""
    account, firm = profile.account, profile.account.split("/")[0]
    halt = deps.halts((account,))[account]
    least = deps.least_state.get(account, TradingState.NORMAL)
    stored = deps.ledger(firm, profile.mode).load(account, LATEST_NS)
    texts = [] if stored is None else [stored[0], stored[1], *stored[2]]
    last = deps.source(state.request.source).window(symbols=state.request.symbols).ts_ns[-1:]
    return World(
        account=account,
        settings=deps.settings.content_hash(),
        config=_config_of(state, deps, account),
        halts=f"{halt.level} {halt.lifted} {least.name}",
        book=content_hash([text.model_dump_json() for text in texts]),
        prices=",".join(str(int(ts_ns)) for ts_ns in last),
    )


def _config_of(state: PipelineState, deps: Deps, account: str) -> str:
    try:
        return deps.profile(account, state.request.as_of_ns).config_hash
    except BadInput:
        return ""
