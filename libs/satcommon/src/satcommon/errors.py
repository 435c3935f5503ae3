"""What can go wrong, as types: what is retryable and what is not is never guessed from a message.

A message names the thing, its value, what was expected and what to do next.
"""


class SatfieldsError(Exception):
    """The root of every error that Satfields raises on purpose."""


class PermanentError(SatfieldsError):
    """Trying again gives the same; it waits for a new field, scene, setting or version."""


class RetryableError(SatfieldsError):
    """Trying again later may succeed: a store or database that was not reachable."""


class InputError(PermanentError):
    """What a user gave can't be taken. Nothing of it was applied."""


class SettingError(PermanentError):
    """An environment variable is missing or wrong; the message names it."""


class DatabaseVersionError(PermanentError):
    """The database is not migrated, or newer than this code."""


class DatabaseUnavailableError(RetryableError):
    """The database could not be reached, or stayed locked for longer than the time-out."""


class StoreError(RetryableError):
    """The object store could not be reached, or refused to write."""


class ObjectMissingError(StoreError):
    """No object lies under the key: it was collected after the key moved away; read the key again."""


class SceneError(PermanentError):
    """An acquisition or a scene can't be read as what it claims to be."""


class AlgorithmError(PermanentError):
    """The region is pinned to an algorithm version that this image does not support."""


def describe(error: Exception) -> str:
    """An error's message for people: ours says all that is needed, any other needs its type."""
    return str(error) if isinstance(error, SatfieldsError) else f"{type(error).__name__}: {error}"
