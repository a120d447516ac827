"""One file a step: a thin KFP component whose body is an import and a call.

KFP ships a component's source as text, so nothing outside the body may be used inside it.
"""

from collections.abc import Callable
from typing import Any


def component(function: Callable[..., Any]) -> Any:
    """Makes a lightweight component that runs in this project's image, where everything is installed."""
    from kfp import dsl

    return dsl.component(function, base_image="trillsson:latest", install_kfp_package=False)
