"""Makes the JSON Schemas that kubeconform wants: of Kubernetes out of kubernetes-validate, of CRDs out of Go modules.

schemas.py FOLDER MODULES    MODULES: JSON of name to folder, with `kubeconform` for its converter
"""
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys

VERSIONS = [f"1.{minor}.0" for minor in range(29, 38)]
CRDS = {
    "gateway-api": [
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    ],
    "prometheus-operator": [
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ],
    "envoy-gateway": [
        "charts/gateway-crds-helm/templates/generated/gateway.envoyproxy.io_clienttrafficpolicies.yaml",
        "charts/gateway-crds-helm/templates/generated/gateway.envoyproxy.io_httproutefilters.yaml",
        "charts/gateway-crds-helm/templates/generated/gateway.envoyproxy.io_securitypolicies.yaml",
    ],
    "traefik": [
        "traefik/crds/traefik.io_middlewares.yaml",
        "traefik/crds/traefik.io_ingressroutes.yaml",
    ],
    "istio": ["kubernetes/customresourcedefinitions.gen.yaml"],
}


def kubernetes(folder):
    package = pathlib.Path(importlib.util.find_spec("kubernetes_validate").origin).parent
    for version in VERSIONS:
        (source,) = package.glob(f"**/v{version}-local-strict")
        target = folder / f"v{version}-standalone-strict"
        target.mkdir()
        for file in source.glob("*.json"):
            text = file.read_text().replace('"/api/_definitions.json#', '"_definitions.json#')
            schema = json.loads(text)
            schema.pop("$id", None)
            (target / file.name).write_text(json.dumps(schema))


def crds(folder, modules):
    target = folder / "crds"
    target.mkdir()
    script = pathlib.Path(modules["kubeconform"]) / "scripts/openapi2jsonschema.py"
    files = []
    for name, paths in CRDS.items():
        for path in paths:
            # Chart templates among them begin and end with a condition.
            text = (pathlib.Path(modules[name]) / path).read_text()
            lines = [line for line in text.splitlines() if not line.lstrip().startswith("{{")]
            copy = folder / f"{name}-{pathlib.Path(path).name}"
            copy.write_text("\n".join(lines) + "\n")
            files.append(str(copy.resolve()))
    environment = {**os.environ, "FILENAME_FORMAT": "{fullgroup}_{kind}_{version}"}
    subprocess.run([sys.executable, str(script), *files], cwd=target, env=environment, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kubernetes(folder)
    crds(folder, json.loads(sys.argv[2]))
