"""Renders a page from a package's template. A page stands alone: no script, nothing to load; all values escaped."""

from importlib.resources import files


def render_page(package: str, template: str, **values: object) -> str:
    """Renders a template.

    Args:
        package: where the template lies.
        template: its file name; it may include `base.css`, the style that all pages share.
        values: what it asks for; a missing one is an error.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined

    sources = {
        template: files(package).joinpath(template).read_text(encoding="utf-8"),
        "base.css": files("trillsson.pages").joinpath("base.css").read_text(encoding="utf-8"),
    }
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=DictLoader(sources)
    )
    return environment.get_template(template).render(**values)
