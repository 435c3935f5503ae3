"""Backups of the ledger in the charts, and the examples of PostgreSQL's own."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from tests.deploy.charts import ROOT, VALUES, Manifest, manifests, only, platform, pod_templates
from tests.deploy.test_chart_features import BUCKET, settings
from tests.deploy.test_chart_network import Pod, edges

ON_A_VOLUME = "/var/lib/satfields/backups"
PRODUCTION = VALUES / "production"


def with_backup(values: Manifest | None = None, **backup: object) -> list[Manifest]:
    return platform("minikube", {**(values or {}), "backup": {"enabled": True, "to": ON_A_VOLUME, **backup}})


def test_backups_are_off_on_a_trial_cluster_and_on_in_production() -> None:
    assert "CronJob/satfields-backup" not in pod_templates(platform("minikube"))
    assert "SATFIELDS_BACKUPS" not in settings(platform("minikube"))
    assert "CronJob/satfields-backup" in pod_templates(platform("production"))


def test_a_backup_comes_at_its_time_never_twice_at_once_and_as_satctl() -> None:
    found = with_backup(schedule="*/5 * * * *", keepDays=9, resources={"limits": {"memory": "3Gi"}})
    job = only(found, "CronJob", "satfields-backup")["spec"]
    pods = pod_templates(found)
    spec, gc = pods["CronJob/satfields-backup"]["spec"], pods["CronJob/satfields-satctl"]["spec"]
    [container], [of_gc] = spec["containers"], gc["containers"]

    assert (job["schedule"], job["concurrencyPolicy"]) == ("*/5 * * * *", "Forbid")
    assert container["args"] == ["backup", "create", "--keep-days", "9"]
    assert container["resources"] == {"requests": {"cpu": "250m", "memory": "384Mi"}, "limits": {"memory": "3Gi"}}
    same = {"image", "imagePullPolicy", "envFrom", "securityContext", "volumeMounts", "terminationMessagePolicy"}
    assert {name: container[name] for name in same} == {name: of_gc[name] for name in same}
    assert {n: v for n, v in spec.items() if n != "containers"} == {n: v for n, v in gc.items() if n != "containers"}


def test_gc_keeps_as_long_as_backups_are_kept_or_longer_where_settings_say_so() -> None:
    known = settings(with_backup(keepDays=9))
    longer = settings(with_backup({"settings": {"SATFIELDS_BACKUP_DAYS": 40}}, keepDays=9))

    assert (known["SATFIELDS_BACKUPS"], known["SATFIELDS_BACKUP_DAYS"]) == (ON_A_VOLUME, "9")
    assert longer["SATFIELDS_BACKUP_DAYS"] == "40"


@pytest.mark.parametrize("to", ["", "backups", "/tmp/backups", "/var/lib/satfieldsbackups"])
def test_a_backup_into_a_pods_own_files_is_refused(to: str) -> None:
    with pytest.raises(ValueError, match=r"backup\.to"):
        with_backup(to=to)


def test_a_backup_into_a_folder_needs_the_volume() -> None:
    with pytest.raises(ValueError, match=r"backup\.to"):
        with_backup(BUCKET)


@pytest.mark.parametrize(
    ("values", "to", "reached"),
    [({}, ON_A_VOLUME, set()), ({}, "s3://backups/x", {443}), (BUCKET, "s3://backups/x", {443})],
)
def test_a_backup_reaches_its_bucket_and_the_database_and_nothing_else(
    values: Manifest, to: str, reached: set[int]
) -> None:
    found = with_backup(values, to=to)
    policies = [one for one in found if one["kind"] == "NetworkPolicy"]

    def pod(name: str) -> Pod:
        return Pod(pod_templates(found)[name]["metadata"]["labels"], {"postgresql": 5432, "http": 3000})

    job = pod("CronJob/satfields-backup")
    assert edges(policies, job, None) - {53} == reached
    assert edges(policies, job, pod("StatefulSet/satfields-postgresql")) - {53} == {5432}
    assert edges(policies, job, pod("Deployment/satfields-webserver")) - {53} == set()
    assert edges(policies, pod("CronJob/satfields-satctl"), None) - {53} == reached  # which restores


# PostgreSQL's own backups, by examples that no chart reads.


def example(name: str) -> dict[str, Manifest]:
    return {one["kind"]: one for one in manifests((PRODUCTION / name).read_text())}


def test_the_example_of_cloudnative_pg_fits_together() -> None:
    found, again = example("cloudnative-pg.yaml"), example("cloudnative-pg-recovery.yaml")["Cluster"]["spec"]
    name = found["Cluster"]["metadata"]["name"]
    [plugin] = found["Cluster"]["spec"]["plugins"]
    scheduled = found["ScheduledBackup"]["spec"]
    [archive] = again["externalClusters"]

    assert set(found) == {"ObjectStore", "Cluster", "Database", "ScheduledBackup"}
    assert plugin["isWALArchiver"] is True
    assert plugin["parameters"]["barmanObjectName"] == found["ObjectStore"]["metadata"]["name"]
    assert found["Cluster"]["spec"]["postgresql"]["parameters"]["archive_timeout"] == "5min"
    assert len(scheduled["schedule"].split()) == 6  # with seconds
    assert (scheduled["method"], scheduled["pluginConfiguration"]["name"]) == ("plugin", plugin["name"])
    assert {one["spec"]["cluster"]["name"] for one in (found["ScheduledBackup"], found["Database"])} == {name}
    assert again["bootstrap"]["recovery"]["source"] == archive["name"]
    assert archive["plugin"]["name"] == plugin["name"]
    assert archive["plugin"]["parameters"] == {**plugin["parameters"], "serverName": name}


def test_each_example_takes_base_backups_which_a_log_is_replayed_on() -> None:
    conf, lines = configparser.ConfigParser(), (PRODUCTION / "pgbackrest.cron").read_text().splitlines()
    conf.read(PRODUCTION / "pgbackrest.conf")
    [stanza] = set(conf) - {"DEFAULT", "global"}
    jobs = [line.split() for line in lines if not line.startswith("#")]
    page = (ROOT / "docs" / "how-to" / "back-up-and-recover.md").read_text()

    days = {kind: weekdays for *_, weekdays, _, _, _, kind, _ in jobs}
    assert days == {"--type=full": "0", "--type=diff": "1-6"}  # one on each day of the week
    assert {" ".join(job[5:8]) for job in jobs} == {f"postgres pgbackrest --stanza={stanza}"}
    assert {job[-1] for job in jobs} == {"backup"}
    for command in ("stanza-create", "check", "--type=full backup"):
        assert f"sudo -u postgres pgbackrest --stanza={stanza} {command}" in page
    scheduled = example("cloudnative-pg.yaml")["ScheduledBackup"]["spec"]
    assert scheduled["immediate"] is True  # else none is there for a day


def test_archives_of_both_examples_are_kept_as_long_as_backups_in_production() -> None:
    days = int(settings(platform("production"))["SATFIELDS_BACKUP_DAYS"])
    conf = configparser.ConfigParser()
    conf.read(PRODUCTION / "pgbackrest.conf")

    kept = example("cloudnative-pg.yaml")["ObjectStore"]["spec"]["retentionPolicy"]

    assert kept == f"{days}d"
    assert (conf["global"]["repo1-retention-full-type"], conf["global"]["repo1-retention-full"]) == ("time", str(days))
    assert set(conf) - {"DEFAULT", "global"} == {"satfields"}


def test_backups_lie_in_another_bucket_than_the_store() -> None:
    known = settings(platform("production"))
    assert Path(known["SATFIELDS_BACKUPS"]).parts[1] != Path(known["SATFIELDS_STORE"]).parts[1]
