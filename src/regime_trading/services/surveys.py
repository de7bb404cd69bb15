"""Work of a firm that decides nothing: what it is asked for, and the row that its runs are listed by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from regime_trading.core.canonical import content_hash
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import Runs
from regime_trading.core.schemas import RunRecord
from regime_trading.core.state import RunRequest
from regime_trading.engine.tape_history import tapes_hash
from regime_trading.engine.universe import choose_accounts, choose_universe
from regime_trading.services.runs import Ask, RunService, run_id_of

SurveyKind = Literal["regime", "scan"]
Made = TypeVar("Made")


def survey_request(runs: RunService, kind: SurveyKind, ask: Ask) -> RunRequest:
    """The request behind a look at the market: of a basket that one of the accounts follows, of symbols, or of the
    accounts' baskets. Nobody's book goes into it.

    Raises
    ------
    BadInput
        A request that cannot be served, naming what could be.
    """
    profiles = choose_accounts(runs.profiles, ask.accounts or None)
    source = runs.source(ask.source)
    as_of_ns = runs.last_bar(ask.source, ask.as_of_ns)
    chosen = choose_universe(
        runs.settings,
        profiles,
        ask.source,
        source.symbols,
        basket=ask.basket,
        symbols=ask.symbols or None,
    )
    symbols = chosen.columns
    fields: dict[str, Any] = {
        "as_of_ns": as_of_ns,
        "source": ask.source,
        "symbols": symbols,
        "traded": chosen.symbols,
        "baskets": (),
        "accounts": (),
        "ad_hoc": chosen.symbols,
        "notes": chosen.notes,
        "data_hash": source.window(until=as_of_ns, symbols=symbols).content_hash(),
        "tape_hash": tapes_hash({s: tape for s in chosen.symbols if (tape := source.tape(s)) is not None}),
        "config_hash": runs.settings.content_hash(),
        "ledger_hash": content_hash([]),
        "code_version": runs.code_version,
    }
    return RunRequest(run_id=run_id_of(kind, fields), **fields)


def recorded(
    rows: Runs, kind: Any, run_id: str, inputs_hash: str, as_of_ns: int, work: Callable[[], Made]
) -> Made:
    """Do some work, listed among the runs of its firm; what was done before is done again to the same end.

    Raises
    ------
    BadInput
        Another run has that id.
    """
    rows.start(RunRecord(run_id, kind, "started", inputs_hash, as_of_ns, f"runs/{run_id}"))
    try:
        made = work()
    except Exception:
        rows.finish(run_id, "failed")
        raise
    rows.finish(run_id, "done")
    return made


def require_run(rows: Runs, firm_id: str, run_id: str) -> RunRecord:
    """A run of a firm that is done; ``BadInput`` where there is none."""
    found = rows.get(run_id)
    if found is None or found.status != "done":
        raise BadInput(expected=f"a run of firm {firm_id} that is done", found=run_id, where="run_id")
    return found
