"""Topologies as they are described and written: the files of the repository are what the description says."""

import re
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from click.testing import CliRunner

from daicho import UnknownTopology
from daicho.cli import main
from daicho.topologies import Ratio, Topology, compose, shape
from daicho.topologies.edge import vcl
from daicho.topologies.haproxy import haproxy
from daicho.topologies.writing import files
from daicho.topologies.yaml import yaml as written
from tests.services.find import needed, program, wanted
from tests.services.helm import helm

ROOT = Path(__file__).parents[2]
RATIOS = get_args(Ratio)
SLUGS = [ratio.replace(":", "-") for ratio in RATIOS]
COMPOSE = [(f"deploy/compose/{slug}.yaml", shape(ratio), "compose") for ratio, slug in zip(RATIOS, SLUGS, strict=True)]
HELM = ("deploy/helm/daicho", shape("10:1"), "helm")


# -- what SPEC section 5 draws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "counts"),
    [
        ("crud", {"primary": 1, "all": 2, "haproxy": 1}),
        ("1:1", {"primary": 1, "all": 2, "haproxy": 1}),
        ("10:1", {"primary": 1, "replica": 3, "command": 1, "projector": 1, "query": 3, "haproxy": 1}),
        (
            "100:1",
            {
                "primary": 1,
                "redis": 1,
                "opensearch": 1,
                "command": 1,
                "projector": 1,
                "query": 3,
                "haproxy": 1,
                "varnish": 1,
            },
        ),
    ],
)
def test_each_shape_has_the_parts_of_its_picture(ratio: str, counts: dict[str, int]) -> None:
    topology = shape(ratio) if ratio in ("crud", "1:1") else shape(ratio, query_services=3)
    assert topology.counts == counts
    names = [part.name for part in topology.parts]
    assert len(set(names)) == len(names)
    for part in topology.parts:
        known = [*names[: names.index(part.name)], "varnish"]
        assert set(part.talks_to) <= set(known), "what it talks to is described before it"


def test_each_query_service_has_a_replica_of_its_own_at_10_1() -> None:
    topology = shape("10:1", query_services=3)
    pairs = [[name for name in part.talks_to if name != "primary"] for part in topology.of("query")]
    assert pairs == [["replica-1"], ["replica-2"], ["replica-3"]]
    assert all("{replica-" not in text for part in topology.of("command") for text in part.settings.values())


@pytest.mark.parametrize(
    ("ratio", "options"),
    [("2:1", {}), ("10:1", {"query_services": 0}), ("1:1", {"app_servers": 0}), ("100:1", {"views": "paper"})],
)
def test_what_is_no_topology_is_refused(ratio: str, options: dict[str, Any]) -> None:
    with pytest.raises(UnknownTopology):
        shape(ratio, **options)


# -- what is committed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "topology", "form"), [*COMPOSE, HELM], ids=[*SLUGS, "helm"])
def test_the_files_of_the_repository_are_what_the_description_says(place: str, topology: Topology, form: str) -> None:
    folder = ROOT / place if form == "helm" else (ROOT / place).parent
    for name, text in files(topology, form).items():
        committed = (folder / name).read_text(encoding="utf-8")
        assert committed == text, f"daicho up --topology {topology.ratio} --write {form} {folder.relative_to(ROOT)}"
    if form == "helm":
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert there == set(files(topology, form))


def test_the_configuration_for_varnish_is_the_one_that_is_told_in_the_docs() -> None:
    committed = (ROOT / "deploy" / "varnish" / "daicho.vcl").read_text(encoding="utf-8")
    assert committed == vcl("127.0.0.1", 8000, purgers=("127.0.0.1", "::1"))


