"""The connection to a Kubeflow Pipelines server: log-in, listing, and its failures as errors of this project."""

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trillsson.errors import InputError, TransientError

_PAGE = 100
_MESSAGE = 500
"""Characters kept of a server's answer in an error."""


def connect(host: str, namespace: str | None) -> Any:
    """Returns a `kfp.Client` of the server at `host`.

    Inside a cluster the service account token projected at `KF_PIPELINES_SA_TOKEN_PATH` (by default
    `/var/run/secrets/kubeflow/pipelines/token`) is sent with every request. `SSL_CERT_FILE` may name the certificates
    to trust.

    Args:
        host: the server's address with its scheme.
        namespace: the user's namespace on a multi-user server; None on a single-user server.

    Raises:
        InputError: the host has no scheme, or the token cannot be read.
    """
    from kfp import client as kfp_client

    class OneTryClient(kfp_client.Client):  # type: ignore[misc]  # kfp ships no types
        """The stock client hides a refusal behind five tries, 25 s and five tracebacks."""

        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            del sleep_duration
            return self.healthzs.healthz_service_get_healthz()

    if not host.startswith(("http://", "https://")):
        raise InputError(f"host {host!r} has no scheme; give http://... or https://...")
    configured = os.environ.get(kfp_client.KF_PIPELINES_SA_TOKEN_ENV)
    token = Path(configured or kfp_client.KF_PIPELINES_SA_TOKEN_PATH)
    if configured and not os.access(token, os.R_OK):
        raise InputError(f"cannot read the token {token}; mend {kfp_client.KF_PIPELINES_SA_TOKEN_ENV} or unset it")
    return OneTryClient(
        host=host,
        namespace=namespace or "kubeflow",  # The client's way to say that none is chosen.
        credentials=kfp_client.ServiceAccountTokenVolumeCredentials(str(token)) if token.exists() else None,
        ssl_ca_cert=os.environ.get("SSL_CERT_FILE"),
    )


def find_named(list_page: Callable[..., Any], items: str, name: str, **where: str | None) -> list[Any]:
    """Returns every item whose display name is exactly `name`; the server's own comparison may ignore case.

    Args:
        list_page: a list method of the client.
        items: the attribute of its answer that holds the items.
        name: the display name.
        **where: further arguments of `list_page`.
    """
    query = json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})
    found: list[Any] = []
    token = ""
    while True:
        page = list_page(page_token=token, page_size=_PAGE, filter=query, **where)
        found += [item for item in getattr(page, items) or [] if item.display_name == name]
        token = page.next_page_token
        if not token:
            return found


def identified(value: str | None, host: str) -> str:
    """Returns an id from the server's answer.

    Raises:
        InputError: there is none, as when a log-in page answers.
    """
    if not value:
        raise InputError(f"{host} does not answer as a Kubeflow Pipelines server; check the host and your log-in")
    return value


def page_url(host: str, page: str) -> str:
    """Returns the address of a page of the server's web pages (at `KF_PIPELINES_UI_ENDPOINT` if they are elsewhere)."""
    return f"{os.environ.get('KF_PIPELINES_UI_ENDPOINT', host).rstrip('/')}/#/{page}"


@contextlib.contextmanager
def explained(host: str) -> Iterator[None]:
    """Turns the client's errors into this project's, and sends what the client prints to standard error.

    Raises:
        InputError: the server refuses a request (4xx), or the host is not such a server.
        TransientError: the server cannot be reached, is too busy, or fails (5xx).
    """
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError, LocationValueError, SSLError

    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ApiException as error:
        if 400 <= error.status < 500 and error.status not in (408, 429):
            raise InputError(f"{host} refuses with {error.status}: {_said(error)}; mend it and run again") from error
        raise TransientError(f"{host} fails with {error.status}: {_said(error)}; run again") from error
    except LocationValueError as error:
        raise InputError(f"host {host!r} is no address: {_line(error)}; give http://name:port") from error
    except HTTPError as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, SSLError):
            raise InputError(
                f"{host} is not trusted: {_line(reason)}; name its certificates in SSL_CERT_FILE"
            ) from error
        raise TransientError(f"cannot reach {host}: {_line(reason)}; check the host and run again") from error
    except ValueError as error:  # What the client itself will not do, such as choose between two experiments.
        raise InputError(f"cannot use {host}: {_line(error)}; mend it and run again") from error


def _said(error: Any) -> str:
    """Returns the server's own words: the `message` or `error` of its JSON answer, else the start of the answer."""
    try:
        body = json.loads(error.body)
        words = body.get("message") or body.get("error")
    except (TypeError, ValueError, AttributeError):
        words = error.body
    return _line(words or error.reason)


def _line(value: object) -> str:
    return " ".join(str(value).split())[:_MESSAGE].rstrip(".")
