"""The sealed record: versioned, partitioned Parquet with a manifest beside it."""

from regime_trading.adapters.journal.sealer import ParquetSealer

__all__ = ["ParquetSealer"]
