"""Tickets for the live channel: for clients that cannot send a cookie. One use, thirty seconds."""

from __future__ import annotations

from collections.abc import Callable

from regime_trading.core.canonical import sha256_hex
from regime_trading.core.ports import Tickets

GOOD_FOR_NS = 30 * 1_000_000_000
BYTES = 32  #: of entropy


def issue(
    store: Tickets, user_id: str, session_id: str, *, now_ns: int, entropy: Callable[[int], bytes]
) -> str:
    """A new ticket of a session, in hexadecimal; only its hash is kept.

    Parameters
    ----------
    session_id : str
        ``Principal.session_id``: what the ticket will be redeemed for.
    entropy : callable
        So many bytes that nobody can guess.

    Raises
    ------
    NotDurable
        A database that cannot write.
    """
    ticket = entropy(BYTES).hex()
    store.add(sha256_hex(ticket.encode()), user_id, session_id, now_ns + GOOD_FOR_NS)
    return ticket


def redeem(store: Tickets, ticket: str, now_ns: int) -> str | None:
    """Use a ticket up; the session it was made for, or None where it does not count.

    Raises
    ------
    NotDurable
        A database that cannot write: the ticket does not count.
    """
    return store.take(sha256_hex(ticket.encode()), now_ns) if len(ticket) == 2 * BYTES else None
