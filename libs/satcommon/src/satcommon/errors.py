"""Errors as types: whether one is retryable is never guessed from a message.

A message names the thing, its value, what was expected and what to do next.
"""


class SatfieldsError(Exception):
    """The root of every error that Satfields raises on purpose."""


class PermanentError(SatfieldsError):
    """Trying again fails again, until a new field, scene, setting or version."""


class RetryableError(SatfieldsError):
    """Trying again later may succeed: a store or database that was not reachable."""


class InputError(PermanentError):
    """A user's input is refused. Nothing of it was applied."""


class RemovedError(InputError):
    """What was asked for was published, and removed: out of retention, or lost."""


class SettingError(PermanentError):
    """An environment variable is missing or wrong; the message names it."""


class DatabaseVersionError(PermanentError):
    """The database is not migrated, or newer than this code."""


class DatabaseUnavailableError(RetryableError):
    """The database could not be reached, or stayed locked for longer than the time-out."""


class StoreError(RetryableError):
    """The object store could not be reached, or refused to write."""


class ArchiveError(StoreError):
    """A file of an archive of imagery could not be reached, or may not be read."""


class CatalogueError(RetryableError):
    """A catalogue of imagery could not be searched to the end. That is never the same as a day without imagery."""


class ObjectMissingError(StoreError):
    """No object lies under the key: it is lost, or was removed since the log was read; read the log again."""


class DamagedObjectError(PermanentError):
    """An object is not the one that was put: damaged, or another."""


class SceneError(PermanentError):
    """An acquisition or a scene is not what it is declared to be, or can't be read."""


class RadiometricError(SceneError):
    """An acquisition can be read, but its pixels contradict what is declared of it; `check` names the rule."""

    def __init__(self, message: str, check: str) -> None:
        super().__init__(message)
        self.check = check


class AlgorithmError(PermanentError):
    """The region is pinned to an algorithm version that this image does not support."""


def describe(error: Exception) -> str:
    """An error's message for people: ours says all that is needed, any other needs its type."""
    return str(error) if isinstance(error, SatfieldsError) else f"{type(error).__name__}: {error}"
