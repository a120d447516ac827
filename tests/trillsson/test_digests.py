"""Digests: published SHA-256 vectors, and independence of key order and of where a folder lies."""

import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trillsson.digests import canonical_json, digest_of, file_digest, folder_digests

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4, SHA-256 of "abc"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=10,
)


def test_canonical_json_is_one_byte_string() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == b'{"a":"\xc3\xa9","b":[1,2.5,null]}'


def test_digest_of_is_sha256_of_canonical_json() -> None:
    assert digest_of({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()


@given(st.dictionaries(st.text("abcdef", min_size=1), values, min_size=2), st.randoms(use_true_random=False))
def test_key_order_does_not_matter(value: dict[str, object], order: random.Random) -> None:
    keys = list(value)
    order.shuffle(keys)
    assert digest_of({key: value[key] for key in keys}) == digest_of(value)


@given(values, values)
def test_different_values_have_different_digests(one: object, other: object) -> None:
    assert (digest_of(one) == digest_of(other)) == (canonical_json(one) == canonical_json(other))


@pytest.mark.parametrize(("data", "digest"), [(b"abc", ABC), (b"", EMPTY)])
def test_file_digest_matches_published_vectors(tmp_path: Path, data: bytes, digest: str) -> None:
    (tmp_path / "file").write_bytes(data)
    assert file_digest(tmp_path / "file") == digest


def test_folder_digests_are_relative_sorted_and_leave_out(tmp_path: Path) -> None:
    for name, data in {"b/deep": b"abc", "a": b"", "manifest.json": b"{}"}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    digests = folder_digests(tmp_path, leave_out=["manifest.json"])
    assert list(digests.items()) == [("a", EMPTY), ("b/deep", ABC)]
