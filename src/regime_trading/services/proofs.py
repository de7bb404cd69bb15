"""What a proof of identity is worth: whether it holds, and what it uses up."""

from __future__ import annotations

from regime_trading.core.credentials import plain_recovery_code
from regime_trading.core.passwords import normal_password
from regime_trading.core.users import (
    Account,
    NotIdentified,
    PasskeyAnswer,
    PasswordAgain,
    Proof,
    RecoveryCode,
    Session,
    Spent,
    TotpCode,
)
from regime_trading.services.people import People

_METHODS = {TotpCode: "totp", RecoveryCode: "recovery", PasskeyAnswer: "passkey", PasswordAgain: "password"}


def method_of(proof: Proof) -> str:
    """What a proof is called in the record."""
    return _METHODS[type(proof)]


def spent_by(people: People, session: Session, account: Account, proof: Proof, now_ns: int) -> Spent:
    """What a proof that holds uses up. It is used up only with the change it is for.

    Raises
    ------
    NotIdentified
        It does not hold.
    """
    if isinstance(proof, TotpCode):
        return Spent(totp_step=_totp_step(people, account, proof, now_ns))
    if isinstance(proof, RecoveryCode):
        return Spent(recovery_hash=recovery_hash(people, account.user.user_id, proof.code))
    if isinstance(proof, PasskeyAnswer):
        return _passkey(people, session, account, proof, now_ns)
    if not people.passwords.verify(account.password_hash, normal_password(proof.password[:1024])):
        raise NotIdentified
    return Spent()


def recovery_hash(people: People, user_id: str, code: str) -> str:
    """How a recovery code is stored."""
    return people.hashed("recovery", f"{user_id}:{plain_recovery_code(code[:64])}")


def open_seed(people: People, user_id: str, sealed: bytes) -> str:
    """The seed of an authenticator."""
    return people.sealer.open(sealed, user_id.encode()).decode()


def _totp_step(people: People, account: Account, proof: TotpCode, now_ns: int) -> int:
    user_id = account.user.user_id
    stored = people.factors.totp(user_id, confirmed=True)
    if stored is None:
        raise NotIdentified
    step = people.totp.step_of(open_seed(people, user_id, stored[0]), proof.code, now_ns)
    if step is None or step <= stored[1]:
        raise NotIdentified
    return step


def _passkey(people: People, session: Session, account: Account, proof: PasskeyAnswer, now_ns: int) -> Spent:
    challenge = people.factors.take_challenge(session.session_id, "authenticate", now_ns)
    named = people.passkeys.credential_id(proof.response)
    known = {one.credential_id: one for one in people.factors.passkeys(account.user.user_id)}
    if challenge is None or named is None or named not in known:
        raise NotIdentified
    count = people.passkeys.authenticated(proof.site, known[named], proof.response, challenge)
    return Spent(credential_id=named, sign_count=count)
