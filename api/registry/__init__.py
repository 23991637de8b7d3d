"""The registry's rules. Nothing here knows HTTP, and nothing here knows SQL."""
