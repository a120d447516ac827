"""publish: every student that passes the release's gate becomes a version of the registry."""

import tempfile
from pathlib import Path

from trillsson.bundles import read_bundle
from trillsson.config import Release, Spec
from trillsson.errors import GateError, InputError
from trillsson.folders import local_folder
from trillsson.noss.evaluate import BUNDLE, read_result
from trillsson.noss.gate import required_gate
from trillsson.noss.release_report import judge_students
from trillsson.progress import say
from trillsson.registry.publishing import publish
from trillsson.storage import open_storage


class PublishSpec(Spec):
    """Which bundles to publish, and the results they are judged by."""

    release: Release
    results: tuple[str, ...]
    bundles: tuple[str, ...]


def run(spec: PublishSpec) -> tuple[str, ...]:
    """Publishes the students that pass the gate and returns their references, `student@version`.

    Raises:
        InputError: a bundle has no result, or that of another bundle.
        GateError: there is no gate, or a student does not pass it; those that pass are published before.
    """
    release = spec.release
    required_gate(release.gate)
    results = {result.name: result for result in map(read_result, spec.results)}
    verdicts = {verdict.student: verdict for verdict in judge_students(list(results.values()), release)}
    registry = open_storage(release.registry).uri
    references = []
    for uri in spec.bundles:
        with tempfile.TemporaryDirectory(prefix="trillsson-") as cache:
            folder = local_folder(uri, Path(cache))
            bundle = read_bundle(folder)
            student = bundle.spec.name
            if student not in verdicts or results[student].provenance.get(BUNDLE) != bundle.digest:
                raise InputError(
                    f"bundle {uri} of {student!r} has no result of its own; evaluate it, and give its result"
                )
            if not verdicts[student].passed:
                continue
            published = publish(
                registry,
                folder,
                model=student,
                metrics=results[student].model_dump(mode="json"),
                provenance={"release": release.digest(), "config": release.name},
            )
        references.append(f"{student}@{published.version}")
        say(f"published {references[-1]}" + ("" if published.created else ": the same content as before"))
    if references:
        model = references[0].partition("@")[0]
        say("use it, on a numpy array of any length, 16 kHz, float32 in [-1, 1]:")
        say("    import trillsson")
        say(f'    embedding = trillsson.load("{model}@latest", registry="{registry}").embed(audio)')
    if failed := [verdict.message for verdict in verdicts.values() if not verdict.passed]:
        raise GateError("; ".join(failed))
    return tuple(references)
