"""Who may talk to whom by the rendered policies; a small evaluator of NetworkPolicy, since clusters differ in theirs.

Peers in the cluster are pods of this namespace, given by their labels; what is outside is ``None``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import permutations

import pytest

from tests.deploy.charts import LOCATIONS, Manifest, api, location, of_kind, platform, pod_templates
from tests.deploy.test_chart_features import BUCKET, FOLDER

TESTED = {22, 53, 80, 443, 3000, 4000, 5432, 6443, 8080, 9000, 9464}
WORK = ("run", "satctl", "migrate", "metrics", "api")  # on ledger and objects, besides the locations
OUTSIDE_DATABASE = {"postgresql": {"enabled": False}, "settings": FOLDER}


@dataclass(frozen=True)
class Pod:
    """Labels, and the ports that have names."""

    labels: dict[str, str]
    ports: dict[str, int] = field(default_factory=dict)


def chosen(selector: Manifest, labels: dict[str, str]) -> bool:
    checks = {
        "In": lambda one: labels.get(one["key"]) in one["values"],
        "NotIn": lambda one: labels.get(one["key"]) not in one["values"],
        "Exists": lambda one: one["key"] in labels,
        "DoesNotExist": lambda one: one["key"] not in labels,
    }
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(checks[one["operator"]](one) for one in selector.get("matchExpressions", []))


def is_peer(peers: list[Manifest] | None, other: Pod | None) -> bool:
    """No list of peers, or an empty one, is everybody; ``None`` is met by blocks of addresses alone."""
    if not peers:
        return True
    return any("ipBlock" in peer if other is None else own(peer, other) for peer in peers)


def own(peer: Manifest, other: Pod) -> bool:
    return "podSelector" in peer and "namespaceSelector" not in peer and chosen(peer["podSelector"], other.labels)


def is_port(ports: list[Manifest] | None, port: int, at: Pod | None) -> bool:
    """A port's name is what the pod that is asked calls it."""
    tcp = [one["port"] for one in ports or [] if one["protocol"] == "TCP"]
    named = at.ports if at else {}
    return not ports or port in [named.get(one) if isinstance(one, str) else one for one in tcp]


def allowed(policies: Iterable[Manifest], way: str, pod: Pod | None, other: Pod | None, port: int) -> bool:
    """Whether ``pod`` may send to, or receive from, ``other``; who no policy chooses may."""
    if pod is None:
        return True
    mine = [
        one["spec"]
        for one in policies
        if way in one["spec"]["policyTypes"] and chosen(one["spec"]["podSelector"], pod.labels)
    ]
    key, peers, at = ("egress", "to", other) if way == "Egress" else ("ingress", "from", pod)
    rules = [rule for policy in mine for rule in policy.get(key, [])]
    return not mine or any(is_peer(r.get(peers), other) and is_port(r.get("ports"), port, at) for r in rules)


def edges(policies: list[Manifest], source: Pod | None, target: Pod | None) -> set[int]:
    """The TCP ports on which ``source`` reaches ``target``."""
    return {
        port
        for port in TESTED
        if allowed(policies, "Egress", source, target, port) and allowed(policies, "Ingress", target, source, port)
    }


def cluster(platform_values: Manifest | None = None) -> tuple[list[Manifest], dict[str, Pod]]:
    """Policies, and a pod of each kind; runs have the labels that Dagster's launcher gives."""
    found = [*platform("minikube", platform_values), *api()]
    for name in LOCATIONS:
        found = [*found, *location(name)]
    pods = {}
    for key, template in pod_templates(found).items():
        named = {
            port["name"]: port["containerPort"]
            for one in template["spec"]["containers"]
            for port in one.get("ports", [])
        }
        pods[key.split("/")[1].removeprefix("satfields-")] = Pod(template["metadata"]["labels"], named)
    pods["run"] = Pod(
        {"app.kubernetes.io/name": "dagster", "app.kubernetes.io/component": "run_worker", "satfields/run": "yes"}
    )
    return list(of_kind(found, "NetworkPolicy").values()), pods


