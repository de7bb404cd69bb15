"""Commands at work: a preview that the server makes, and a confirmation that names it and nothing else.

What can loosen anything never runs from its text. A confirmation looks again whether the person may, and whether the
effects are still those of the preview; where not, it is refused together with a fresh preview.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

from regime_trading.core.access import Answer, Target, is_fresh, may
from regime_trading.core.actors import masked_text, plain_text
from regime_trading.core.approvals import (
    PERMISSIONS,
    Request,
    Required,
    others_needed,
    ttl_ns,
)
from regime_trading.core.commands.execution import Context, Outcome
from regime_trading.core.commands.grammar import parse
from regime_trading.core.commands.policy import REASON_LENGTH, UNSAFE, takes
from regime_trading.core.commands.previews import TTL_NS, Done, Preview, StoredPreview, Use, summary_md
from regime_trading.core.commands.spec import Klass
from regime_trading.core.config_diff import Direction
from regime_trading.core.errors import BadInput, Conflict, NotThere, Refused, RegimeError
from regime_trading.services.acts import place_of_firm, record_acts
from regime_trading.services.approvals import ask
from regime_trading.services.desk import Desk, executor_of, is_ident
from regime_trading.services.understanding import (
    Asker,
    Understood,
    command_act,
    given_of,
    record_refusal,
    understand,
)

QUIET = frozenset({Klass.LOCAL, Klass.READ})  #: change nothing: in the person's history, not in the record


# --- the three verbs ------------------------------------------------------------------------------------------


def preview(desk: Desk, asker: Asker, text: str) -> Preview:
    """What a command would do, stored for five minutes, for this person in this session.

    Raises
    ------
    ParseError
        Text that is no command.
    BadInput
        A firm that must be named, text that may not stay in the record, no session.
    Refused
        The person may not; recorded where they belong to the firm. ``STEP_UP`` comes with the confirmation only.
    """
    understood = understand(desk, asker, text)
    made = _preview(desk, understood)
    given = given_of(understood.context, understood.command, made.klass, "previewed")
    act = command_act(understood, "previewed", made)
    store = desk.previews(made.firm_id)
    record_acts(desk.acts, place_of_firm(made.firm_id), (act,), lambda e: store.add(made, given, e))
    return made


def confirm(
    desk: Desk,
    asker: Asker,
    preview_id: str,
    action_hash: str,
    phrase: str,
    reason: str,
    key: str,
    note: Callable[[], str] = str,
) -> Done:
    """Carry a preview out, once, or ask others for it; the same ``key`` again gets the same answer. ``note`` is asked
    for more that those others read, once nothing else stands in the way.

    Raises
    ------
    Refused
        No such preview of this person in this session (``UNKNOWN``), or the person may not; ``STEP_UP`` where
        identity must be proved again first.
    BadInput
        Another phrase than the one that must be typed, or no reason of ten characters where one is needed.
    Conflict
        Another hash, an expired or used preview, a world that has changed, something that blocks it (which is in the
        record). Carries a fresh preview wherever the command could be previewed again. Nothing was done.
    """
    stored = _find(desk, asker, preview_id)
    made = stored.preview
    if stored.used_key == key and key:
        return _again(stored)
    if stored.used_key is not None:
        raise _stale(desk, asker, made, "used", "this preview was used or voided")
    if action_hash != made.action_hash:
        raise _stale(desk, asker, made, "action_hash", "this is not the preview that was confirmed")
    if desk.now_ns() >= made.expires_ns:
        raise _stale(desk, asker, made, "expired", "the preview has expired")
    said = _require_words(made, phrase, reason)
    now = understand(desk, asker, made.command)
    _require_same(desk, asker, made, now)
    _require_fresh(desk, asker, made, now)
    use = Use(preview_id, key, desk.now_ns())
    if made.others:
        return _request(desk, made, now, use, said, note())
    return _execute(desk, made, now, use, said)


def do(desk: Desk, asker: Asker, text: str, key: str = "") -> Outcome:
    """Run a command that needs no confirmation: local, read, run. What it starts under ``key`` it starts once.

    Raises
    ------
    BadInput
        A command that starts something, without a key.
    Conflict
        ``preview``: it must be confirmed; a fresh preview comes with it. ``blocked``: it cannot be done.
    ParseError, BadInput, Refused
        As :func:`preview`.
    """
    now = understand(desk, asker, text)
    if takes(now.klass, now.context.mode).confirm:
        raise Conflict("preview", f"{now.command.name} must be confirmed", preview(desk, asker, text))
    if now.effects.blocking:
        raise Conflict("blocked", "; ".join(now.effects.blocking))
    if now.klass not in QUIET and not key:
        raise BadInput(expected="one for what starts a job", found="none", where="Idempotency-Key")
    context = replace(now.context, key=key)
    outcome = executor_of(desk, now.command).execute(now.command, context)
    store, given = desk.previews(context.firm_id), given_of(context, now.command, now.klass, "executed")
    if now.klass in QUIET:
        store.note(given)
    else:
        act = command_act(now, "executed")
        record_acts(desk.acts, place_of_firm(context.firm_id), (act,), lambda e: store.note(given, e))
    return outcome


# --- previews -------------------------------------------------------------------------------------------------


def _preview(desk: Desk, now: Understood) -> Preview:
    context, effects, spec = now.context, now.effects, now.spec
    steps = takes(now.klass, context.mode, itself_second=spec.itself_second)
    others = _others(now)
    who = context.account or f"firm {context.firm_id}"
    return Preview(
        preview_id=_new_id(desk, "pv"),
        firm_id=context.firm_id,
        account=context.account,
        mode=context.mode,
        user_id=context.principal.user_id,
        session_id=context.principal.session_id,
        command=now.command.render(),
        resolved_from=now.command.resolved_from,
        klass=now.klass,
        kind=effects.kind,
        summary_md=summary_md(effects, (who,)),
        effects=effects.effects,
        unchanged=effects.unchanged,
        undo=effects.undo,
        diff=effects.diff,
        blocking=effects.blocking,
        warnings=effects.warnings,
        confirm_phrase=(context.account or context.firm_id) if steps.phrase else "",
        requires_reason=steps.reason,
        requires_step_up=steps.step_up,
        others=others,
        base_version=effects.base_version,
        config_hash=effects.config_hash,
        effects_hash=effects.effects_hash,
        code_version=desk.acts.code_version,
        created_ns=context.now_ns,
        expires_ns=context.now_ns + TTL_NS,
    )


def _others(now: Understood) -> int:
    """How many other people a command takes: whatever of class, mode and kind asks for most."""
    if now.klass not in UNSAFE or now.spec.itself_second:
        return 0
    context, kind = now.context, now.effects.kind
    target = Target(context.firm_id, context.account or None)
    could = may(context.principal, PERMISSIONS[kind][1], target, context.now_ns)
    alone = could in (Answer.ALLOWED, Answer.STEP_UP)
    by_class = int(takes(now.klass, context.mode).second)
    return max(by_class, others_needed(kind, context.mode, maker_could_agree=alone), now.effects.others)


def _find(desk: Desk, asker: Asker, preview_id: str) -> StoredPreview:
    """A preview of this person in this session; of anybody else's nothing is told."""
    person = asker.principal
    for firm_id in person.firms if is_ident(preview_id) else ():
        found = desk.previews(firm_id).get(preview_id)
        if found is None:
            continue
        if (found.preview.user_id, found.preview.session_id) == (person.user_id, person.session_id):
            return found
    raise Refused(Answer.UNKNOWN, f"to confirm preview {preview_id}", NotThere("preview", preview_id))


