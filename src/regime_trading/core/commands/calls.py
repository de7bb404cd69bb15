"""From a command that shows something to the GET request that its row of the catalogue stands for."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from regime_trading.core.commands.catalogue import find_spec
from regime_trading.core.commands.grammar import Command
from regime_trading.core.commands.values import instant_ns
from regime_trading.core.instants import instant_text

_LAST = {
    "constraints": "rule",
    "regime": "symbol",
}  #: what narrows a page down to one row, as the end of its path


def request_of(command: Command, firm_id: str, now_ns: int) -> str:
    """Path and query of what a command shows; empty where the screen does it by itself, or it shows nothing.

    Parameters
    ----------
    command : Command
    firm_id : str
        Of the account it names, else the one that is meant.
    now_ns : int
        UTC nanoseconds; durations count from here.
    """
    call = find_spec(command.verb, command.object).call
    if call is None or call.method != "GET":
        return ""
    said = {pair.key: pair.values[0].text for pair in command.pairs}
    account = said.pop("account", "").rpartition("/")[2]
    named = {"firm": firm_id, "account": account, "id": said.get("id", "")}
    path = "/".join(
        quote(named[part[1:-1]], safe="") if part.startswith("{") else part for part in call.path.split("/")
    )
    if last := said.pop(_LAST.get(command.object, ""), ""):
        path = f"{path}/{quote(last, safe='')}"
    query = _query(command, said, now_ns)
    if account and "{account}" not in call.path and not call.path.endswith("/diff"):
        query["account"] = f"{firm_id}/{account}"
    return f"{path}?{urlencode(query)}" if query else path


def _query(command: Command, said: Mapping[str, str], now_ns: int) -> dict[str, str]:
    if command.object == "artifact":
        path = said["v"] if said["v"].startswith("runs/") else f"runs/{said['id']}/{said['v']}"
        return {"path": path}
    if command.object == "audit":
        at = {
            key: instant_text(instant_ns(command.values(key)[0], now_ns))
            for key in ("from", "to")
            if key in said
        }
        named = {"rule_id": said["rule"]} if "rule" in said else {}
        return named | at
    return {"from": said["from"], "to": said.get("to", said["from"])} if "from" in said else {}
