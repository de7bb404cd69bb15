"""Sources of bars: ``open_source(name or path)`` answers the ``MarketData`` port."""

from regime_trading.adapters.market_data.integrity import IntegrityLimits
from regime_trading.adapters.market_data.registry import open_source
from regime_trading.adapters.market_data.table import BarTable

__all__ = ["BarTable", "IntegrityLimits", "open_source"]
