"""HTTP: what comes in is checked, handed to the registry, and answered."""
