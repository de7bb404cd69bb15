"""Passkeys (WebAuthn level 3): the user is always verified, attestation is not asked for."""

from __future__ import annotations

from collections.abc import Sequence

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import parse_authentication_credential_json
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from regime_trading.core.users import NotIdentified, Passkey, Site, User

_MOST_CHARACTERS = 32_768


class WebauthnPasskeys:
    """Options for the browser, and verification of its answers."""

    def registration(self, site: Site, user: User, known: Sequence[Passkey], challenge: bytes) -> str:
        """Options for ``navigator.credentials.create()``, as JSON."""
        options = generate_registration_options(
            rp_id=site.rp_id,
            rp_name=site.name,
            user_id=user.user_id.encode(),
            user_name=user.login,
            user_display_name=user.name,
            challenge=challenge,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=_described(known),
        )
        return options_to_json(options)

    def registered(
        self, site: Site, user_id: str, answer: str, challenge: bytes, name: str, now_ns: int
    ) -> Passkey:
        """The new passkey.

        Raises
        ------
        NotIdentified
            An answer that does not verify: another challenge, origin or site, or a user who was not verified.
        """
        try:
            found = verify_registration_response(
                credential=_bounded(answer),
                expected_challenge=challenge,
                expected_rp_id=site.rp_id,
                expected_origin=list(site.origins),
                require_user_verification=True,
            )
        except Exception as error:  # the answer is a stranger's: whatever is wrong with it is the same
            raise NotIdentified from error
        key = found.credential_public_key
        return Passkey(found.credential_id, user_id, key, found.sign_count, name, now_ns)

    def authentication(self, site: Site, known: Sequence[Passkey], challenge: bytes) -> str:
        """Options for ``navigator.credentials.get()``, as JSON."""
        options = generate_authentication_options(
            rp_id=site.rp_id,
            challenge=challenge,
            allow_credentials=_described(known),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json(options)

    def credential_id(self, answer: str) -> bytes | None:
        """Whose key an answer says it is of; None where it is no answer."""
        try:
            return bytes(parse_authentication_credential_json(_bounded(answer)).raw_id)
        except Exception:  # as above
            return None

    def authenticated(self, site: Site, passkey: Passkey, answer: str, challenge: bytes) -> int:
        """The new sign count.

        Raises
        ------
        NotIdentified
            An answer that does not verify, or a count that did not rise: a copied key.
        """
        try:
            found = verify_authentication_response(
                credential=_bounded(answer),
                expected_challenge=challenge,
                expected_rp_id=site.rp_id,
                expected_origin=list(site.origins),
                credential_public_key=passkey.public_key,
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=True,
            )
        except Exception as error:  # as above
            raise NotIdentified from error
        if bytes(found.credential_id) != passkey.credential_id:
            raise NotIdentified
        return int(found.new_sign_count)


def _described(known: Sequence[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=one.credential_id) for one in known]


def _bounded(answer: str) -> str:
    if len(answer) > _MOST_CHARACTERS:
        raise ValueError("longer than any answer")
    return answer
