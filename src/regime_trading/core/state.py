"""What a run knows, one frozen value per stage, in pipeline order.

Large tables are handles (:class:`FrameRef`) to artifacts, never the tables themselves. Every value here is
plain JSON once dumped, so that a checkpoint can be read back without importing anything it names.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from regime_trading.core.rules import Frozen
from regime_trading.core.schemas import (
    Confidence,
    DataHealth,
    Exposure,
    FrameRef,
    Ident,
    Mode,
    PMDecision,
    Proposal,
    Receipt,
    Regime,
    Symbol,
    TapeSummary,
)

RunId = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
AccountName = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}/[a-z0-9-]{1,40}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RunRequest(Frozen):
    """What was asked for, with everything that makes the answer reproducible.

    ``run_id`` derives from every other field (``services.runs``). ``symbols`` are all whose prices the run
    reads, ``traded`` those an account may hold (the market proxy is read only), both sorted. ``data_hash`` is
    the content hash of the source's window up to ``as_of_ns``, ``tape_hash`` that of the tapes' files (empty without
    tapes), ``ledger_hash`` that of the accounts' states
    before it. Instead of the accounts' baskets, every account may follow one basket of the symbols ``ad_hoc``,
    or the user's own ``proposal``. ``notes`` are what a reader must be told of the choice.
    """

    run_id: RunId
    as_of_ns: int
    source: str
    symbols: tuple[Symbol, ...]
    traded: tuple[Symbol, ...]
    baskets: tuple[Ident, ...]
    accounts: tuple[AccountName, ...]
    effort: Literal["fast", "thorough"] = "fast"
    ad_hoc: tuple[Symbol, ...] = ()
    proposal: Proposal | None = None
    notes: tuple[str, ...] = ()
    data_hash: Sha256
    tape_hash: Sha256 | Literal[""] = ""
    config_hash: Sha256
    ledger_hash: Sha256
    code_version: str


class DataSnapshot(Frozen):
    """The run's own copy of the prices. ``content_hash`` is that of the window, whatever file format."""

    health: DataHealth
    prices: FrameRef
    content_hash: Sha256


class SymbolFeatures(Frozen):
    """Latest value of each feature of one symbol; null where it is not known yet, never 0."""

    symbol: Symbol
    values: dict[str, float | None]


class FeatureSet(Frozen):
    """Features of every symbol over the whole window."""

    frame: FrameRef
    version: str
    latest: tuple[SymbolFeatures, ...]


class Cluster(Frozen):
    """Symbols that move together: correlation, and called so. ``mean_correlation`` is null for one symbol."""

    symbols: tuple[Symbol, ...]
    mean_correlation: float | None


class GroupLink(Frozen):
    """How a group of symbols hangs together with the market. Only ``drives``, ``driven`` and ``bidirectional`` are
    causal evidence (convergent cross mapping with surrogates); ``correlated`` is correlation, and called so.

    ``correlation`` is that of returns with its robust interval; ``skill`` the cross-map skill of the stronger
    direction, ``best_lag_bars`` its lag (negative: the cause is earlier).
    """

    group: str
    verdict: Literal["drives", "driven", "bidirectional", "synchronous", "correlated", "decoupled", "unknown"]
    correlation: float | None
    correlation_low: float | None
    correlation_high: float | None
    skill: float | None
    best_lag_bars: int | None
    n_obs: int
    reason: str = ""


class Coupling(Frozen):
    """How the symbols hang together over the last ``window_bars`` bars, and their groups with the market.

    ``break_p_value`` is that of the test of the mean correlation against its own past; ``confidence_cap`` what all
    of it allows the market's label at most.
    """

    method: Literal["correlation"] = "correlation"
    window_bars: int
    n_obs: int
    mean_correlation: float | None
    clusters: tuple[Cluster, ...]
    groups: tuple[GroupLink, ...] = ()
    break_p_value: float | None = None
    confidence_cap: Confidence = 1.0
    reason: str = ""


class SymbolExposure(Frozen):
    """Strategy of one symbol under its regime."""

    symbol: Symbol
    exposure: Exposure


