"""Aliases: promote, roll back, what publishing moves, and moves that die or meet others."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from trillsson.errors import InputError, IntegrityError, TransientError
from trillsson.registry import aliases, promote, publish, resolve, roll_back
from trillsson.registry.manifests import Latest, alias_path, read_json
from trillsson.storage import LocalStorage, join, open_storage

MakeBundle = Callable[[str], Path]
Dying = Callable[..., bool]
Race = Callable[[str, list[list[str]]], list[str]]


def fill(registry: str, make_bundle: MakeBundle, names: str) -> None:
    for name in names:
        publish(registry, make_bundle(name), model="fake", metrics={}, provenance={})


def aliased(registry: str) -> tuple[int, int]:
    return resolve(registry, "fake@latest").version, resolve(registry, "fake@previous").version


class TestMoves:
    def test_publish_moves_latest_and_previous(self, registry: str, make_bundle: MakeBundle) -> None:
        fill(registry, make_bundle, "a")
        assert resolve(registry, "fake").version == 1
        with pytest.raises(InputError, match=r"fake has no alias 'previous' in .*; it has 1, latest$"):
            resolve(registry, "fake@previous")
        fill(registry, make_bundle, "bc")
        assert aliased(registry) == (3, 2)

    def test_roll_back_and_back_again(self, registry: str, make_bundle: MakeBundle) -> None:
        fill(registry, make_bundle, "abc")
        assert str(roll_back(registry, "fake")) == "fake@2"
        assert aliased(registry) == (2, 3)
        assert str(roll_back(registry, "fake")) == "fake@3"
        assert aliased(registry) == (3, 2)

    def test_publishing_old_content_again_leaves_a_roll_back(self, registry: str, make_bundle: MakeBundle) -> None:
        fill(registry, make_bundle, "abc")
        roll_back(registry, "fake")
        fill(registry, make_bundle, "cab")
        assert aliased(registry) == (2, 3)
        fill(registry, make_bundle, "d")
        assert aliased(registry) == (4, 2)

    def test_promote_latest(self, registry: str, make_bundle: MakeBundle) -> None:
        fill(registry, make_bundle, "abc")
        assert str(promote(registry, "fake@1")) == "fake@1"
        assert aliased(registry) == (1, 3)
        promote(registry, "fake@1")
        assert aliased(registry) == (1, 3)

    def test_promote_another_alias(self, registry: str, make_bundle: MakeBundle) -> None:
        fill(registry, make_bundle, "abc")
        promote(registry, "fake@1", alias="stable")
        assert resolve(registry, "fake@stable").version == 1
        promote(registry, "fake@latest", alias="stable")
        assert resolve(registry, "fake@stable").version == 3
        assert aliased(registry) == (3, 2)

    def test_nothing_is_deleted(self, registry: str, make_bundle: MakeBundle) -> None:
        fill(registry, make_bundle, "ab")
        before = open_storage(registry).list()
        promote(registry, "fake@1")
        roll_back(registry, "fake")
        assert open_storage(registry).list() == before


class TestRefused:
    def test_previous_is_not_promoted(self, local_registry: str, make_bundle: MakeBundle) -> None:
        fill(local_registry, make_bundle, "a")
        with pytest.raises(InputError) as caught:
            promote(local_registry, "fake@1", alias="previous")
        expected = "alias 'previous' follows 'latest' by itself; promote 'latest' or another alias"
        assert str(caught.value) == expected

    @pytest.mark.parametrize("alias", ["3", "", "a/b", "Stable", "../x"])
    def test_alias_names(self, local_registry: str, make_bundle: MakeBundle, alias: str) -> None:
        fill(local_registry, make_bundle, "a")
        with pytest.raises(InputError) as caught:
            promote(local_registry, "fake@1", alias=alias)
        expected = f"{alias!r} is neither a version nor an alias; give a number from 1, or a name as in latest"
        assert str(caught.value) == expected

    def test_a_version_that_does_not_exist(self, local_registry: str, make_bundle: MakeBundle) -> None:
        fill(local_registry, make_bundle, "a")
        with pytest.raises(InputError, match=r"fake has no version 7 in .*; it has 1, latest$"):
            promote(local_registry, "fake@7")

    def test_roll_back_of_the_only_version(self, local_registry: str, make_bundle: MakeBundle) -> None:
        fill(local_registry, make_bundle, "a")
        with pytest.raises(InputError, match=r"^fake@1 is the only version that was ever latest; promote another$"):
            roll_back(local_registry, "fake")

    def test_roll_back_of_no_model(self, local_registry: str, make_bundle: MakeBundle) -> None:
        fill(local_registry, make_bundle, "a")
        with pytest.raises(InputError, match=r"has no model 'other'; it has fake$"):
            roll_back(local_registry, "other")

    def test_a_damaged_alias(self, local_registry: str, make_bundle: MakeBundle) -> None:
        fill(local_registry, make_bundle, "a")
        (Path(local_registry) / "fake/aliases/latest.json").write_bytes(b'{"version": 0}')
        for use in (lambda: resolve(local_registry, "fake"), lambda: roll_back(local_registry, "fake")):
            with pytest.raises(IntegrityError, match=r"latest\.json is not valid: version: Input should be greater"):
                use()

    def test_an_alias_of_nothing(self, local_registry: str, make_bundle: MakeBundle) -> None:
        fill(local_registry, make_bundle, "a")
        (Path(local_registry) / "fake/aliases/stable.json").write_bytes(b'{"version": 9}')
        with pytest.raises(IntegrityError, match=r"^fake@stable points at version 9, which is gone; promote another$"):
            resolve(local_registry, "fake@stable")


class TestKilled:
    @pytest.mark.parametrize(("dies_at", "after"), [(1, False), (1, True), (2, False)])
    def test_roll_back_again_finishes_it(
        self, local_registry: str, make_bundle: MakeBundle, dying: Dying, dies_at: int, after: bool
    ) -> None:
        fill(local_registry, make_bundle, "abc")
        assert dying(lambda: roll_back(local_registry, "fake"), dies_at=dies_at, after=after)
        assert aliased(local_registry) in ((3, 2), (2, 2))
        assert roll_back(local_registry, "fake").version == 2
        assert aliased(local_registry) == (2, 3)

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("dies_at", [1, 2])
    def test_promote_again_finishes_it(
        self, local_registry: str, make_bundle: MakeBundle, dying: Dying, dies_at: int, after: bool
    ) -> None:
        fill(local_registry, make_bundle, "abc")
        assert dying(lambda: promote(local_registry, "fake@1"), dies_at=dies_at, after=after)
        promote(local_registry, "fake@1")
        assert aliased(local_registry) == (1, 3)

    def test_roll_back_of_a_publish_that_died_between_the_aliases(
        self, local_registry: str, make_bundle: MakeBundle, dying: Dying
    ) -> None:
        fill(local_registry, make_bundle, "ab")
        publishing = 1 + 5 + 1 + 1
        assert dying(lambda: fill(local_registry, make_bundle, "c"), dies_at=publishing, after=True)
        assert aliased(local_registry) == (3, 1)
        assert roll_back(local_registry, "fake").version == 2
        assert aliased(local_registry) == (2, 3)


class TestMeetings:
    def test_roll_back_gives_way_to_another_move(
        self, local_registry: str, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(local_registry, make_bundle, "abc")

        class Meddled(LocalStorage):
            def swap(self, path: str, data: bytes, *, expected: str | None) -> bool:
                monkeypatch.undo()
                promote(local_registry, "fake@1")
                return super().swap(path, data, expected=expected)

        monkeypatch.setattr(aliases, "open_storage", lambda uri: Meddled(Path(uri)))
        expected = r"^fake@latest was moved by somebody else; look at the versions and run again$"
        with pytest.raises(TransientError, match=expected):
            roll_back(local_registry, "fake")
        assert aliased(local_registry) == (1, 3)

    def test_two_roll_backs_are_one(
        self, local_registry: str, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(local_registry, make_bundle, "abc")

        class Meddled(LocalStorage):
            def swap(self, path: str, data: bytes, *, expected: str | None) -> bool:
                monkeypatch.undo()
                roll_back(local_registry, "fake")
                return super().swap(path, data, expected=expected)

        monkeypatch.setattr(aliases, "open_storage", lambda uri: Meddled(Path(uri)))
        assert roll_back(local_registry, "fake").version == 2
        assert aliased(local_registry) == (2, 3)

    def test_a_slow_move_does_not_undo_a_newer_one(
        self, local_registry: str, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A roll back has yet to write previous.json, which happens to be right for the publish that overtakes it."""
        fill(local_registry, make_bundle, "abc")

        class Meddled(LocalStorage):
            def swap(self, path: str, data: bytes, *, expected: str | None) -> bool:
                if path == alias_path("fake", "previous"):
                    monkeypatch.undo()
                    fill(local_registry, make_bundle, "d")
                return super().swap(path, data, expected=expected)

        monkeypatch.setattr(aliases, "open_storage", lambda uri: Meddled(Path(uri)))
        roll_back(local_registry, "fake")
        assert aliased(local_registry) == (4, 2)

    def test_a_swap_that_never_succeeds_ends(
        self, local_registry: str, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(local_registry, make_bundle, "ab")
        monkeypatch.setattr(LocalStorage, "swap", lambda *_, **__: False)
        with pytest.raises(TransientError, match=r"latest\.json: others moved it 100 times; run again$"):
            promote(local_registry, "fake@1")

    def test_many_movers_leave_the_aliases_in_step(self, registry: str, make_bundle: MakeBundle, race: Race) -> None:
        fill(registry, make_bundle, "abc")
        script = """
from trillsson.registry import promote
promote(sys.argv[1], sys.argv[2])
ready()
for _ in range(10):
    promote(sys.argv[1], sys.argv[2])
"""
        race(script, [[registry, f"fake@{version}"] for version in (1, 2, 3)])
        latest = read_json(Latest, open_storage(registry), alias_path("fake", "latest"))
        assert latest
        assert latest.published == 3
        assert aliased(registry) == (latest.version, latest.previous)
        assert latest.version != latest.previous


def test_any_sequence_of_moves_and_deaths(tmp_path: Path, make_bundle: MakeBundle, dying: Dying) -> None:
    """Publishes, promotions and roll backs, each of which may die once and is then run again, follow a plain model."""
    folders = {name: make_bundle(name) for name in "abcd"}
    runs = iter(range(10_000))
    run_state_machine_as_test(
        lambda: AliasMachine(join(str(tmp_path), "registries", str(next(runs))), folders, dying),
        settings=settings(max_examples=25, stateful_step_count=12, database=None),
    )


class AliasMachine(RuleBasedStateMachine):
    """The aliases of one registry, and what they should be."""

    deaths = st.none() | st.tuples(st.integers(1, 9), st.booleans())

    def __init__(self, registry: str, folders: dict[str, Path], dying: Dying) -> None:
        super().__init__()
        self.registry = registry
        self.folders = folders
        self.dying = dying
        self.numbers: dict[str, int] = {}
        self.latest = self.published = 0
        self.previous: int | None = None

    def perform(self, call: Callable[[], object], death: tuple[int, bool] | None) -> None:
        if death:
            self.dying(call, dies_at=death[0], after=death[1])
        call()

    def move(self, version: int) -> None:
        if version != self.latest:
            self.latest, self.previous = version, self.latest or None

    @initialize()
    def first(self) -> None:
        self.publish("a", None)

    @rule(name=st.sampled_from("abcd"), death=deaths)
    def publish(self, name: str, death: tuple[int, bool] | None) -> None:
        folder = self.folders[name]
        self.perform(lambda: publish(self.registry, folder, model="fake", metrics={}, provenance={}), death)
        number = self.numbers.setdefault(name, len(self.numbers) + 1)
        if number > self.published:
            self.published = number
            self.move(number)

    @rule(data=st.data(), death=deaths)
    def promote(self, data: st.DataObject, death: tuple[int, bool] | None) -> None:
        version = data.draw(st.sampled_from(sorted(self.numbers.values())))
        self.perform(lambda: promote(self.registry, f"fake@{version}"), death)
        self.move(version)

    @precondition(lambda self: self.previous is not None)
    @rule(death=st.none() | st.sampled_from([(1, False), (1, True), (2, False)]))
    def roll_back(self, death: tuple[int, bool] | None) -> None:
        self.perform(lambda: roll_back(self.registry, "fake"), death)
        assert self.previous
        self.move(self.previous)

    @invariant()
    def aliases_are_as_they_should_be(self) -> None:
        if self.latest:
            assert resolve(self.registry, "fake").version == self.latest
        if self.previous:
            assert resolve(self.registry, "fake@previous").version == self.previous
