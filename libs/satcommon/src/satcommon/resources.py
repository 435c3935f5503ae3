"""The resource that the locations' assets, jobs, sensors and schedules work with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource, IOManagerDefinition, mem_io_manager

if TYPE_CHECKING:
    from satcommon.environment import Environment

RESOURCE = "satfields"  # its key, and so the name of the parameter that asks for it


class SatfieldsResource(ConfigurableResource[None]):
    """The ledger, the store and the source of scenes that the settings name.

    Opened only when it is asked for, so that what is wrong with it is told by the run or tick that needs it. A subclass
    with another `environment` replaces it, in tests or where settings come from elsewhere.
    """

    def environment(self) -> Environment:
        """The environment of this process.

        Raises:
            SettingError: a variable is wrong.
            DatabaseUnavailableError: the database can't be reached.
            DatabaseVersionError: it is not migrated, or newer than this code.
        """
        from satcommon.environment import environment

        return environment()


def resources() -> dict[str, Any]:
    """The resources of a location's definitions.

    No output of ours is handed on by Dagster. Its default for that would let whoever launches a run choose a folder.
    """
    return {RESOURCE: SatfieldsResource(), "io_manager": _hands_nothing_on}


_hands_nothing_on = IOManagerDefinition(mem_io_manager.resource_fn, config_schema={})
