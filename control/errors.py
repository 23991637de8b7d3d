"""What can go wrong on a router: messages name the thing, the cause and the mend."""


class ControlError(Exception):
    """Base of the control package's errors; `message` is one line for a person."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class DataPlaneError(ControlError):
    """The program or its maps: not compiled, loaded, pinned, read or written."""


class MapFullError(DataPlaneError):
    """A map has no room for what the allowlist holds."""

    def __init__(self, table: str, limit: int, wanted: int, setting: str) -> None:
        super().__init__(
            f"map {table} is full: {wanted} entries wanted, it has room for {limit}; "
            f"raise {setting} and restart the agent"
        )
        self.table = table
        self.limit = limit
        self.wanted = wanted


class LinkError(ControlError):
    """An interface: missing, taken by another program, or without the attach asked for."""


class RegistryError(ControlError):
    """The registry: not reached, refused, or answering what cannot be used."""


class UnreachableError(RegistryError):
    """Nobody answers there, or nobody who can: it may be back soon, as it was."""


class SettingsError(ControlError):
    """The agent's settings: a key that is unknown, missing or wrong."""


class SnapshotError(ControlError):
    """The last good snapshot: not readable, damaged or not writable."""
