"""Regime Trading: regimes to allocations, through every account's own rules, with proof."""

__version__ = "0.1.0"
