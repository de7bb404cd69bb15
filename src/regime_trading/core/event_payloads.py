"""What each kind of entry of the record carries beside its header: one frozen model per kind.

Instants and quantities are text, weights ``*_e9`` integers (decision 0009). Free text of a person is limited and
scanned (:mod:`regime_trading.core.actors`) before it gets here.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from regime_trading.core.schemas import EventType

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MaybeHash = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$", description="empty where there is none")]
NsText = Annotated[str, Field(pattern=r"^-?\d{1,19}$", description="UTC nanoseconds")]
NumberText = Annotated[str, Field(pattern=r"^(-?(\d.*|unlimited|inf)|nan)$", max_length=60)]
Text = Annotated[str, Field(max_length=500)]
Name = Annotated[str, Field(min_length=1, max_length=140)]
Account = Annotated[str, Field(pattern=r"^([a-z0-9-]{1,40}/[a-z0-9-]{1,40})?$", description="firm/account")]
Strings = tuple[str, ...]
StateName = Literal["NORMAL", "REDUCE_ONLY", "FLATTEN", "LOCKED"]
#: Codes of a decision to hold of which nothing was decided: the judge stopped the run, or people did not agree to it.
RUN_HELD, NOT_APPROVED = "RUN_HELD", "NOT_APPROVED"
UNDECIDED = frozenset({RUN_HELD, NOT_APPROVED})
ReleaseName = Literal["AUTO", "TIMED", "NEXT_SESSION", "MANUAL", "DUAL", "TERMINAL"]
DirectionName = Literal["loosens", "tightens", "neutral"]


class Part(BaseModel):
    """Immutable; unknown keys and other types than the declared ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class Payload(Part):
    """Base of every payload; ``kind`` is the event it belongs to."""

    kind: ClassVar[EventType]


# --- written by the engine (``engine.record``, ``agents.journal``) ---------------------------------------------


class TargetColumns(Part):
    """Targets of a decision, column by column over the symbols it concerns."""

    symbol: Strings
    proposed_w_e9: tuple[int, ...]
    current_w_e9: tuple[int, ...]
    target_w_e9: tuple[int, ...]
    current_qty: tuple[NumberText, ...]
    target_qty: tuple[NumberText, ...]
    step_qty: tuple[NumberText, ...]
    limiting_rules: tuple[Strings, ...]


class RuleRow(Part):
    """What one rule said; ``value`` and ``limit`` are null where they are not known."""

    rule_id: str
    outcome: Literal["pass", "bound", "unknown", "not_evaluable", "off"]
    value: NumberText | None
    limit: NumberText | None
    reason_codes: Strings


class Decided(Payload):
    """One decision, with everything every rule said."""

    kind: ClassVar[EventType] = EventType.DECISION
    decision_id: Hash
    outcome: Literal["approve", "resize", "block", "reduce_only", "flatten", "lock"]
    trading_state_before: StateName
    trading_state_after: StateName
    equity: NumberText | None
    drawdown: NumberText | None
    throttle: NumberText
    budget_factor: NumberText
    targets: TargetColumns
    rules: tuple[RuleRow, ...]
    binding_rules: Strings
    substitutes: Strings
    snapshot_hash: Hash
    proposal_hash: Hash
    state_hash: Hash


class Check(Part):
    """One output of a run that was not valid."""

    account: str | None
    check: str
    expected: str
    found: str


class HeldRun(Payload):
    """A decision that the judge, or people who did not agree, turned into *no orders*; ``decision_id`` is null where
    there was none to judge."""

    kind: ClassVar[EventType] = EventType.DECISION
    decision_id: Hash | None
    outcome: Literal["hold"]
    findings: tuple[Check, ...]


class RuleBreach(Payload):
    """A rule of guards 1 to 3 began not to hold."""

    kind: ClassVar[EventType] = EventType.RULE_BREACH
    value: NumberText | None
    limit: NumberText | None


class ModeChange(Payload):
    """The trading state changed."""

    kind: ClassVar[EventType] = EventType.MODE_CHANGE
    before: StateName
    after: StateName


class LatchSet(Payload):
    """A rule latched: it holds the account until ``release``."""

    kind: ClassVar[EventType] = EventType.LATCH
    trading_state: StateName
    release: ReleaseName
    value: NumberText | None
    limit: NumberText | None


class Unlocked(Payload):
    """A latch ended, by its own terms or by a person (the actor)."""

    kind: ClassVar[EventType] = EventType.UNLOCK
    release: ReleaseName


