"""The chart as Helm renders it: valid for KubeRay 1.7, and what the operator's own checks and our
rules ask for.
"""

import json
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import jsonschema
import pytest

from luray.stages.run_file import load_run
from tests.infra.helm import CHART, HERE, ROOT, Manifests, Render

STAGES = ("build", "train", "infer", "evaluate", "publish", "pipeline")
OVERLAYS = ("", "gke", "eks", "kind")
GPU = {"gpu.max": 4, "image.gpu": "luray:cuda"}
EVERY_OPTION = {
    **GPU,
    "authSecret": "token",
    "kueue.queue": "maps",
    "metrics.podMonitor": True,
    "args": ["--set", "a.b=1"],
    "metrics.podMonitorLabels": {"release": "prometheus"},
    "run": "name = 'x'\n",
    "env": {"X": "1"},
    "network.clients": [{"podSelector": {"matchLabels": {"may": "ask"}}}],
}
CASES = [
    (overlay, {"stage": stage, **({} if overlay == "kind" else GPU)})
    for overlay in OVERLAYS
    for stage in ("", *STAGES)
]
CASES += [("", {"stage": stage}) for stage in ("", "infer")]
CASES += [("gke", {**EVERY_OPTION, "stage": stage}) for stage in ("", "infer")]

Case = tuple[str, Manifests]


@pytest.fixture(
    scope="module",
    params=CASES,
    ids=lambda c: f"{c[0] or 'plain'}-{c[1]['stage'] or 'cluster'}-{len(c[1])}",
)
def case(request: pytest.FixtureRequest, render: Render) -> Case:
    """An overlay and its manifests."""
    overlay, values = request.param
    return overlay, render(values, overlay=overlay)


def of(kind: str, manifests: Manifests) -> Manifests:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def clusters(manifests: Manifests) -> list[dict[str, Any]]:
    """The spec of every Ray cluster; there is exactly one."""
    found = [c["spec"] for c in of("RayCluster", manifests)]
    found += [j["spec"]["rayClusterSpec"] for j in of("RayJob", manifests)]
    assert len(found) == 1
    return found


def groups(manifests: Manifests) -> dict[str, dict[str, Any]]:
    """Groups of pods by name, the head among them."""
    (cluster,) = clusters(manifests)
    return {
        "head": cluster["headGroupSpec"],
        **{group["groupName"]: group for group in cluster["workerGroupSpecs"]},
    }


def pods(manifests: Manifests) -> dict[str, dict[str, Any]]:
    """Pod templates by name of the group, the submitter's among them."""
    found = {name: group["template"] for name, group in groups(manifests).items()}
    for job in of("RayJob", manifests):
        found["submitter"] = job["spec"]["submitterPodTemplate"]
    return found


def containers(manifests: Manifests) -> Iterator[dict[str, Any]]:
    """Every container that the chart shapes, the autoscaler's too."""
    for pod in pods(manifests).values():
        yield from pod["spec"]["containers"]
    for cluster in clusters(manifests):
        yield {"name": "autoscaler", **cluster["autoscalerOptions"]}


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert set(selector) == {"matchLabels"}
    return selector["matchLabels"].items() <= labels.items()


# ---- KubeRay's schema and the rules of its operator


@pytest.fixture(scope="session")
def schemas() -> dict[str, Any]:
    data = os.environ.get("LURAY_DATA")
    folder = Path(data).parent / "kuberay-crds" if data else Path("nowhere")
    if not folder.is_dir():
        pytest.skip(
            "the strict schemas of KubeRay 1.7 are looked for in kuberay-crds/ beside the folder "
            "of LURAY_DATA"
        )
    return {
        kind: json.loads((folder / f"{kind}.v1.strict.schema.json").read_text())
        for kind in ("RayCluster", "RayJob")
    }


def test_manifests_are_valid_for_kuberay(case: Case, schemas: dict[str, Any]) -> None:
    found = of("RayCluster", case[1]) + of("RayJob", case[1])
    assert found
    for manifest in found:
        assert manifest["apiVersion"] == "ray.io/v1"
        errors = list(
            jsonschema.Draft202012Validator(schemas[manifest["kind"]]).iter_errors(manifest)
        )
        assert not errors, [f"{e.json_path}: {e.message}" for e in errors]


def test_a_misspelt_key_is_not_valid_for_kuberay(render: Render, schemas: dict[str, Any]) -> None:
    (cluster,) = of("RayCluster", render())
    cluster["spec"]["autoscalerOption"] = cluster["spec"].pop("autoscalerOptions")
    assert not jsonschema.Draft202012Validator(schemas["RayCluster"]).is_valid(cluster)