def test_the_verb_writes_them(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        main, ["up", "--topology", "10:1", "--query-services", "2", "--write", "compose", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(tmp_path / "10-1.yaml")
    assert (tmp_path / "10-1.yaml").read_text() == (ROOT / "deploy" / "compose" / "10-1.yaml").read_text()


# -- Compose: the rules of https://github.com/compose-spec/compose-spec, as far as these files go ---------------------

TOP = {"name", "services", "configs", "volumes", "x-build"}
SERVICE = {
    *("image", "build", "command", "environment", "user", "ports", "volumes", "configs", "healthcheck"),
    *("depends_on", "restart", "stop_signal", "stop_grace_period"),
}
DURATION = re.compile(r"\d+(ms|s|m|h)\Z")
VARIABLE = re.compile(r"\$(?:\$|\{[A-Z_]+(?::[-?][^}]*)?\})")


def interpolated(value: Any) -> Any:
    """As Compose does it: what is no variable and no doubled sign is an error."""
    if isinstance(value, dict):
        return {name: interpolated(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [interpolated(inner) for inner in value]
    if not isinstance(value, str):
        return value
    assert "$" not in VARIABLE.sub("", value), value
    return VARIABLE.sub(lambda found: "$" if found[0] == "$$" else _default(found[0]), value)


def _default(variable: str) -> str:
    return variable[2:-1].partition(":-")[2] if ":-" in variable else "secret"


@pytest.mark.parametrize("slug", SLUGS)
def test_compose_files_keep_the_rules_of_the_specification(slug: str) -> None:
    file = interpolated(yaml.safe_load((ROOT / "deploy" / "compose" / f"{slug}.yaml").read_text(encoding="utf-8")))
    assert set(file) == TOP
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", file["name"])
    services: dict[str, Any] = file["services"]
    for name, service in services.items():
        assert re.fullmatch(r"[a-zA-Z0-9._-]+", name)
        assert set(service) <= SERVICE, name
        assert isinstance(service["image"], str)
        assert service["restart"] == "unless-stopped"
        assert all(isinstance(word, str) for word in service.get("command", []))
        assert all(isinstance(value, str) for value in service.get("environment", {}).values()), name
        for other, need in service.get("depends_on", {}).items():
            assert other in services
            assert need["condition"] in ("service_started", "service_healthy")
            assert need["condition"] == "service_started" or "healthcheck" in services[other], f"{name} on {other}"
        for config in service.get("configs", []):
            assert config["source"] in file["configs"]
            assert config["target"].startswith("/")
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in file["volumes"]
        if check := service.get("healthcheck"):
            assert check["test"][0] in ("CMD", "CMD-SHELL")
            assert DURATION.match(check["interval"])
            assert DURATION.match(check["timeout"])
        if build := service.get("build"):
            assert set(build) == {"context", "dockerfile_inline"}
    assert [name for name, service in services.items() if "ports" in service] == [
        "varnish" if slug == "100-1" else "haproxy"
    ], "only the entrance can be reached from outside"
    assert all(set(config) == {"content"} for config in file["configs"].values())


@pytest.mark.parametrize("slug", SLUGS)
def test_the_load_balancer_takes_its_configuration(slug: str, tmp_path: Path) -> None:
    with needed():
        checker = program("haproxy", package="haproxy")
    file = interpolated(yaml.safe_load((ROOT / "deploy" / "compose" / f"{slug}.yaml").read_text(encoding="utf-8")))
    (tmp_path / "haproxy.cfg").write_text(file["configs"]["haproxy"]["content"])
    done = subprocess.run([checker, "-c", "-f", tmp_path / "haproxy.cfg"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# -- Helm -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", SLUGS)
def test_helm_takes_the_chart_and_renders_what_is_described(slug: str) -> None:
    with wanted():
        tool = str(helm())
    chart = ROOT / "deploy" / "helm" / "daicho"
    given = ("--namespace", "prod", "-f", str(chart / f"values-{slug}.yaml"))
    lint = subprocess.run([tool, "lint", "--strict", str(chart), *given], capture_output=True, text=True, timeout=120)
    assert lint.returncode == 0, lint.stdout
    done = subprocess.run([tool, "template", "shop", str(chart), *given], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rendered = [each for each in yaml.safe_load_all(done.stdout) if each]
    named = {(each["kind"], each["metadata"]["name"]): each for each in rendered}
    assert len(named) == len(rendered)
    topology = shape(RATIOS[SLUGS.index(slug)])
    running = {
        each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"]["replicas"]
        for each in rendered
        if each["kind"] in ("Deployment", "StatefulSet")
    }
    assert running == {**topology.counts, "haproxy": 2}
    for each in rendered:
        if each["kind"] in ("Deployment", "StatefulSet"):
            labels = each["spec"]["template"]["metadata"]["labels"]
            assert each["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for role in ("command", "query", "projector", "all"):
        if role in running:
            (container,) = named["Deployment", f"shop-{role}"]["spec"]["template"]["spec"]["containers"]
            assert container["args"] == ["run", role]
            told = {entry["name"]: entry.get("value") for entry in container["env"]}
            assert told["DAICHO_STORE"] == "postgresql://daicho:$(DAICHO_PASSWORD)@shop-primary:5432/daicho"
            replicas = topology.counts.get("replica", 0) if role == "query" else 0
            assert len([url for url in (told.get("DAICHO_READ_FROM") or "").split(",") if url]) == replicas
            if role != "all":
                text = named["ConfigMap", "shop-haproxy"]["data"]["haproxy.cfg"]
                assert role == "projector" or f"shop-{role}.prod.svc.cluster.local:8000" in text


_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_NAMED = re.compile(r"(?<![\w$.)])(?:\$root|\$)?\.Values((?:\.\w+)+)")


@pytest.mark.parametrize("template", sorted((ROOT / "deploy" / "helm" / "daicho" / "templates").iterdir()), ids=str)
def test_templates_close_what_they_open_and_name_values_that_are_there(template: Path) -> None:
    """What can be seen without Helm."""
    values = yaml.safe_load((ROOT / "deploy" / "helm" / "daicho" / "values.yaml").read_text(encoding="utf-8"))
    text = template.read_text(encoding="utf-8")
    open_blocks = 0
    for action in _ACTION.findall(text):
        word = action.split()[0]
        open_blocks += {"if": 1, "range": 1, "with": 1, "end": -1}.get(word, 0)
        assert open_blocks >= 0, action
        assert word != "else" or open_blocks, action
        assert action.count("(") == action.count(")")
        for path in _NAMED.findall(action):
            found: Any = values
            for name in path.strip(".").split("."):
                assert name in found, f"{action}: values.yaml has no {path}"
                found = found[name]
    assert open_blocks == 0
    assert "{{" not in _ACTION.sub("", text)
    assert "}}" not in _ACTION.sub("", text)


def test_every_values_file_names_the_same_things_so_that_one_may_be_given_over_another() -> None:
    chart = ROOT / "deploy" / "helm" / "daicho"
    found = [yaml.safe_load((chart / f"values-{slug}.yaml").read_text(encoding="utf-8")) for slug in SLUGS]
    for values in found:
        assert set(values) == set(found[0])
        assert set(values["services"]) == {"all", "command", "projector", "query"}
        assert set(values["stores"]) == {"redis", "mongodb", "opensearch"}


# -- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        {"a": "yes", "b": "1", "c": 1, "d": True, "e": None, "f": 1.5, "g": "", "h": "null", "i": "~"},
        {"text": "a\n  b\n\nc\n", "no end": "a\nb", "odd": "x: y # z", "quote": 'it"s \\ {', "語": "台帳"},
        {"list": [1, "two", {"a": 1, "b": [2, 3]}, {"c": {"d": "e"}}], "nothing": [], "none": {}},
        {"deep": {"er": {"text": "#!/bin/sh\necho 'a' >> \"$X\"\n"}}},
    ],
)
def test_what_is_written_as_yaml_is_read_back_the_same(value: dict[str, Any]) -> None:
    assert yaml.safe_load(written(value)) == value


def test_a_server_template_stands_for_all_services_of_a_kind() -> None:
    text = haproxy(shape("10:1"), {"command": "c.ns:8000", "query": "q.ns:8000"}, bind=":80", room=20)
    assert "server-template query- 20 q.ns:8000" in text
    assert "server query-1" not in text


def test_compose_is_one_text() -> None:
    assert compose(shape("1:1")) == (ROOT / "deploy" / "compose" / "1-1.yaml").read_text(encoding="utf-8")