class Filled(Payload):
    """All executions of an account at one bar, column by column; signed quantities, quote currency."""

    kind: ClassVar[EventType] = EventType.FILL
    symbol: Strings
    qty: tuple[NumberText, ...]
    price: tuple[NumberText, ...]
    fee: tuple[NumberText, ...]


class CashFlow(Payload):
    """Money came in (withdrawals negative)."""

    kind: ClassVar[EventType] = EventType.CASH_FLOW
    amount: NumberText


class AttemptStarted(Payload):
    """An evaluation began with fresh capital."""

    kind: ClassVar[EventType] = EventType.ATTEMPT
    attempt: int
    status: Literal["started"]


class AttemptEnded(Payload):
    """An evaluation ended; its book is closed."""

    kind: ClassVar[EventType] = EventType.ATTEMPT
    attempt: int
    status: Literal["passed", "failed", "expired"]
    pnl: NumberText
    trading_days: int


class RunStatus(Payload):
    """A run began or ended."""

    kind: ClassVar[EventType] = EventType.RUN
    run_kind: Literal["run", "backtest", "regime", "scan", "report", "whatif"]
    status: Literal["started", "done", "failed"]
    inputs_hash: Hash
    as_of_ns: NsText


class ProposalMoved(Payload):
    """A person's own weights took a step; ``accounts`` are to follow them. ``maker`` is a pseudonym, ``produced_run``
    the run that was made of them; ``why`` is said where they are a draft again or were withdrawn."""

    kind: ClassVar[EventType] = EventType.PROPOSAL
    proposal_id: Name
    action: Literal["drafted", "changed", "submitted", "withdrawn", "run", "given_back"]
    version: Annotated[int, Field(ge=1)]
    name: Name
    basket: Annotated[str, Field(max_length=40)]
    accounts: tuple[Account, ...]
    weights: dict[str, NumberText]
    complete: bool
    content_hash: Hash
    maker: Name
    job_id: Annotated[str, Field(max_length=140)]
    produced_run: Annotated[str, Field(max_length=140)]
    note: Text = ""
    why: Text = ""


# --- configuration ------------------------------------------------------------------------------------------


class ConfigChange(Part):
    """One key that differs; ``before`` or ``after`` is null where there is no value on that side."""

    path: str
    before: JsonValue
    after: JsonValue
    direction: DirectionName


class ConfigAccepted(Payload):
    """The configuration of an account was taken over, seen for the first time or changed.

    ``before_hash`` is empty on first sight, and where the one before no longer verifies (reason code
    ``BEFORE_UNKNOWN``). ``profile`` is the whole merged configuration with its provenance, so that the limits in
    force at any time can be told from the record alone.
    """

    kind: ClassVar[EventType] = EventType.CONFIG_ACCEPTED
    account: Account
    before_hash: MaybeHash
    after_hash: Hash
    changes: tuple[ConfigChange, ...]
    profile: dict[str, JsonValue]


class ConfigChanged(ConfigAccepted):
    """A configuration was changed by a request that people agreed to."""

    kind: ClassVar[EventType] = EventType.CONFIG_CHANGED
    request_id: Name


class ConfigFinding(Part):
    """Why a configuration was refused."""

    path: str
    file: str
    line: int | None
    message: str


class ConfigRefused(Payload):
    """The configuration of a firm was refused. ``erased`` names findings of which a part was masked."""

    kind: ClassVar[EventType] = EventType.CONFIG_REFUSED
    accounts: tuple[Account, ...]
    refusal_hash: Hash
    findings: tuple[ConfigFinding, ...]
    erased: Strings


class Overridden(Payload):
    """A session override: a temporary tightening of one risk parameter."""

    kind: ClassVar[EventType] = EventType.OVERRIDE
    override_id: Name
    account: Account
    path: Annotated[str, Field(max_length=200)]
    value: JsonValue
    reason: Text
    created_by: Name
    created_at_ns: NsText
    expires_at_ns: NsText
    ends_at_ns: NsText
    exact: bool


# --- people ---------------------------------------------------------------------------------------------------


class _Approval(Payload):
    """A request that people must agree to: what exactly (``payload_hash``), under which configuration and code, how
    many must agree, and who has so far (pseudonyms)."""

    request_id: Name
    request_kind: Name
    account: Account
    payload_hash: Hash
    requested_config_hash: MaybeHash
    requested_code_version: str
    required: Annotated[int, Field(ge=1, le=9)]
    by: Strings
    reason: Text = ""


