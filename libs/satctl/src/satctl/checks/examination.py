"""Runs all checks in dependency order: where one fails, those that need it are not run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from satcommon.errors import SatfieldsError

from satctl.checks import configuration, dagster, database, regions, storage
from satctl.checks.findings import Finding, State, System


@dataclass(frozen=True)
class _Check:
    """A check, its name, and the check without which it can't run."""

    name: str
    examine: Callable[[System], Iterator[Finding]]
    needs: str | None = None

    def run(self, system: System, failed: set[str]) -> list[Finding]:
        """The findings, an exception among them; `failed` gains the check's name where it failed or could not run."""
        if self.needs in failed:
            failed.add(self.name)
            return [Finding(self.name, State.NOT_CHECKED, f"needs the {self.needs}")]
        findings: list[Finding] = []
        try:
            for finding in self.examine(system):
                findings.append(finding)  # an exception keeps the findings before it
        except SatfieldsError as error:
            findings.append(Finding(self.name, State.FAILED, str(error)))
        except Exception as error:  # noqa: BLE001  # becomes a finding; the other checks go on
            reason = (str(error).strip().splitlines() or ["no details"])[0]
            findings.append(
                Finding(self.name, State.FAILED, f"{type(error).__name__}: {reason}; this was not expected")
            )
        if any(finding.state is State.FAILED for finding in findings):
            failed.add(self.name)
        return findings


_CHECKS = (
    _Check("database", database.server),
    _Check("database clock", database.clock, needs="database"),
    _Check("schema", database.schema, needs="database"),
    _Check("writes", database.writes, needs="schema"),
    _Check("attempts", database.attempts_partitions, needs="schema"),
    _Check("algorithms", regions.algorithms, needs="schema"),
    _Check("store", storage.object_store),
    _Check("scenes", storage.scenes),
    _Check("sources", regions.sources, needs="schema"),
    _Check("by reference", regions.scenes_by_reference, needs="schema"),
    _Check("not taken", regions.refused_scenes, needs="schema"),
    _Check("dagster database", dagster.records),
    _Check("dagster", dagster.locations),
    _Check("runs", dagster.runs, needs="schema"),
    _Check("disk", storage.disks),
)


def examine() -> Iterator[Finding]:
    """The findings of all checks, without any secret of the settings."""
    settings, findings = configuration.usable_settings()
    if settings is None:
        yield from findings
        yield from (Finding(check.name, State.NOT_CHECKED, "the settings can't be read") for check in _CHECKS)
        return
    system, failed = System(settings), set[str]()
    findings += configuration.misspelt_variables()
    for check in _CHECKS:
        findings += check.run(system, failed)
    secrets = configuration.secrets_of(settings)
    for finding in findings:
        message = finding.said
        for secret in secrets:
            message = message.replace(secret, "***")
        yield Finding(finding.check, finding.state, message)
    with suppress(SatfieldsError):
        system.engine.dispose()