def test_rules_of_the_operator(case: Case) -> None:
    (cluster,) = clusters(case[1])
    for job in of("RayJob", case[1]):
        assert job["spec"]["shutdownAfterJobFinishes"] is True
        assert job["spec"]["ttlSecondsAfterFinished"] > 0
        assert job["spec"]["backoffLimit"] > 0
        assert "clusterSelector" not in job["spec"]
        assert job["spec"]["submissionMode"] == "K8sJobMode"
        assert job["spec"]["submitterPodTemplate"]["spec"]["restartPolicy"] == "Never"
        assert "upgradeStrategy" not in cluster
        assert len(job["metadata"]["name"]) <= 47
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert "networkPolicy" not in cluster
    assert "tlsOptions" not in cluster
    for group in groups(case[1]).values():
        assert group["template"]["spec"].get("restartPolicy", "Never") == "Never"
        assert "resources" not in group  # those of Ray stand in rayStartParams
        environment = {
            variable["name"] for variable in group["template"]["spec"]["containers"][0]["env"]
        }
        assert "RAY_enable_autoscaler_v2" not in environment


def test_ray_is_the_one_of_the_constraints_and_asks_for_a_token(case: Case) -> None:
    (cluster,) = clusters(case[1])
    assert f"ray=={cluster['rayVersion']}\n" in (ROOT / "constraints.txt").read_text()
    assert tuple(map(int, cluster["rayVersion"].split("."))) >= (2, 52, 0)
    assert cluster["authOptions"]["mode"] == "token"
    for container in containers(case[1]):  # those would win over authOptions
        assert not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} & {
            variable["name"] for variable in container["env"]
        }


def test_the_token_may_be_a_secret_of_ones_own(render: Render) -> None:
    assert clusters(render({"authSecret": "mine"}))[0]["authOptions"] == {
        "mode": "token",
        "secretName": "mine",
    }
    assert clusters(render({"stage": "infer"}))[0]["authOptions"] == {"mode": "token"}


# ---- what runs


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_one_job_and_no_cluster_beside_it(render: Render, stage: str) -> None:
    manifests = render({"stage": stage})
    (job,) = of("RayJob", manifests)
    assert job["metadata"]["name"] == f"luray-{stage}-1"
    assert not of("RayCluster", manifests)


def test_without_a_stage_it_is_a_cluster_that_follows_upgrades(render: Render) -> None:
    manifests = render()
    (cluster,) = of("RayCluster", manifests)
    assert cluster["metadata"]["name"] == "luray"
    assert cluster["spec"]["upgradeStrategy"] == {"type": "Recreate"}
    assert not of("RayJob", manifests)