def _again(stored: StoredPreview) -> Done:
    if stored.done is None:
        raise Conflict("pending", "it is being carried out, or was interrupted: look at its state")
    return stored.done


def _stale(desk: Desk, asker: Asker, made: Preview, what: str, detail: str) -> Conflict:
    """The conflict that a preview has run into, with a fresh one where there can be one."""
    meant = replace(asker, firm_id=made.firm_id)
    try:
        return Conflict(what, detail, preview(desk, meant, made.command))
    except (BadInput, Conflict, Refused):
        return Conflict(what, detail)


# --- confirming -----------------------------------------------------------------------------------------------


def _require_words(made: Preview, phrase: str, reason: str) -> str:
    """Check what must be typed; returns the reason."""
    if made.confirm_phrase and phrase != made.confirm_phrase:
        raise BadInput(expected=f"the phrase {made.confirm_phrase}", found="another one", where="phrase")
    said = plain_text(reason or parse(made.command).text("reason"), "reason")
    if made.requires_reason and len(said) < REASON_LENGTH:
        raise BadInput(
            expected=f"a reason of at least {REASON_LENGTH} characters", found=f"{len(said)}", where="reason"
        )
    return said


def _require_same(desk: Desk, asker: Asker, made: Preview, now: Understood) -> None:
    """Refuse a world in which the command would no longer do what its preview said."""
    named = {
        "code_version": (made.code_version, desk.acts.code_version, "the program changed"),
        "base_version": (made.base_version, now.effects.base_version, "the state it is based on changed"),
        "config_hash": (made.config_hash, now.effects.config_hash, "the configuration changed"),
        "effects_hash": (made.effects_hash, now.effects.effects_hash, "its effects changed"),
        "mode": (made.mode, now.context.mode, "the mode of the account changed"),
        "class": (made.klass, now.klass, "its class changed"),
        "others": (made.others, _others(now), "who must agree changed"),
    }
    changed = [(what, detail) for what, (then, found, detail) in named.items() if then != found]
    if changed and not (made.blocking and now.effects.blocking):
        raise _stale(desk, asker, made, changed[0][0], f"{changed[0][1]} since the preview")
    if now.effects.blocking:
        record_refusal(desk, now.context, now.command, now.klass)
        raise Conflict("blocked", "; ".join(now.effects.blocking))