class ApprovalRequested(_Approval):
    """Somebody asked for agreement; ``expires_at_ns`` is when the request becomes void."""

    kind: ClassVar[EventType] = EventType.APPROVAL_REQUESTED
    expires_at_ns: NsText


class ApprovalGiven(_Approval):
    """The actor agreed."""

    kind: ClassVar[EventType] = EventType.APPROVAL_GIVEN


class ApprovalRefused(_Approval):
    """The actor refused."""

    kind: ClassVar[EventType] = EventType.APPROVAL_REFUSED


class ApprovalVoid(_Approval):
    """The request ended without an answer: it expired, or what was asked for is no longer the same."""

    kind: ClassVar[EventType] = EventType.APPROVAL_VOID


class ApprovalCommented(_Approval):
    """The actor said something about a request that is open; it stays as it was."""

    kind: ClassVar[EventType] = EventType.APPROVAL_COMMENTED
    comment: Annotated[str, Field(min_length=1, max_length=1_000)]


class BreachAcknowledged(Payload):
    """Somebody has seen a breach, which changes nothing of it; the entry it answers is ``breach_seq`` of
    ``breach_chain``, whose id is ``breach_id``."""

    kind: ClassVar[EventType] = EventType.BREACH_ACKNOWLEDGED
    account: Account
    breach_id: Name
    breach_chain: Name
    breach_seq: Annotated[int, Field(ge=1)]
    reason: Text = ""


class CommandGiven(Payload):
    """A command of a person. ``command`` is its text without e-mail addresses and secrets; ``preview_id`` and
    ``action_hash`` are empty where it needed no preview."""

    kind: ClassVar[EventType] = EventType.COMMAND
    command: Text
    verb: Name
    object: Annotated[str, Field(max_length=140)]
    klass: Name
    preview_id: Annotated[str, Field(max_length=140)]
    action_hash: MaybeHash
    outcome: Literal["previewed", "refused", "executed", "requested"]


class LoggedIn(Payload):
    """A login, or the attempt; the actor is whose it was. ``ip_prefix`` is a /24 or /48, ``session_hash`` keyed by the
    firm; ``count`` is how many failed attempts like this one it stands for."""

    kind: ClassVar[EventType] = EventType.LOGIN
    outcome: Literal["succeeded", "failed", "ended"]
    method: Name
    ip_prefix: Annotated[str, Field(max_length=43)] = ""
    session_hash: MaybeHash = ""
    count: Annotated[int, Field(ge=1)] = 1


class AccessChanged(Payload):
    """What somebody may do changed, or what proves who they are. ``subject`` is a pseudonym.

    ``accounts`` null = all of the firm; ``detail`` names the kind of a factor or the id of a token; ``by_token`` is the
    token the actor came in with.
    """

    kind: ClassVar[EventType] = EventType.ACCESS
    action: Literal[
        "user_created",
        "user_disabled",
        "user_enabled",
        "role_granted",
        "role_revoked",
        "link_made",
        "password_set",
        "factor_added",
        "factor_removed",
        "token_created",
        "token_revoked",
        "sessions_revoked",
    ]
    subject: Name
    role: Literal["", "viewer", "analyst", "pm", "admin"] = ""
    accounts: tuple[Account, ...] | None = None
    redact: bool = False
    permissions: Strings = ()
    expires_at_ns: NsText | None = None
    detail: Annotated[str, Field(max_length=40)] = ""
    by_token: Annotated[str, Field(max_length=40)] = ""


class Denied(Payload):
    """The actor asked for what they may not do; ``count`` times within a minute. ``account`` is empty where the firm as
    a whole was meant. To an actor for whom it is not there, whether it exists or not (``unknown``), ``what`` says what
    kind of thing they named and ``asked`` how they called it, masked and cut: the last of ``count``, whose other
    names are not kept; empty where only those are told."""

    kind: ClassVar[EventType] = EventType.DENIED
    permission: Annotated[str, Field(max_length=40)]
    account: Account
    answer: Literal["unknown", "no_role", "no_factor", "not_by_token", "step_up"]
    route: Annotated[str, Field(max_length=200)]
    count: Annotated[int, Field(ge=1)] = 1
    what: Annotated[str, Field(max_length=40)] = ""
    asked: Annotated[str, Field(max_length=80)] = ""


class Killed(Payload):
    """A kill switch was used, in earnest or as a drill: what it covered and when it took effect."""

    kind: ClassVar[EventType] = EventType.KILL
    level: Literal["K1", "K2", "K3", "K4"]
    scope: Name
    drill: bool
    asked_at_ns: NsText
    effective_at_ns: NsText | None
    flat_at_ns: NsText | None = None
    cancelled_orders: int = 0
    reason: Text = ""