class MarketRegime(Frozen):
    """Regime of the market proxy and of each symbol at ``as_of``; ``history`` holds the causal past. ``confidence_cap``
    is what tape and cross-asset evidence allow the market's label at most."""

    market: Regime
    symbols: tuple[Regime, ...]
    exposures: tuple[SymbolExposure, ...]
    history: FrameRef
    confidence_cap: Confidence = 1.0


class Alternate(Frozen):
    """A second opinion. ``turbulent`` and ``agrees`` are null where it had too little to go on, which counts
    as a disagreement: an opinion that cannot be had confirms nothing."""

    name: str
    turbulent: bool | None
    agrees: bool | None
    detail: str


class Contradiction(Frozen):
    """What a different bar and a different estimator make of the same data."""

    turbulent: bool | None
    alternates: tuple[Alternate, ...]
    confidence_cap: Confidence


class ProfileRef(Frozen):
    """One account of the run and the configuration it was decided under."""

    account: AccountName
    mode: Mode
    config_hash: Sha256
    baskets: tuple[Ident, ...]
    approval: Literal["none", "manual"] = "none"


class Check(Frozen):
    """One output that is not valid."""

    account: str | None = None
    check: str
    expected: str
    found: str


class Judgement(Frozen):
    """``HOLD`` turns every decision of the run into *no orders*; it never changes a weight."""

    action: Literal["ok", "HOLD"]
    findings: tuple[Check, ...] = ()


class World(Frozen):
    """What an account's decision hangs on beside the run's own data: each word must still be the same when people have
    agreed. Empty = there is none any more."""

    account: AccountName
    settings: Sha256
    config: Sha256 | Literal[""]
    halts: str
    book: Sha256
    prices: str


class Question(Frozen):
    """What a paused run asks: the accounts that wait for people, and the world of every account of the run."""

    waiting: tuple[AccountName, ...]
    worlds: tuple[World, ...]


class Looked(Frozen):
    """An account of a paused run, looked at again: its decision, and in words what is no longer as it was when that
    was made (empty = it would be decided the same)."""

    decision: PMDecision
    mode: Mode
    changed: str = ""


class Approval(Frozen):
    """Whether the decision of an account may leave, and whose word that is.

    ``by`` are pseudonyms of those who agreed, or of who refused; ``at_ns`` when that was settled; ``why`` how it ended
    where nobody agreed. ``void`` = the world is no longer the one of the decision.
    """

    account: AccountName
    status: Literal["not_required", "granted", "refused", "expired", "void"]
    by: tuple[str, ...] = ()
    at_ns: int | None = None
    why: str = ""
    request_id: str = ""

    @property
    def leaves(self) -> bool:
        """Whether orders may go."""
        return self.status in ("not_required", "granted")


class DecisionReceipt(Frozen):
    """A decision and the proof that its record is durable; ``event_id`` is that of its DECISION entry, empty where that
    says *hold* and nothing was decided."""

    account: AccountName
    decision_id: str
    receipt: Receipt
    event_id: str = ""


class Acceptance(Frozen):
    """Orders of one account that the broker took for the next bar; ``receipt`` is that of the entries that say so."""

    account: AccountName
    order_ids: tuple[str, ...]
    reason: str = ""
    receipt: Receipt | None = None


class Report(Frozen):
    """Files written for people, by path under the artifacts folder."""

    files: tuple[FrameRef, ...]


class PipelineState(Frozen):
    """One field per stage. A field is written once; null means its stage has not run."""

    request: RunRequest
    data: DataSnapshot | None = None  # ingest
    tape: TapeSummary | None = None  # microstructure
    features: FeatureSet | None = None  # features
    coupling: Coupling | None = None  # cross_asset
    regime: MarketRegime | None = None  # regime
    contradiction: Contradiction | None = None  # contradictor
    profiles: tuple[ProfileRef, ...] | None = None  # trader_config_loader
    proposals: tuple[Proposal, ...] | None = None  # allocator
    decisions: tuple[PMDecision, ...] | None = None  # portfolio_manager
    verdict: Judgement | None = None  # judge
    approval: tuple[Approval, ...] | None = None  # approval
    receipts: tuple[DecisionReceipt, ...] | None = None  # journal
    executions: tuple[Acceptance, ...] | None = None  # execution
    report: Report | None = None  # summarizer
