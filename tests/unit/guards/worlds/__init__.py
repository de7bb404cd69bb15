"""Random worlds, guard by guard."""
