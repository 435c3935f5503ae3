"""Comparing this machine's clock with those of servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from satctl.checks.findings import Finding, State

SKEW_WARNED, SKEW_REFUSED = timedelta(seconds=5), timedelta(seconds=60)


def now() -> datetime:
    """The time by this machine's clock, in UTC."""
    return datetime.now(UTC)


def compare_clocks(check: str, whose: str, before: datetime, theirs: datetime, after: datetime) -> Finding:
    """Whether a server's clock agrees with this machine's.

    Args:
        check: name of the check.
        whose: the server, in the possessive.
        before: this machine's time before the server's was read.
        theirs: the server's time.
        after: this machine's time after it was read.
    """
    skew = max(before - theirs, theirs - after, timedelta(0))
    if skew <= SKEW_WARNED:
        return Finding(check, State.OK, f"{whose} clock and this machine's agree within {SKEW_WARNED.seconds} s")
    relation = "behind" if theirs > after else "ahead of"
    state = State.FAILED if skew > SKEW_REFUSED else State.WARNING
    said = (
        f"this machine's clock is {skew.total_seconds():,.0f} s {relation} {whose}; synchronise both with an NTP server"
    )
    return Finding(check, state, said)
