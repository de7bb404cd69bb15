"""What is shown: one module per noun of the API and the screens, without HTTP.

Every view is a function of the sources of one firm and of who asks, and gives frozen models that are JSON as they are:
instants are ISO 8601 text in UTC, money and quantities decimal text, weights and other fractions numbers, and null is
*not known*, never 0. What an asker may not see does not exist for them.
"""
