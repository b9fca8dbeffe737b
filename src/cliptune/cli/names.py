"""``cliptune models``, ``templates`` and ``datasets``: what names are known."""

from __future__ import annotations

from cliptune.cli.console import print_json, print_table, print_text
from cliptune.cli.options import Output
from cliptune.errors import UnknownNameError

__all__ = ["datasets", "models", "templates"]


def models(pattern: str = "", /, *, output: Output = Output()) -> None:
    """List the encoders that can be named.

    Args:
        pattern: Show only names that contain this.
        output: How results are shown.
    """
    from cliptune.encoders import list_models

    known = list_models()
    found = [m for m in known if pattern.lower() in m.name.lower()]
    if not found:
        raise UnknownNameError("model", pattern, [m.name for m in known])
    if output.json:
        print_json({"models": [vars(m) for m in found]})
        return
    print_table("Models", ("name", "here"), [(m.name, "yes" if m.local else "") for m in found])
    print_text(
        "Also: OpenAI's own names (ViT-B/32), hf-hub:OWNER/NAME, a local folder or checkpoint.\n"
        "Weights that are not here are fetched on first use."
    )


def templates(name: str = "", /, *, output: Output = Output()) -> None:
    """List the named prompt template sets, or the templates of one.

    Args:
        name: Show the templates of this set.
        output: How results are shown.
    """
    from cliptune.prompts import list_template_sets, load_template_set

    sets = [load_template_set(name)] if name else list(list_template_sets())
    if output.json:
        print_json({"templates": [vars(s) for s in sets]})
    elif name:
        print_text("\n".join(sets[0].templates))
    else:
        rows = [(s.name, str(len(s.templates)), s.about) for s in sets]
        print_table("Template sets", ("name", "templates", "for"), rows)


def datasets(*, output: Output = Output()) -> None:
    """List the data sets that can be named.

    Args:
        output: How results are shown.
    """
    from cliptune.catalog import list_datasets

    entries = list_datasets()
    if output.json:
        print_json({"datasets": [vars(e) for e in entries]})
        return
    rows = [(e.name, str(e.n_images), str(len(e.class_names)), e.about) for e in entries]
    print_table("Data sets", ("name", "images", "classes", "what"), rows)