class HaltEnded(Payload):
    """A person ended a halt; each account lets go of it at its next decision, and what else holds it holds on."""

    kind: ClassVar[EventType] = EventType.UNLOCK
    release: Literal["HALT"]
    level: Literal["K1", "K2", "K3", "K4"]
    scope: Name
    set_at_ns: NsText
    reason: Text = ""


# --- orders ---------------------------------------------------------------------------------------------------


class _Order(Payload):
    client_order_id: Name
    decision_id: Annotated[str, Field(max_length=64)]  #: empty where it is told from the ledger alone
    symbol: Name


class OrderSent(_Order):
    """The broker took an order; signed quantity."""

    kind: ClassVar[EventType] = EventType.ORDER_SENT
    intent: Literal["exit", "entry"]
    leg: int
    slice: int
    qty: NumberText
    limit_price: NumberText | None


class OrderAcknowledged(_Order):
    """The venue confirmed an order."""

    kind: ClassVar[EventType] = EventType.ORDER_ACKNOWLEDGED
    broker_order_id: Name


class OrderCancelled(_Order):
    """An order ended without being filled; what is left of it, signed."""

    kind: ClassVar[EventType] = EventType.ORDER_CANCELLED
    qty_open: NumberText


class OrderRejected(_Order):
    """The broker or the venue refused an order."""

    kind: ClassVar[EventType] = EventType.ORDER_REJECTED
    answer: Text


class Difference(Part):
    """One value on which the ledger and the broker do not agree."""

    field: Name
    symbol: str
    ours: str
    theirs: str


class Reconciled(Payload):
    """The ledger was compared with the broker."""

    kind: ClassVar[EventType] = EventType.RECON
    status: Literal["agrees", "differs", "unknown"]
    diff: tuple[Difference, ...]
    checked_at_ns: NsText


# --- the record itself ------------------------------------------------------------------------------------------


class Exported(Payload):
    """Entries left as a bundle: the range that was asked for, its files, the SHA-256 of the whole."""

    kind: ClassVar[EventType] = EventType.EXPORT
    range: dict[str, JsonValue]
    files: Strings
    sha256: Hash


class KeyAct(Payload):
    """Something was done with a key; ``key_hash`` is that of its public part. ``shredded``: the key that kept the
    name of ``subject`` (a pseudonym) was deleted, ``key_hash`` is then that of the encrypted name."""

    kind: ClassVar[EventType] = EventType.KEY
    action: Literal["created", "rotated", "retired", "shredded"]
    key_hash: Hash
    key_name: str = ""
    subject: str = ""


class Purged(Payload):
    """Entries were removed at the end of their retention; ``root`` is the Merkle root over them."""

    kind: ClassVar[EventType] = EventType.PURGE
    range: dict[str, JsonValue]
    root: Hash


class Beat(Payload):
    """A component is alive."""

    kind: ClassVar[EventType] = EventType.HEARTBEAT
    component: Name


class Degraded(Payload):
    """A decision that was made while a store of the record was down: only what reduces could leave. ``spooled`` names
    what waited elsewhere meanwhile; ``orders`` and ``entries`` are what would have been recorded."""

    kind: ClassVar[EventType] = EventType.DEGRADED
    store: Name
    spooled: Strings
    why: str
    decided_at_ns: NsText
    decision_id: Hash
    outcome: Literal["approve", "resize", "block", "reduce_only", "flatten", "lock"]
    trading_state_before: StateName
    trading_state_after: StateName
    orders: Strings
    entries: tuple[dict[str, JsonValue], ...]


PAYLOADS: tuple[type[Payload], ...] = (
    Decided,
    HeldRun,
    RuleBreach,
    ModeChange,
    LatchSet,
    Unlocked,
    Filled,
    CashFlow,
    AttemptStarted,
    AttemptEnded,
    RunStatus,
    ProposalMoved,
    ConfigAccepted,
    ConfigRefused,
    ConfigChanged,
    Overridden,
    ApprovalRequested,
    ApprovalGiven,
    ApprovalRefused,
    ApprovalVoid,
    ApprovalCommented,
    BreachAcknowledged,
    CommandGiven,
    OrderSent,
    OrderAcknowledged,
    OrderCancelled,
    OrderRejected,
    Reconciled,
    Killed,
    HaltEnded,
    LoggedIn,
    AccessChanged,
    Denied,
    Exported,
    KeyAct,
    Purged,
    Beat,
    Degraded,
)