def test_pods_reach_what_they_need_and_nothing_else() -> None:
    policies, pods = cluster()
    needed = {(asks, name): {4000} for asks in ("webserver", "daemon") for name in LOCATIONS}
    needed |= {(asks, "webserver"): {3000} for asks in ("satctl", "migrate", "metrics")}
    needed |= {(asks, "postgresql"): {5432} for asks in pods if asks != "postgresql"}

    found = {(a, b): edges(policies, pods[a], pods[b]) for a, b in permutations(pods, 2)}

    assert {pair: ports for pair, ports in found.items() if ports} == needed


def test_a_pod_lets_in_who_needs_it_whatever_the_others_may_send() -> None:
    policies, pods = cluster()
    let_in = {name: {"webserver", "daemon"} for name in LOCATIONS}
    let_in |= {"webserver": {"satctl", "migrate", "metrics"}, "postgresql": pods.keys(), "api": pods.keys()}

    found = {
        name: {other for other, one in pods.items() if any(allowed(policies, "Ingress", pod, one, p) for p in TESTED)}
        for name, pod in pods.items()
    }

    assert {name: others for name, others in found.items() if others} == let_in


def test_a_pod_of_somebody_else_reaches_and_is_reached_by_nothing() -> None:
    policies, pods = cluster(OUTSIDE_DATABASE)
    stranger = Pod({"app": "stranger"})

    assert {name: edges(policies, stranger, pod) for name, pod in pods.items() if edges(policies, stranger, pod)} == {}
    assert {name: edges(policies, pod, stranger) for name, pod in pods.items() if edges(policies, pod, stranger)} == {}


def test_nobody_outside_reaches_in() -> None:
    policies, pods = cluster()

    assert {name: edges(policies, None, pod) for name, pod in pods.items() if edges(policies, None, pod)} == {}


@pytest.mark.parametrize("values", [{}, BUCKET, OUTSIDE_DATABASE, OUTSIDE_DATABASE | BUCKET])
def test_what_is_outside_is_reached_by_port(values: Manifest) -> None:
    policies, pods = cluster(values)
    dns, of_kubernetes = {53}, {443, 6443}
    database = {5432} if "postgresql" in values else set()
    bucket = {443} if "volume" in values else set()

    found = {name: edges(policies, pod, None) for name, pod in pods.items()}

    works = dict.fromkeys((*LOCATIONS, *WORK), dns | database | bucket)
    control = dict.fromkeys(("webserver", "daemon"), dns | database | of_kubernetes)
    alone = {} if database else {"postgresql": dns}
    assert found == {**works, **control, **alone}


def test_scenes_in_a_bucket_are_reached_where_objects_are_on_a_volume() -> None:
    values = {"settings": {"SATFIELDS_SCENE_SOURCE": "folder", "SATFIELDS_SCENE_FOLDER": "s3://scenes/of"}}
    policies, pods = cluster(values)

    assert {name for name, pod in pods.items() if 443 in edges(policies, pod, None)} == {
        *LOCATIONS,
        *WORK,
        "webserver",
        "daemon",
    }


def test_a_catalogue_is_reached_by_what_reads_imagery_and_only_where_it_is_the_source() -> None:
    stac = {"settings": {"SATFIELDS_SCENE_SOURCE": "stac", "SATFIELDS_STAC": "earth-search-c1"}}
    there = [{"ipBlock": {"cidr": "203.0.113.0/24"}}]

    policies, pods = cluster(stac)
    reached = {name for name, pod in pods.items() if 443 in edges(policies, pod, None)}
    others, _ = cluster({})
    limited, _ = cluster({**stac, "networkPolicy": {"catalogueTo": there}})

    assert reached == {*LOCATIONS, "run", "satctl", "migrate", "api", "webserver", "daemon"}
    assert "satfields-to-catalogue" not in {policy["metadata"]["name"] for policy in others}
    (policy,) = (policy for policy in limited if policy["metadata"]["name"] == "satfields-to-catalogue")
    assert policy["spec"]["egress"][0]["to"] == there


def test_receivers_of_webhooks_are_reached_by_runs_and_satctl_and_only_where_values_say() -> None:
    volume = {"volume": {"enabled": True}}
    there = {"networkPolicy": {"webhooksTo": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}}

    def reaching(values: Manifest) -> set[str]:
        policies, pods = cluster(values)
        return {name for name, pod in pods.items() if 443 in edges(policies, pod, None)}

    assert reaching({**volume, **there}) - reaching(volume) == {"run", "satctl", "migrate"}


