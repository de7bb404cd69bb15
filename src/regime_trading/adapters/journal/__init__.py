"""The sealed record: versioned, partitioned Parquet with a manifest beside it."""

from regime_trading.adapters.journal.inputs import ParquetInputs
from regime_trading.adapters.journal.sealer import ParquetSealer

__all__ = ["ParquetInputs", "ParquetSealer"]
