"""What proves an identity, over the common libraries: no cryptography of our own."""

from regime_trading.adapters.identity.passkeys import WebauthnPasskeys
from regime_trading.adapters.identity.passwords import Argon2Passwords
from regime_trading.adapters.identity.sealing import AesGcmSealer
from regime_trading.adapters.identity.totp import PyotpTotp

__all__ = ["AesGcmSealer", "Argon2Passwords", "PyotpTotp", "WebauthnPasskeys"]
