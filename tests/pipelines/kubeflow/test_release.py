"""A release sent to a cluster: refused before anything is sent, if its pods could not share its folders."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.kubeflow.release import schedule_release, submit_release
from trillsson.config import Release
from trillsson.errors import InputError, TransientError

MakeRelease = Callable[..., tuple[Path, Release]]
NOWHERE = "http://127.0.0.1:9"
SHARED = {"workdir": "/data/work", "registry": "gs://bucket/registry"}


@pytest.mark.parametrize("key", SHARED)
def test_folders_that_pods_do_not_share(make_release: MakeRelease, key: str) -> None:
    config, _ = make_release(**{**SHARED, key: "work/here"})
    with pytest.raises(InputError, match=rf"^{key} work/here is not shared by the pods of a cluster; give "):
        submit_release(config, host=NOWHERE, experiment="trillsson")


def test_a_server_that_is_away(make_release: MakeRelease) -> None:
    config, _ = make_release(**SHARED)
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9"):
        submit_release(config, host=NOWHERE, experiment="trillsson")
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9"):
        schedule_release(config, cron="0 0 3 * * 1", host=NOWHERE, experiment="trillsson")