@pytest.mark.parametrize("stage", STAGES)
def test_the_entrypoint_and_its_run_file_exist(
    render: Render, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = render({"stage": stage})
    (job,) = of("RayJob", manifests)
    python, script, run_file = shlex.split(job["spec"]["entrypoint"])
    assert python == "python"
    assert (ROOT / Path(script).relative_to("/opt/luray")).is_file()
    for variable in pods(manifests)["head"]["spec"]["containers"][0]["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    run = load_run(ROOT / Path(run_file).relative_to("/opt/luray"))
    assert run.output == "gs://bucket/output/global-ssp245"
    assert run.catalog is not None
    assert run.catalog.url == "gs://bucket/stac/catalog.json"
    assert run.storage.allow == ("gs://bucket/inputs",)


def test_a_run_file_of_ones_own_and_arguments_reach_the_job(render: Render, tmp_path: Path) -> None:
    demo = (ROOT / "luray/sandbox/run.toml").read_text()
    args = ["--set", "inference.workers={min = 1, max = 4}", "--set", 'scenarios=["ssp126"]']
    manifests = render({"stage": "infer", "run": demo, "args": args})
    (job,) = of("RayJob", manifests)
    assert shlex.split(job["spec"]["entrypoint"])[1:] == [
        "/opt/luray/jobs/infer.py",
        "/etc/luray/run.toml",
        *args,
    ]
    (config,) = of("ConfigMap", manifests)
    assert config["data"] == {"run.toml": demo}
    for name, pod in pods(manifests).items():
        mounted = {m["name"]: m for m in pod["spec"]["containers"][0]["volumeMounts"]}
        volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
        assert set(mounted) == set(volumes)
        if name != "submitter":
            assert mounted["run"] == {"name": "run", "mountPath": "/etc/luray", "readOnly": True}
            assert volumes["run"] == {
                "name": "run",
                "configMap": {"name": config["metadata"]["name"]},
            }
    (tmp_path / "run.toml").write_text(config["data"]["run.toml"])
    assert load_run(tmp_path / "run.toml", args[1:2]).inference.workers.max == 4


# ---- groups


def test_head_takes_no_tasks_and_is_on_demand(case: Case) -> None:
    overlay, manifests = case
    assert groups(manifests)["head"]["rayStartParams"] == {"num-cpus": "0"}
    for name in ("head", *(["submitter"] if of("RayJob", manifests) else [])):
        spec = pods(manifests)[name]["spec"]
        if overlay == "gke":
            term = {"key": "cloud.google.com/gke-spot", "operator": "DoesNotExist"}
            required = spec["affinity"]["nodeAffinity"][
                "requiredDuringSchedulingIgnoredDuringExecution"
            ]
            assert required == {"nodeSelectorTerms": [{"matchExpressions": [term]}]}
        if overlay == "eks":
            assert spec["nodeSelector"] == {"eks.amazonaws.com/capacityType": "ON_DEMAND"}


def test_workers_are_on_spot_nodes(case: Case) -> None:
    overlay, manifests = case
    workers = {name: pod["spec"] for name, pod in pods(manifests).items() if name in ("cpu", "gpu")}
    assert "cpu" in workers
    for spec in workers.values():
        if overlay == "gke":
            assert spec["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
            assert {
                "key": "cloud.google.com/gke-spot",
                "operator": "Equal",
                "value": "true",
                "effect": "NoSchedule",
            } in spec["tolerations"]
        if overlay == "eks":
            assert spec["nodeSelector"] == {"eks.amazonaws.com/capacityType": "SPOT"}


@pytest.mark.parametrize("overlay", ["", "gke", "eks"])
@pytest.mark.parametrize("stage", ["", "infer"])
def test_gpu_workers_come_when_asked_for(render: Render, overlay: str, stage: str) -> None:
    gpu = groups(render({**GPU, "stage": stage}, overlay=overlay))["gpu"]
    assert (gpu["replicas"], gpu["minReplicas"], gpu["maxReplicas"]) == (0, 0, 4)
    spec = gpu["template"]["spec"]
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec[
        "tolerations"
    ]
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert spec["containers"][0]["image"] == "luray:cuda"
    if overlay == "gke":
        assert "cloud.google.com/gke-accelerator" in spec["nodeSelector"]


def test_no_gpu_group_by_default(render: Render) -> None:
    assert set(groups(render())) == {"head", "cpu"}


def test_requests_are_limits_with_disk_for_spilling(case: Case) -> None:
    for name, group in groups(case[1]).items():
        spec = group["template"]["spec"]
        (container,) = spec["containers"]
        resources = container["resources"]
        assert resources["requests"] == resources["limits"]
        assert {"cpu", "memory", "ephemeral-storage"} <= set(resources["limits"])
        assert ("nvidia.com/gpu" in resources["limits"]) == (name == "gpu")
        volumes = {v["name"]: v for v in spec["volumes"]}
        assert {"name": "ray-logs", "mountPath": "/tmp/ray"} in container["volumeMounts"]
        assert volumes["ray-logs"]["emptyDir"] == {
            "sizeLimit": resources["limits"]["ephemeral-storage"]
        }


def test_pods_are_drained(case: Case) -> None:
    for name, pod in pods(case[1]).items():
        spec = pod["spec"]
        assert spec["terminationGracePeriodSeconds"] == 120
        if name == "submitter":
            continue
        command = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        seconds = [
            int(s) for s in re.findall(r"\b\d{2,}\b", command[-1]) if s not in ("8265", "127")
        ]
        assert seconds
        assert max(seconds) < spec["terminationGracePeriodSeconds"]
        if name == "head":
            waits = {v["name"]: v["value"] for v in spec["containers"][0]["env"]}[
                "RAY_JOB_STOP_WAIT_TIME_S"
            ]
            assert 60 <= int(waits) < max(seconds)
            compile(command[-1], "preStop", "exec")
        else:
            assert command[-1].startswith("ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION")


# ---- security


SECRETS = re.compile(r"(?i)key|secret|passw|credential")


def test_no_keys_in_any_manifest(case: Case) -> None:
    assert not of("Secret", case[1])
    for container in containers(case[1]):
        assert "envFrom" not in container
        for variable in container["env"]:
            assert set(variable) == {"name", "value"}
            assert not SECRETS.search(variable["name"])


def test_pods_are_not_root_and_cannot_become_it(case: Case) -> None:
    for pod in pods(case[1]).values():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in pod["spec"]["volumes"]:
            assert "hostPath" not in volume
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            assert key not in pod["spec"]
    seen = {container["name"] for container in containers(case[1])}
    assert {"ray-head", "ray-worker", "autoscaler"} <= seen
    for container in containers(case[1]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
        assert {"name": "HOME", "value": "/tmp"} in container["env"]


def test_service_accounts_exist_and_only_the_head_has_a_token(case: Case) -> None:
    accounts = {account["metadata"]["name"]: account for account in of("ServiceAccount", case[1])}
    used = {name: pod["spec"] for name, pod in pods(case[1]).items()}
    for name, spec in used.items():
        assert spec["serviceAccountName"] in accounts
        assert spec["automountServiceAccountToken"] is (name == "head")
        assert accounts[spec["serviceAccountName"]]["automountServiceAccountToken"] is (
            name == "head"
        )
    assert used["head"]["serviceAccountName"] != used["cpu"]["serviceAccountName"]


@pytest.mark.parametrize(
    ("overlay", "annotation", "identity"),
    [
        ("gke", "iam.gke.io/gcp-service-account", "luray@project.iam.gserviceaccount.com"),
        ("eks", "eks.amazonaws.com/role-arn", "arn:aws:iam::111122223333:role/luray"),
    ],
)
def test_head_and_workers_have_the_identity(
    render: Render, overlay: str, annotation: str, identity: str
) -> None:
    manifests = render({"identity": identity, "stage": "infer"}, overlay=overlay)
    accounts = {
        a["metadata"]["name"]: a["metadata"].get("annotations", {})
        for a in of("ServiceAccount", manifests)
    }
    used = {
        name: accounts[pod["spec"]["serviceAccountName"]] for name, pod in pods(manifests).items()
    }
    assert used == {"head": {annotation: identity}, "cpu": {annotation: identity}, "submitter": {}}


def test_network_policy_closes_the_pods(case: Case) -> None:
    _, manifests = case
    (policy,) = of("NetworkPolicy", manifests)
    spec = policy["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    for pod in pods(manifests).values():  # closed, and open to each other
        assert selects(spec["podSelector"], pod["metadata"]["labels"])
    assert spec["podSelector"]["matchLabels"]
    own, dashboard, metrics = spec["ingress"]
    assert own == {"from": [{"podSelector": spec["podSelector"]}]}  # of this namespace; every port
    operator = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kuberay-operator"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}},
    }
    assert dashboard["ports"] == [{"protocol": "TCP", "port": 8265}]
    assert dashboard["from"][0] == operator
    prometheus = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    }
    assert metrics == {"from": [prometheus], "ports": [{"protocol": "TCP", "port": 8080}]}
    for rule in spec["ingress"]:
        assert rule["from"]
        assert all(peer and all(selector for selector in peer.values()) for peer in rule["from"])


def test_clients_may_reach_the_dashboard_and_no_other_port(render: Render) -> None:
    client = {"podSelector": {"matchLabels": {"luray-client": "true"}}}
    rules = of("NetworkPolicy", render({"network.clients": [client]}))[0]["spec"]["ingress"]
    (rule,) = (rule for rule in rules if client in rule["from"])
    assert rule["ports"] == [{"protocol": "TCP", "port": 8265}]


def test_the_head_is_not_evicted(case: Case) -> None:
    (budget,) = of("PodDisruptionBudget", case[1])
    assert (
        budget["spec"]["minAvailable"] == 1
    )  # of pods of a custom resource, Kubernetes counts only this
    labels = {
        **pods(case[1])["head"]["metadata"]["labels"],
        "ray.io/node-type": "head",
    }  # KubeRay's
    assert selects(budget["spec"]["selector"], labels)
    assert not selects(budget["spec"]["selector"], {**labels, "ray.io/node-type": "worker"})
    for group in groups(case[1]).values():
        annotations = group["template"]["metadata"]["annotations"]
        assert annotations == {
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            "karpenter.sh/do-not-disrupt": "true",
        }


# ---- options


@pytest.mark.parametrize("stage", ["", "infer"])
def test_kueue_is_an_option(render: Render, stage: str) -> None:
    def metadata(values: dict[str, Any]) -> dict[str, Any]:
        manifests = render({"stage": stage, **values})
        return (of("RayJob", manifests) + of("RayCluster", manifests))[0]["metadata"]

    queued = metadata({"kueue.queue": "maps"})
    assert queued["labels"]["kueue.x-k8s.io/queue-name"] == "maps"
    assert queued["annotations"] == {"kueue.x-k8s.io/elastic-job": "true"}
    assert "kueue" not in json.dumps(metadata({}))


def test_pod_monitor_is_an_option_and_finds_the_metrics(render: Render) -> None:
    assert not of("PodMonitor", render())
    manifests = render(
        {"metrics.podMonitor": True, "metrics.podMonitorLabels": {"release": "prometheus"}, **GPU}
    )
    (monitor,) = of("PodMonitor", manifests)
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    for pod in pods(manifests).values():
        assert selects(monitor["spec"]["selector"], pod["metadata"]["labels"])
        assert {"name": endpoint["port"], "containerPort": 8080} in pod["spec"]["containers"][0][
            "ports"
        ]


def test_kind_needs_no_values_and_shares_a_volume(render: Render) -> None:
    manifests = render({"stage": "pipeline"}, overlay="kind")
    (claim,) = of("PersistentVolumeClaim", manifests)
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    for name in ("head", "cpu"):
        spec = pods(manifests)[name]["spec"]
        assert {
            "name": "data",
            "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]},
        } in spec["volumes"]
        assert {"name": "data", "mountPath": "/data"} in spec["containers"][0]["volumeMounts"]
    assert not of("PersistentVolumeClaim", render())


def test_the_guides_run_file_for_kind_is_on_the_volume(tmp_path: Path) -> None:
    guide = (ROOT / "infra/README.md").read_text()
    ((old, new),) = re.findall(r"sed 's#(\S+)#(\S+)#' luray/sandbox/run.toml", guide)
    (world,) = re.findall(r"write_sandbox\('(\S+)', SandboxConfig\(\)\)", guide)
    file = tmp_path / "kind.toml"
    file.write_text((ROOT / "luray/sandbox/run.toml").read_text().replace(old, new))
    run = load_run(file)
    assert run.output == "/data/demo"
    assert all(source.path.startswith(f"{world}/") for source in run.sources)


# ---- wrong values


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"buckt": "gs://b"}, "additional properties 'buckt' not allowed"),
        ({"gpu.maks": 1}, "additional properties 'maks' not allowed"),
        ({"stage": "inferr"}, "'/stage': value must be one of '', 'build', 'train'"),
        ({"bucket": "my-bucket"}, "'/bucket': 'my-bucket' does not match pattern"),
        ({"bucket": ""}, "bucket is empty: set it to gs://"),
        ({"bucket": "/data"}, "bucket /data is a folder but volume.size is empty"),
        ({"image.cpu": ""}, "image.cpu is empty: set it to the image"),
        ({"image.cpu": "luray"}, "'/image/cpu': 'luray' does not match pattern"),
        ({"gpu.max": 1}, "gpu.max is above 0 but image.gpu is empty"),
        ({"cpu.cpu": 0.5}, "'/cpu/cpu': got number, want integer"),
        ({"cpu.memory": "32GB"}, "'/cpu/memory': '32GB' does not match pattern"),
        ({"cpu.min": 20}, "cpu.min 20 is above cpu.max 16"),
        ({"env": {"AWS_SECRET_ACCESS_KEY": "x"}}, "invalid propertyName 'AWS_SECRET_ACCESS_KEY'"),
        (
            {"args": ["--set", "a=$(id)"], "stage": "infer"},
            "'/args/1': 'a=$(id)' does not match pattern",
        ),
        ({"identity": "me@example.org"}, "identityAnnotation is empty: use values-gke.yaml"),
    ],
)
def test_wrong_values_are_refused(
    template: Callable[..., CompletedProcess[str]], values: dict[str, Any], said: str
) -> None:
    done = template(values)
    assert done.returncode != 0
    assert said in done.stderr


def test_a_release_name_too_long_for_a_job_is_refused(
    run_helm: Callable[..., CompletedProcess[str]],
) -> None:
    values = [f"{key}={value}" for key, value in HERE.items()]
    done = run_helm("template", "l" * 40, CHART, "--set", ",".join([*values, "stage=infer"]))
    assert done.returncode != 0
    assert "choose a shorter release name" in done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_helm_lint(run_helm: Callable[..., CompletedProcess[str]], overlay: str) -> None:
    chosen = ["--values", ROOT / f"infra/values-{overlay}.yaml"] if overlay else []
    values = ",".join(f"{key}={value}" for key, value in HERE.items())
    done = run_helm("lint", "--strict", CHART, *chosen, "--set", values)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_value_is_in_the_schema_and_commented() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    text = (CHART / "values.yaml").read_text()
    assert {*re.findall(r"(?m)^(\w+):", text), "global"} == set(schema["properties"])
    for paragraph in re.split(r"\n\n", text):
        assert "#" in paragraph


def test_chart_and_package_have_one_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = (CHART / "Chart.yaml").read_text()
    assert f"\nversion: {version}\n" in chart
    assert f"\nappVersion: {version}\n" in chart
