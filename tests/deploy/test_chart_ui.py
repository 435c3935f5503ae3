"""How people come to the UI: the read-only one, the login before each, and the ways in from outside."""

from __future__ import annotations

import pytest

from tests.deploy.charts import Manifest, of_kind, only, platform
from tests.deploy.test_chart_features import pod
from tests.deploy.test_chart_network import Pod, allowed, cluster

PEOPLE = {"podSelector": {"matchLabels": {"app": "gateway"}}}
LOGIN: Manifest = {
    "login": {"enabled": True, "issuer": "https://login.example.org/realms/farm"},
    "webserver": {"host": "run.example.org", "groups": ["operators", "on call"]},
    "viewer": {"enabled": True, "host": "look.example.org", "groups": ["farm"]},
    "networkPolicy": {"webserverFrom": [PEOPLE], "viewerFrom": [PEOPLE]},
}
INGRESS: Manifest = {**LOGIN, "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "ui-tls"}}
ROUTES: Manifest = {**LOGIN, "httpRoute": {"enabled": True, "gateways": [{"name": "public", "namespace": "gateways"}]}}


def merged(base: Manifest, more: Manifest) -> Manifest:
    return {**base, **{key: {**base.get(key, {}), **value} for key, value in more.items()}}


def test_the_ways_in_are_closed_unless_values_open_them() -> None:
    found = platform()

    assert not [name for name in of_kind(found, "Deployment") if name.endswith("viewer")]
    assert of_kind(found, "Ingress") == of_kind(found, "HTTPRoute") == {}
    assert [one["name"] for one in pod(found, "satfields-webserver")["containers"]] == ["webserver"]


def test_the_viewer_can_launch_nothing_and_has_no_rights_in_kubernetes() -> None:
    found = platform(values={"viewer": {"enabled": True, "replicas": 2}})
    (container,) = pod(found, "satfields-viewer")["containers"]

    assert "--read-only" in container["args"]
    assert "--read-only" not in pod(found, "satfields-webserver")["containers"][0]["args"]
    bound = [one["subjects"] for one in of_kind(found, "RoleBinding").values()]
    assert pod(found, "satfields-viewer")["serviceAccountName"] == "satfields-viewer"
    assert "satfields-viewer" in of_kind(found, "ServiceAccount")
    assert "satfields-viewer" not in str(bound)
    assert "satfields-viewer" in of_kind(found, "PodDisruptionBudget")


def test_the_login_stands_before_each_ui_and_takes_its_secrets_by_name() -> None:
    found = platform(values=LOGIN)

    for name, host, groups in (
        ("satfields-webserver", "run.example.org", ["operators", "on call"]),
        ("satfields-viewer", "look.example.org", ["farm"]),
    ):
        login = next(one for one in pod(found, name)["containers"] if one["name"] == "login")
        options = [argument.removeprefix("--").partition("=")[::2] for argument in login["args"]]
        assert (
            dict(options).items()
            >= {
                "provider": "oidc",
                "oidc-issuer-url": "https://login.example.org/realms/farm",
                "redirect-url": f"https://{host}/oauth2/callback",
                "upstream": "http://127.0.0.1:3000",
            }.items()
        )
        assert [value for option, value in options if option == "allowed-group"] == groups
        assert not [option for option, _ in options if "secret" in option]
        assert login["envFrom"] == [{"secretRef": {"name": "satfields-login"}}]
        assert only(found, "Service", name)["spec"]["ports"][1] == {
            "name": "login",
            "port": 4180,
            "targetPort": "login",
            "protocol": "TCP",
        }


def test_people_come_by_the_login_alone_where_there_is_one() -> None:
    gateway = Pod({"app": "gateway"})

    def reached(values: Manifest) -> dict[str, set[int]]:
        policies, pods = cluster(values)
        return {
            name: {port for port in (3000, 4180) if allowed(policies, "Ingress", pods[name], gateway, port)}
            for name in ("webserver", "viewer")
        }

    off = {"enabled": False}
    assert reached(LOGIN) == {"webserver": {4180}, "viewer": {4180}}
    assert reached({**LOGIN, "login": off}) == {"webserver": {3000}, "viewer": {3000}}
    assert reached({**LOGIN, "networkPolicy": {"enabled": True}}) == {"webserver": set(), "viewer": set()}


def test_the_viewer_asks_code_servers_and_the_issuer_and_nothing_of_kubernetes() -> None:
    policies, pods = cluster(LOGIN)
    without, others = cluster({"viewer": {"enabled": True}})

    assert allowed(policies, "Egress", pods["viewer"], pods["realtime"], 4000)
    assert allowed(policies, "Ingress", pods["realtime"], pods["viewer"], 4000)
    assert allowed(policies, "Egress", pods["viewer"], None, 443)
    outside = {port for port in (80, 443, 6443) if allowed(without, "Egress", others["viewer"], None, port)}
    assert outside == set()


@pytest.mark.parametrize(("login", "port"), [({}, "login"), ({"enabled": False, "elsewhere": True}, "http")])
def test_an_ingress_leads_to_the_login_by_tls(login: Manifest, port: str) -> None:
    spec = only(platform(values=merged(INGRESS, {"login": login})), "Ingress", "satfields-ui")["spec"]

    assert spec["tls"] == [{"hosts": ["look.example.org", "run.example.org"], "secretName": "ui-tls"}]
    backends = {rule["host"]: rule["http"]["paths"][0]["backend"]["service"] for rule in spec["rules"]}
    assert backends == {
        "run.example.org": {"name": "satfields-webserver", "port": {"name": port}},
        "look.example.org": {"name": "satfields-viewer", "port": {"name": port}},
    }


@pytest.mark.parametrize(("login", "port"), [({}, 4180), ({"enabled": False, "elsewhere": True}, 80)])
def test_routes_of_a_gateway_lead_to_the_login(login: Manifest, port: int) -> None:
    routes = of_kind(platform(values=merged(ROUTES, {"login": login})), "HTTPRoute")

    assert {name: route["spec"]["hostnames"] for name, route in routes.items()} == {
        "satfields-webserver": ["run.example.org"],
        "satfields-viewer": ["look.example.org"],
    }
    for name, route in routes.items():
        assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
        assert route["spec"]["rules"][0]["backendRefs"] == [{"name": name, "port": port}]


@pytest.mark.parametrize(
    ("base", "change", "said"),
    [
        (INGRESS, {"login": {"enabled": False}}, "without a login"),
        (ROUTES, {"login": {"enabled": False}}, "without a login"),
        (INGRESS, {"ingress": {"tlsSecret": ""}}, "ingress.tlsSecret"),
        (ROUTES, {"httpRoute": {"gateways": []}}, "httpRoute.gateways"),
        (LOGIN, {"login": {"issuer": ""}}, "login.issuer"),
        (LOGIN, {"login": {"issuer": "http://login.example.org"}}, "issuer"),
        (LOGIN, {"viewer": {"groups": []}}, "viewer.groups, or login.emailDomains"),
        (LOGIN, {"webserver": {"groups": []}}, "webserver.groups, or login.emailDomains"),
        (LOGIN, {"webserver": {"host": ""}}, "webserver.host"),
        (LOGIN, {"viewer": {"enabled": False}}, "viewer.enabled is false"),
        ({}, {"ingress": {"enabled": True, "tlsSecret": "x"}}, "webserver.host, viewer.host"),
        (LOGIN, {"dagster": {"enabled": False, "url": "http://x"}, "networkPolicy": {"enabled": False}}, "no UI here"),
    ],
)
def test_a_way_in_that_is_half_closed_is_refused(base: Manifest, change: Manifest, said: str) -> None:
    values = merged(base, change)
    if "dagster" in change:
        values["postgresql"] = {"enabled": False}

    with pytest.raises(ValueError, match=said):
        platform("production" if "dagster" in change else "minikube", values)
