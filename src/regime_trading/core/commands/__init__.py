"""Commands (C-2): one strict grammar, one catalogue, one table of what each class of command takes.

A command is text; :func:`~regime_trading.core.commands.grammar.parse` makes it a frozen ``Command`` or says where it
is wrong. Nothing is ever corrected into being executed.
"""