def test_a_clouds_keys_are_reached_where_values_say_so_alone() -> None:
    given = {**BUCKET, "networkPolicy": {"credentialsTo": [{"ipBlock": {"cidr": "169.254.170.23/32"}}]}}
    ports = {**BUCKET, "networkPolicy": {**given["networkPolicy"], "credentialsPorts": [80, 8080]}}

    def reaching(values: Manifest, port: int) -> set[str]:
        policies, pods = cluster(values)
        return {name for name, pod in pods.items() if port in edges(policies, pod, None)}

    assert reaching(BUCKET, 80) == set()
    assert reaching(given, 80) == reaching(ports, 8080) == {*LOCATIONS, *WORK}
    # Also where the objects are on a volume: scenes of a catalogue may lie in a bucket.
    stac = {"SATFIELDS_SCENE_SOURCE": "stac", "SATFIELDS_STAC": "earth-search-c1"}
    on_volume = {"settings": stac, "networkPolicy": given["networkPolicy"]}
    assert reaching(on_volume, 80) == {*LOCATIONS, *WORK}


def test_names_are_asked_of_dns_by_udp_too() -> None:
    policies, _ = cluster()

    (dns,) = [one["spec"]["egress"] for one in policies if one["metadata"]["name"] == "satfields-dns"]
    ports = dns[0]["ports"]
    assert {(one["port"], one["protocol"]) for one in ports} == {(53, "UDP"), (53, "TCP")}


@pytest.mark.parametrize(
    ("value", "others", "reaching", "port"),
    [
        ("databaseTo", OUTSIDE_DATABASE, {*LOCATIONS, *WORK, "webserver", "daemon"}, 5432),
        ("objectStoreTo", BUCKET, {*LOCATIONS, *WORK}, 443),
        ("apiServerTo", {}, {"webserver", "daemon"}, 6443),
    ],
)
def test_peers_that_values_name_are_all_that_is_reached(
    value: str, others: Manifest, reaching: set[str], port: int
) -> None:
    named, other = Pod({"app": "named"}), [{"podSelector": {"matchLabels": {"app": "other"}}}]
    peers = {"databaseTo": other, "objectStoreTo": other, "apiServerTo": other}
    peers[value] = [{"podSelector": {"matchLabels": named.labels}}]
    policies, pods = cluster({**others, "networkPolicy": peers})

    # The peer lies in this namespace here, where nothing may come in: so the way out is what is looked at.
    sending = {name for name, pod in pods.items() if allowed(policies, "Egress", pod, named, port)}
    elsewhere = {name for name, pod in pods.items() if allowed(policies, "Egress", pod, None, port)}

    assert sending == reaching
    assert elsewhere == set()


def test_the_ui_is_reached_by_whom_the_values_name() -> None:
    named = Pod({"app": "proxy"})
    values = {"networkPolicy": {"webserverFrom": [{"podSelector": {"matchLabels": named.labels}}]}}

    def reached(values: Manifest) -> set[int]:
        policies, pods = cluster(values)
        return {port for port in TESTED if allowed(policies, "Ingress", pods["webserver"], named, port)}

    assert reached(values) == {3000}
    assert reached({}) == set()


def test_metrics_are_read_by_whom_the_values_name() -> None:
    named = Pod({"app": "prometheus"})
    values = {"networkPolicy": {"metricsFrom": [{"podSelector": {"matchLabels": named.labels}}]}}

    def reached(values: Manifest) -> set[int]:
        policies, pods = cluster(values)
        return {port for port in TESTED if allowed(policies, "Ingress", pods["metrics"], named, port)}

    assert reached(values) == {9464}
    assert reached({}) == set()


def test_ports_of_services_outside_are_values() -> None:
    ports = {"databasePort": 9000, "objectStorePort": 8080}
    policies, pods = cluster({**OUTSIDE_DATABASE, **BUCKET, "networkPolicy": ports})

    assert edges(policies, pods["run"], None) == {53, 8080, 9000}
