"""The cycle: propose, decide, step. The same code in every mode."""
