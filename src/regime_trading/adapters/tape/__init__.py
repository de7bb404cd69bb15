"""Tapes: ``open_tape(file)`` answers the ``TapeSource`` port; ``import_tape`` keeps one in its normal form."""

from regime_trading.adapters.tape.imported import Imported, import_tape, open_folder_tapes
from regime_trading.adapters.tape.registry import open_tape

__all__ = ["Imported", "import_tape", "open_folder_tapes", "open_tape"]
