"""References, and the errors that say what a registry holds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trillsson.errors import InputError, IntegrityError
from trillsson.registry import list_models, list_versions, publish, resolve
from trillsson.storage import open_storage

MakeBundle = Callable[[str], Path]


@pytest.fixture
def filled(registry: str, make_bundle: MakeBundle) -> str:
    """A registry with nano@1, nano@2 and base@1."""
    for model, content in (("nano", "a"), ("nano", "b"), ("base", "c")):
        publish(registry, make_bundle(content), model=model, metrics={}, provenance={})
    return registry


@pytest.mark.parametrize(
    ("reference", "found"),
    [("nano", "nano@2"), ("nano@latest", "nano@2"), ("nano@previous", "nano@1"), ("nano@1", "nano@1")],
)
def test_resolve(filled: str, reference: str, found: str) -> None:
    version = resolve(filled, reference)
    assert str(version) == found
    assert version.manifest.version == version.version


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nano@7", "nano has no version 7 in {uri}; it has 1, 2, latest, previous"),
        ("nano@stable", "nano has no alias 'stable' in {uri}; it has 1, 2, latest, previous"),
        ("base@previous", "base has no alias 'previous' in {uri}; it has 1, latest"),
        ("nana", "registry {uri} has no model 'nana'; it has base, nano"),
        ("Nano", "model name 'Nano' is not valid; use lower-case letters, digits, - and _, as in nano or nano@3"),
        ("", "model name '' is not valid; use lower-case letters, digits, - and _, as in nano or nano@3"),
        ("nano@", "'' is neither a version nor an alias; give a number from 1, or a name as in latest"),
        ("nano@0", "'0' is neither a version nor an alias; give a number from 1, or a name as in latest"),
        ("nano@01", "'01' is neither a version nor an alias; give a number from 1, or a name as in latest"),
        ("nano@²", "'²' is neither a version nor an alias; give a number from 1, or a name as in latest"),
        ("nano@../x", "'../x' is neither a version nor an alias; give a number from 1, or a name as in latest"),
    ],
)
def test_what_does_not_resolve_says_what_there_is(filled: str, reference: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(filled, reference)
    assert str(caught.value) == message.format(uri=filled)


def test_an_empty_registry(registry: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(registry, "nano")
    fix = "publish one, or set TRILLSSON_REGISTRY to another"
    assert str(caught.value) == f"registry {registry} holds no models; {fix}"
    assert list_models(registry) == ()


def test_lists(filled: str) -> None:
    assert list_models(filled) == ("base", "nano")
    assert [str(version) for version in list_versions(filled, "nano")] == ["nano@1", "nano@2"]
    assert [version.manifest.spec.provenance["note"] for version in list_versions(filled, "nano")] == ["a", "b"]
    with pytest.raises(InputError, match=r"has no model 'nana'; it has base, nano$"):
        list_versions(filled, "nana")


def test_a_version_is_not_there_before_its_manifest(filled: str) -> None:
    storage = open_storage(filled)
    storage.create("nano/versions/3/claim.json", b"{}")
    storage.create("nano/versions/3/model.tflite", b"")
    storage.create("half/versions/1/model.tflite", b"")
    assert [version.version for version in list_versions(filled, "nano")] == [1, 2]
    assert list_models(filled) == ("base", "nano")
    with pytest.raises(InputError, match="nano has no version 3"):
        resolve(filled, "nano@3")


def test_a_manifest_of_another_version(filled: str) -> None:
    storage = open_storage(filled)
    storage.create("nano/versions/3/manifest.json", storage.read("nano/versions/2/manifest.json") or b"")
    with pytest.raises(IntegrityError, match=r"versions/3/manifest\.json is of nano@2; restore the right one"):
        resolve(filled, "nano@3")


def test_a_manifest_of_a_later_schema(filled: str) -> None:
    open_storage(filled).create("nano/versions/3/manifest.json", b'{"schema_version": 2}')
    with pytest.raises(IntegrityError, match=r"manifest\.json has schema 2; upgrade trillsson to read it"):
        resolve(filled, "nano@3")
