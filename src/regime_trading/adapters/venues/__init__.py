"""Bars, quotes and trades from venues: crypto exchanges through ccxt, US equities through Alpaca.

Both libraries are an optional extra and imported only when a venue is opened. Every request passes one gate
(rate, retries, JSON check, no redirects, no secrets in errors), every answer carries its provenance.
"""

from regime_trading.adapters.venues.fetched import FolderReport, fetch_to_folder, file_name
from regime_trading.adapters.venues.opening import open_venue
from regime_trading.adapters.venues.provenance import ClockOffset, FeedAge, Provenance, feed_age
from regime_trading.adapters.venues.retry import Attempt, RetryLimits
from regime_trading.adapters.venues.rows import BarRows
from regime_trading.adapters.venues.secrets import Credentials
from regime_trading.adapters.venues.venue import Fetched, Kind, Progress, Venue

__all__ = [
    "Attempt",
    "BarRows",
    "ClockOffset",
    "Credentials",
    "FeedAge",
    "Fetched",
    "FolderReport",
    "Kind",
    "Progress",
    "Provenance",
    "RetryLimits",
    "Venue",
    "feed_age",
    "fetch_to_folder",
    "file_name",
    "open_venue",
]
