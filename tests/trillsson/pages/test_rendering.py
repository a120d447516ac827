import sys
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from trillsson.pages.rendering import render_page


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with one template."""
    folder = tmp_path / "with_a_template"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "page.j2").write_text('<style>{% include "base.css" %}</style><p>{{ name }}</p>')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    return folder.name


def test_values_are_escaped_and_the_style_is_not(package: str) -> None:
    page = render_page(package, "page.j2", name="<b>")
    assert page.endswith("</style><p>&lt;b&gt;</p>")
    assert '"Segoe UI"' in page


def test_a_missing_value_is_an_error(package: str) -> None:
    with pytest.raises(UndefinedError, match=r"^'name' is undefined$"):
        render_page(package, "page.j2")
