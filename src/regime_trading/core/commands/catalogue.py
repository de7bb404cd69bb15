"""Every command there is (``pwa.md`` 7, as far as ``contracts.md`` 12 lets it). Roles and levels: ``core.access``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from regime_trading.core.access import Permission
from regime_trading.core.commands.spec import Call, CommandSpec, KeySpec, Klass
from regime_trading.core.commands.values import Type

NO_LIVE = "live modes are not built yet: no account can trade with money"
ROUTES = (
    "overview", "runs", "regimes", "basket", "approvals", "portfolio", "constraints", "actions", "configs",
    "audit", "live", "rl", "artifacts", "settings", "admin",
)  # fmt: skip
_JSON = ("json",)


def _account(required: bool = True) -> KeySpec:
    return KeySpec("account", Type.ACCOUNT, required, "account")


def _id(source: str) -> KeySpec:
    return KeySpec("id", Type.ID, True, source)


_FIRM = KeySpec("firm", Type.FIRM, False, "firm")
_RULE = KeySpec("rule", Type.WORD, False, "rule")
_RULE_NEEDED = KeySpec("rule", Type.WORD, True, "rule")
_SYMBOL = KeySpec("symbol", Type.WORD, False, "symbol", many=True)
_FROM, _TO = KeySpec("from", Type.DATE), KeySpec("to", Type.DATE)
_REASON, _REASON_NEEDED = KeySpec("reason", Type.TEXT), KeySpec("reason", Type.TEXT, True)
_SEED = KeySpec("seed", Type.WHOLE)
_BASKET = KeySpec("basket", Type.WORD, False, "basket")
_ACCOUNTS = KeySpec("account", Type.ACCOUNT, False, "account", many=True)
_FIRM_AT = "/api/v1/firms/{firm}"
_PREVIEW = Call("POST", "/api/v1/commands/preview", ("command",))  #: then ``/commands/confirm``
_AT = f"{_FIRM_AT}/accounts/{{account}}"


def _show(
    noun: str, help_: str, call: str, *keys: KeySpec, permission: Permission = Permission.READ
) -> CommandSpec:
    return CommandSpec(
        "show", noun, help_, Klass.READ, permission, keys, Call("GET", call), flags=("json", "watch")
    )


def _run(noun: str, help_: str, *keys: KeySpec) -> CommandSpec:
    body = tuple(key.name for key in keys)
    call = Call("POST", f"{_FIRM_AT}/jobs", body)
    return CommandSpec(
        "run", noun, help_, Klass.RUN, Permission.RUN, keys, call, flags=("json", "watch", "dry-run")
    )


def _propose(noun: str, help_: str) -> CommandSpec:
    keys = (KeySpec("name", Type.WORD, True, "basket"), _account(), KeySpec("from", Type.ID, False, "run"))
    return CommandSpec("propose", noun, help_, Klass.PROPOSE, Permission.PROPOSE_BASKET, keys, _PREVIEW)


def _stop(
    verb: str, noun: str, help_: str, kill: str, permission: Permission, call: Call, *keys: KeySpec
) -> CommandSpec:
    default = noun == "account"
    return CommandSpec(verb, noun, help_, Klass.TIGHTEN, permission, keys, call, kill=kill, default=default)


_READS = (
    CommandSpec(
        "go", "", "go to a page or to what an id names", Klass.READ, None,
        takes=KeySpec("to", Type.WORD, True, "route", ROUTES),
    ),
    _show("constraints", "limits: how much of each is used, and who set it", f"{_AT}/constraints", _account(), _RULE),
    _show("portfolio", "positions, exposures and money", f"{_AT}/portfolio", _account()),
    _show("regime", "the regime now, by symbol", f"{_FIRM_AT}/regimes", _SYMBOL),
    _show("run", "one run: stages, log, artifacts", f"{_FIRM_AT}/runs/{{id}}", _id("run")),
    _show(
        "audit", "entries of the record", f"{_FIRM_AT}/audit/entries", _account(), _RULE, _FROM, _TO,
        permission=Permission.READ_AUDIT,
    ),
    _show(
        "diff", "what changed between two versions of a configuration", f"{_FIRM_AT}/configs/diff", _account(),
        KeySpec("from", Type.WHOLE, False, "version"), KeySpec("to", Type.WHOLE, False, "version"),
        permission=Permission.READ_CONFIG,
    ),
    _show("rl", "state of the RL dataset", f"{_FIRM_AT}/rl", _account(), _FROM, _TO),
    _show("artifact", "one file of a run", f"{_FIRM_AT}/artifacts/preview", _id("run"),
          KeySpec("v", Type.WORD, True, "artifact")),
    CommandSpec(
        "config", "diff", "what a version changes, key by key", Klass.READ, Permission.READ_CONFIG,
        (_account(), KeySpec("from", Type.WHOLE, True, "version"), KeySpec("to", Type.WHOLE, False, "version")),
        Call("GET", f"{_FIRM_AT}/configs/diff"), flags=_JSON,
    ),
)  # fmt: skip
_RUNS = (
    _run("regime", "read the regimes of symbols, without deciding anything", _SYMBOL, _BASKET, _TO),
    _run("backtest", "replay history through the account's own rules", _ACCOUNTS, _BASKET, _SYMBOL, _FROM, _TO, _SEED),
    _run("scan", "rank candidates by regime and evidence", _SYMBOL, _BASKET, _TO),
    _run("report", "render the report of a run or a backtest again", _id("run")),
    _run("shadow", "decide on today's data without sending an order", _ACCOUNTS, _BASKET, _SEED),
    CommandSpec(
        "cancel", "run", "stop a run that has not ended", Klass.RUN, Permission.CANCEL_RUN, (_id("run"),),
        Call("POST", f"{_FIRM_AT}/jobs/{{id}}/cancel"), default=True,
    ),
)  # fmt: skip
_PROPOSALS = (
    _propose("basket", "draft what a run proposed for a basket, for an account"),
    _propose("allocation", "draft what a run left an account with, under a name of its own"),
    CommandSpec(
        "config", "set", "change limits of an account", Klass.PROPOSE, Permission.DRAFT_CONFIG,
        (_account(), _REASON), _PREVIEW, open_keys=True, computed=True,
    ),
    CommandSpec(
        "config", "rollback", "propose an earlier version again", Klass.PROPOSE, Permission.TIGHTEN,
        (_account(), KeySpec("v", Type.WHOLE, True, "version"), _REASON),
        _PREVIEW, computed=True,
    ),
    CommandSpec(
        "config", "apply", "put a version that was drafted into force", Klass.PROPOSE, Permission.DRAFT_CONFIG,
        (_account(False), KeySpec("v", Type.WHOLE, True, "version"), _REASON),
        Call("POST", f"{_FIRM_AT}/configs/{{v}}/propose", ("reason",)), computed=True,
    ),
    CommandSpec(
        "override", "rule", "tighten one limit until an instant; no override loosens", Klass.TIGHTEN,
        Permission.OVERRIDE,
        (_account(), _RULE_NEEDED, KeySpec("value", Type.LIMIT, True), KeySpec("until", Type.UNTIL, True), _REASON),
        _PREVIEW, default=True,
    ),
)  # fmt: skip
_ANSWERS = (
    CommandSpec(
        "ack", "breach", "say that a breach was seen; no limit moves, no lock is released", Klass.NEUTRAL,
        Permission.HALT, (_account(), _RULE_NEEDED, KeySpec("breach", Type.ID), _REASON), _PREVIEW, default=True,
    ),
    CommandSpec(
        "approve", "proposal", "agree to what somebody else asked for", Klass.LOOSEN, Permission.APPROVE_LOOSENING,
        (_id("proposal"), _REASON), Call("POST", f"{_FIRM_AT}/approvals/{{id}}/approve", ("reason",)),
        default=True, itself_second=True,
    ),
    CommandSpec(
        "reject", "proposal", "refuse what somebody else asked for", Klass.NEUTRAL, Permission.APPROVE_LOOSENING,
        (_id("proposal"), _REASON_NEEDED),
        Call("POST", f"{_FIRM_AT}/approvals/{{id}}/reject", ("reason",)), default=True,
    ),
)  # fmt: skip
_REQUESTS = (
    CommandSpec(
        "release", "run", "let the orders of one account of a run leave", Klass.LOOSEN, Permission.APPROVE_BASKET,
        (_id("proposal"), KeySpec("run", Type.ID, True, "run"), _account()),
        Call("POST", f"{_FIRM_AT}/approvals/{{id}}/approve"), internal=True,
    ),
)  # fmt: skip
_STOPS = (
    _stop("halt", "account", "stop new risk: exits only, entries cancelled", "K1", Permission.HALT,
          Call("POST", f"{_AT}/halt", ("reason",)), _account(), _REASON),
    _stop("halt", "firm", "stop new risk in every account of the firm", "K1", Permission.KILL_FIRM,
          Call("POST", f"{_FIRM_AT}/halt", ("reason",)), _FIRM, _REASON),
    _stop("kill", "account", "K2 cancels every working entry, K3 also closes every position", "", Permission.KILL,
          Call("POST", f"{_AT}/halt", ("level", "reason")), _account(),
          KeySpec("level", Type.CHOICE, True, choices=("K2", "K3")), _REASON),
    _stop("flatten", "account", "close every position and lock the account", "K3", Permission.KILL,
          Call("POST", f"{_AT}/halt", ("reason",)), _account(),
          KeySpec("max_slippage", Type.SHARE), _REASON),
)  # fmt: skip
_MODES = (
    CommandSpec(
        "resume", "account", "let a halted account trade again", Klass.LOOSEN, Permission.REQUEST_UNLOCK,
        (_account(), _REASON), Call("POST", f"{_AT}/resume", ("reason",)), default=True,
    ),
    CommandSpec(
        "resume", "firm", "end the halt of a whole firm; halts of its accounts and locks of rules hold on",
        Klass.LOOSEN, Permission.REQUEST_UNLOCK, (_FIRM, _REASON), Call("POST", f"{_FIRM_AT}/resume", ("reason",)),
    ),
    CommandSpec(
        "live", "enable", "let an account trade with money", Klass.LIVE, Permission.REQUEST_LIVE,
        (_account(), KeySpec("mode", Type.CHOICE, True, choices=("gated", "live")),
         KeySpec("until", Type.UNTIL, True), _REASON),
        Call("POST", f"{_AT}/mode", ("mode", "reason")), not_built=NO_LIVE,
    ),
    CommandSpec(
        "live", "disable", "take an account back to dry runs", Klass.TIGHTEN, Permission.SHADOW,
        (_account(), _REASON), _PREVIEW,
    ),
    CommandSpec(
        "live", "shadow", "decide on live data without sending orders", Klass.NEUTRAL, Permission.SHADOW,
        (_account(), _REASON), Call("POST", f"{_AT}/mode", ("reason",)),
    ),
)  # fmt: skip
_LOCAL = (
    CommandSpec("help", "", "commands, or one verb in detail", Klass.LOCAL, None,
                takes=KeySpec("verb", Type.WORD, False, "verb")),
    CommandSpec("theme", "", "colours of the screen", Klass.LOCAL, None,
                takes=KeySpec("name", Type.CHOICE, True, choices=("dark", "light", "contrast", "system"))),
    CommandSpec("tz", "", "the zone times are shown in", Klass.LOCAL, None,
                takes=KeySpec("zone", Type.CHOICE, True, choices=("utc", "local"))),
    CommandSpec("hide", "amounts", "hide or show amounts of money", Klass.LOCAL, None, default=True),
)  # fmt: skip
CATALOGUE: tuple[CommandSpec, ...] = (
    *_READS, *_RUNS, *_PROPOSALS, *_ANSWERS, *_REQUESTS, *_STOPS, *_MODES, *_LOCAL,
)  # fmt: skip

#: Other ways to say a command. What they stand for is shown before anything happens.
ALIASES: Mapping[tuple[str, str], tuple[str, str]] = MappingProxyType(
    {
        ("enable", "live"): ("live", "enable"),
        ("disable", "live"): ("live", "disable"),
        ("enable", "shadow"): ("live", "shadow"),
        ("set", "config"): ("config", "set"),
        ("rollback", "config"): ("config", "rollback"),
        ("diff", "config"): ("config", "diff"),
        ("stop", "run"): ("cancel", "run"),
        ("pause", "account"): ("halt", "account"),
        ("unlock", "account"): ("resume", "account"),
        ("unlock", "firm"): ("resume", "firm"),
    }
)


def _by_verb() -> dict[str, tuple[CommandSpec, ...]]:
    verbs: dict[str, tuple[CommandSpec, ...]] = {}
    for spec in CATALOGUE:
        verbs[spec.verb] = (*verbs.get(spec.verb, ()), spec)
    return verbs


BY_VERB: Mapping[str, tuple[CommandSpec, ...]] = MappingProxyType(_by_verb())


def find_spec(verb: str, noun: str) -> CommandSpec:
    """The command of a verb and an object, as the parser names them.

    Raises
    ------
    KeyError
        No such command.
    """
    specs = BY_VERB[verb]
    if specs[0].takes is not None:
        return specs[0]
    return {spec.object: spec for spec in specs}[noun]
