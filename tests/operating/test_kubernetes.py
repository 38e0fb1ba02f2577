"""web-service/kubernetes and the batch door's CronJob: accepted by Kubernetes' schemas, true to the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from skdeploy.config import DECLARED, WebSettings
from skdeploy.model import Model
from skdeploy.web import create_app
from tests.live import ROOT

FOLDER = ROOT / "web-service" / "kubernetes"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
# kustomize and Helm read these, not the cluster.
NOT_MANIFESTS = {"kustomization.yaml", "prometheus-adapter.values.yaml"}
NAMES = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name not in NOT_MANIFESTS)


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


@pytest.fixture(scope="module")
def pod() -> Any:
    return read("deployment.yaml")["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod: Any) -> Any:
    (container,) = pod["containers"]
    return container


@pytest.fixture(scope="module")
def environment(container: Any) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


@pytest.mark.parametrize("name", NAMES)
def test_kubernetes_would_accept_the_manifest(name: str) -> None:
    """Every field is known to the API's schema, and of its type."""
    kubernetes_validate.validate(read(name), kubernetes_validate.latest_version(), strict=True)


def test_the_schema_refuses_a_field_that_is_misspelt() -> None:
    """The validation is one: a manifest with a typing error fails."""
    manifest = read("deployment.yaml")
    manifest["spec"]["template"]["spec"]["terminationGracePeriod"] = 45
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize(("folder", "kind"), [("batch", "CronJob"), ("streaming", "Deployment")])
def test_the_other_doors_manifests_are_accepted(folder: str, kind: str) -> None:
    """The example in the README fits the schema, and runs a module of the door."""
    text = (ROOT / folder / "README.md").read_text()
    (block,) = re.findall(rf"```yaml\n(apiVersion: \w+/v1\nkind: {kind}\n.*?)```", text, re.DOTALL)
    manifest = yaml.safe_load(block)
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    spec = manifest["spec"].get("jobTemplate", manifest)["spec"]["template"]["spec"]
    # A Service called skdeploy would set SKDEPLOY_PORT.
    assert spec["enableServiceLinks"] is False
    (container,) = spec["containers"]
    module = container["args"][0].replace(".", "/") + ".py"
    assert (ROOT / module).is_file()
    assert container["image"] in DOCKERFILE
    assert {variable["name"] for variable in container.get("env", ())} <= set(DECLARED)


def test_the_kustomization_lists_what_is_applied() -> None:
    """All manifests but the example secret and the way to a source, which one decides on."""
    listed = set(read("kustomization.yaml")["resources"])
    assert listed == {*NAMES} - {"secret.example.yaml", "networkpolicy-source.yaml"}


def test_every_variable_is_a_setting(environment: dict[str, str]) -> None:
    """Nothing is set that nobody reads, and the service accepts the values."""
    assert set(environment) <= set(DECLARED)
    WebSettings.from_env(environment)


def test_the_addresses_of_services_are_no_variables(pod: Any) -> None:
    """A Service called skdeploy would set SKDEPLOY_PORT."""
    assert pod["enableServiceLinks"] is False


def test_the_pod_may_drain(pod: Any, environment: dict[str, str]) -> None:
    """Kubernetes kills no process that is still serving what it accepted."""
    settings = WebSettings.from_env(environment)
    assert pod["terminationGracePeriodSeconds"] > settings.drain_delay + settings.graceful_timeout


def test_the_service_is_noticed_not_to_be_ready_before_it_stops_accepting(
    container: Any, environment: dict[str, str]
) -> None:
    """SKDEPLOY_DRAIN_DELAY is longer than the readiness probe takes to fail."""
    probe = container["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < WebSettings.from_env(environment).drain_delay


def test_the_probes_ask_routes_that_are_there(container: Any, regressor: Model) -> None:
    """Each probe's path answers 200, at the port of the service."""
    client = create_app(regressor, WebSettings.from_env({})).test_client()
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert client.get(asked["path"]).status_code == 200
        assert asked["port"] == container["ports"][0]["name"]


def test_one_port_everywhere(container: Any) -> None:
    """The container, the annotation, the policy and the image name the setting's default."""
    port = WebSettings.from_env({}).port
    metadata = read("deployment.yaml")["spec"]["template"]["metadata"]
    (rule,) = read("networkpolicy.yaml")["spec"]["ingress"]
    assert [one["containerPort"] for one in container["ports"]] == [port]
    assert metadata["annotations"]["prometheus.io/port"] == str(port)
    assert rule["ports"] == [{"protocol": "TCP", "port": port}]
    assert read("service.yaml")["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    assert f"EXPOSE {port}" in DOCKERFILE


def test_the_pod_runs_as_the_images_user_and_may_nothing(pod: Any, container: Any) -> None:
    """The user is the image's; no root, no writing to the image, no capability, no token."""
    user = int(re.findall(r"^USER (\d+):\1$", DOCKERFILE, re.MULTILINE)[0])
    context = pod["securityContext"]
    assert [context[key] for key in ("runAsUser", "runAsGroup", "fsGroup")] == [user] * 3
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_what_is_written_to_is_mounted(pod: Any, container: Any, environment: dict[str, str]) -> None:
    """Shared memory, temporary files, the model cache: where the image and the settings say."""
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    assert mounts["model-cache"] == str(Path(environment["SKDEPLOY_MODEL_CACHE"]).parent)
    assert f"install -d -o app -g app {mounts['model-cache']}" in DOCKERFILE
    assert {"/dev/shm", "/tmp"} <= set(mounts.values())


def test_the_objects_find_the_pods(container: Any) -> None:
    """Selectors, the scale target, the image and the account name what is there."""
    deployment = read("deployment.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert read("service.yaml")["spec"]["selector"] == labels
    assert read("pdb.yaml")["spec"]["selector"]["matchLabels"] == labels
    for name in ("networkpolicy.yaml", "networkpolicy-source.yaml"):
        assert read(name)["spec"]["podSelector"]["matchLabels"] == labels
    assert read("hpa.yaml")["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert container["image"] == read("kustomization.yaml")["images"][0]["name"]
    assert f"build -t {container['image']} ." in (ROOT / "Makefile").read_text()


def test_the_autoscalers_metric_is_the_one_that_the_adapter_serves() -> None:
    """The HPA asks for the metric that prometheus-adapter's rule makes."""
    (pods, cpu) = read("hpa.yaml")["spec"]["metrics"]
    (rule,) = read("prometheus-adapter.values.yaml")["rules"]["custom"]
    assert rule["name"]["as"] == pods["pods"]["metric"]["name"]
    assert cpu["resource"]["name"] == "cpu"


def test_the_example_secret_holds_no_key_and_is_what_is_mounted(pod: Any) -> None:
    """Nobody's key is in the file; its name is the volume's, which may be missing."""
    secret = read("secret.example.yaml")
    assert not any(secret["stringData"].values())
    (volume,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert volume["secretName"] == secret["metadata"]["name"]
    assert volume["optional"] is True
    assert secret["metadata"]["namespace"] == read("kustomization.yaml")["namespace"]
