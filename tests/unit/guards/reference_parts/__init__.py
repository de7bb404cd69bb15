"""The plain reference, guard by guard."""
