import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

K8S = Path(__file__).parents[2] / "k8s"


@pytest.fixture(scope="session", params=["base", "overlays/example"])
def rendered(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """The documents of the base, then of the example, as kubectl would apply them."""
    return render(request.param)


def render(folder: str, root: Path = K8S) -> list[dict[str, Any]]:
    """Returns the documents of a folder below `k8s/`, or a copy of it, as kubectl would apply them."""
    kubectl = shutil.which("kubectl")
    if kubectl is None and os.environ.get("TRILLSSON_REQUIRE_KUBECTL") != "1":
        pytest.skip("kubectl is not installed; it renders k8s/")
    assert kubectl, "kubectl is not installed and TRILLSSON_REQUIRE_KUBECTL is 1"
    result = subprocess.run([kubectl, "kustomize", root / folder], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return list(yaml.safe_load_all(result.stdout))
