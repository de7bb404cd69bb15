"""Templates and style of the HTML report, as package data."""
