"""One error family. Every error says what was expected, what was found, and where."""

from __future__ import annotations

from regime_trading.core.access import Answer

MOST = 500  #: characters kept of a name that somebody made up


class RegimeError(Exception):
    """Base of every error this product raises on purpose.

    Attributes
    ----------
    exit_code : int
        Exit status of the command line (0 done, 1 failed, 2 bad input, 3 a check did not hold).
    """

    exit_code = 1


class BadInput(RegimeError):
    """Input or usage that cannot be accepted.

    Parameters
    ----------
    expected : str
        What a correct input would have been.
    found : str
        What was there instead.
    where : str
        File, row, column, key or layer.
    """

    exit_code = 2

    def __init__(self, *, expected: str, found: str, where: str) -> None:
        self.expected, self.found, self.where = expected, found, where
        super().__init__(f"{where}: expected {expected}, found {found}")


class NotThere(BadInput):
    """What does not exist, or exists for others only: the asker is told the same of both.

    Parameters
    ----------
    what : str
        Kind of thing that was asked for, one word or few of ours.
    name : str
        What it was called; where several are not there, one of them.
    firm_id : str
        The firm it was looked for in, where no address says so.
    expected : str
        What would have been there, where ``what`` does not say it.
    """

    def __init__(self, what: str, name: str, firm_id: str = "", expected: str = "") -> None:
        self.what, self.name, self.firm_id = what, name[:MOST], firm_id
        super().__init__(expected=expected or f"{what} that exists", found=name[:140], where=what)


class NotYet(NotThere):
    """Nothing to show of what the asker may see. Nobody named what is not theirs, so it is no refused attempt."""


class CheckFailed(RegimeError):
    """A verification did not hold."""

    exit_code = 3


class Conflict(RegimeError):
    """The world is not the one that was acted upon; nothing was done.

    Parameters
    ----------
    what : str
        What changed, as a word.
    detail : str
        The same as a sentence.
    fresh : object, optional
        What would be acted upon now (a new preview).
    """

    def __init__(self, what: str, detail: str, fresh: object = None) -> None:
        self.what, self.detail, self.fresh = what, detail, fresh
        super().__init__(f"{what}: {detail}")


class Refused(RegimeError):
    """Somebody may not do this.

    Parameters
    ----------
    answer : Answer
    what : str
        What they may not do, as the end of a sentence.
    sought : NotThere, optional
        What is not there, where the answer is ``UNKNOWN``.
    why : str
        What stands in the way, as a sentence to whoever it is; empty where the answer says all.
    """

    def __init__(self, answer: Answer, what: str, sought: NotThere | None = None, *, why: str = "") -> None:
        self.answer, self.what, self.sought, self.why = answer, what, sought, why
        super().__init__(f"not allowed ({answer.value}) {what}")


class NotDurable(RegimeError):
    """The record could not be made durable; nothing that depends on it may leave."""


class StoreDown(NotDurable):
    """The store itself cannot be read or written: down, full, read-only. Not a contradiction of what it holds."""


class Overtaken(NotDurable):
    """An account was decided for a later time meanwhile, by somebody else; nothing was recorded.

    Parameters
    ----------
    account : str
        ``firm/account``.
    """

    def __init__(self, account: str) -> None:
        self.account = account
        super().__init__(f"{account} was decided by somebody else meanwhile; nothing was recorded")


class TooMuch(RegimeError):
    """A question whose answer would take too long or too much memory; a narrower one can be answered."""