def _require_fresh(desk: Desk, asker: Asker, made: Preview, now: Understood) -> None:
    """Refuse who must prove their identity again first; to stop or tighten nobody must."""
    if now.effects.direction is Direction.TIGHTENS and now.klass not in UNSAFE:
        return
    context, person = now.context, asker.principal
    target = Target(context.firm_id, context.account or None)
    asked = [one for one in (now.spec.permission, now.effects.permission) if one is not None]
    stale = any(may(person, one, target, context.now_ns) is Answer.STEP_UP for one in asked)
    if stale or (made.requires_step_up and not is_fresh(person.stepped_up_ns, desk.now_ns())):
        raise Refused(Answer.STEP_UP, f"to confirm {now.command.name}")


def _execute(desk: Desk, made: Preview, now: Understood, use: Use, reason: str) -> Done:
    """Carry it out, having claimed the preview: whoever comes second finds it used."""
    store = desk.previews(made.firm_id)
    store.claim(use)
    context = replace(now.context, reason=reason, key=made.preview_id)
    try:
        outcome = executor_of(desk, now.command).execute(now.command, context)
    except RegimeError as error:
        _finish(desk, made, now, use, Done(outcome="refused", said=masked_text(str(error))[0]))
        raise
    done = Done(outcome="executed", said=outcome.said, data=dict(outcome.data))
    _finish(desk, made, now, use, done)
    return done


def _finish(desk: Desk, made: Preview, now: Understood, use: Use, done: Done) -> None:
    store, act = desk.previews(made.firm_id), command_act(now, done.outcome, made)
    given = given_of(now.context, now.command, made.klass, done.outcome)
    record_acts(desk.acts, place_of_firm(made.firm_id), (act,), lambda e: store.finish(use, done, given, e))


def _request(desk: Desk, made: Preview, now: Understood, use: Use, reason: str, note: str) -> Done:
    """Ask others for it, in the same transaction that uses the preview."""
    said = made.model_copy(update={"summary_md": "\n\n".join(filter(None, (made.summary_md, note)))})
    request = request_of(desk, said, now.context, reason, others=made.others)
    done = Done(
        outcome="requested",
        said=f"Requested; {made.others} more must agree before it is carried out.",
        request_id=request.request_id,
    )
    given = given_of(now.context, now.command, made.klass, "requested")
    ask(desk, request, use=use, done=done, given=given, told=(command_act(now, "requested", made),))
    return done


def request_of(desk: Desk, made: Preview, context: Context, reason: str, *, others: int) -> Request:
    """The request for what a preview says."""
    now_ns = desk.now_ns()
    return Request(
        request_id=_new_id(desk, "rq"),
        firm_id=made.firm_id,
        account=made.account,
        kind=made.kind,
        klass=made.klass.value,
        loosens=made.klass in UNSAFE,
        command=made.command,
        summary_md=made.summary_md,
        effects=made.effects,
        diff=made.diff,
        effects_hash=made.effects_hash,
        base_version=made.base_version,
        config_hash=made.config_hash,
        code_version=made.code_version,
        maker=made.user_id,
        maker_session=made.session_id,
        maker_actor=context.actor[1],
        reason=reason,
        created_ns=now_ns,
        expires_ns=now_ns + ttl_ns(made.kind),
        required=Required(n=others),
    )


def _new_id(desk: Desk, kind: str) -> str:
    """A random id nobody can guess."""
    return f"{kind}-{base64.b32encode(desk.entropy(10)).decode().lower()}"


__all__ = ["Asker", "confirm", "do", "preview", "request_of"]
