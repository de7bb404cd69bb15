"""The flow: one thin node per stage."""
