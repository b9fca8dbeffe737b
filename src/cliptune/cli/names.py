"""``cliptune models``, ``templates`` and ``datasets``: what names are known."""

from __future__ import annotations

from cliptune.cli.console import print_json, print_table, print_text
from cliptune.cli.options import Output
from cliptune.errors import InputError, UnknownNameError
from cliptune.system.formatting import size

__all__ = ["datasets", "models", "templates"]


def models(pattern: str = "", name: str | None = None, /, *, output: Output = Output()) -> None:
    """List the encoders that can be named, or fetch one: 'cliptune models get NAME'.

    Args:
        pattern: Show only names that contain this; 'get' fetches the model named behind it.
        name: The model to fetch.
        output: How results are shown.
    """
    if name is not None:
        _get_model(pattern, name, output)
        return
    from cliptune.encoders import list_models
    from cliptune.encoders.families import families

    known = list_models()
    found = [m for m in known if pattern.lower() in m.name.lower()]
    stated = [f for f in families().values() if pattern.lower() in f"{f.name} {f.examples}".lower()]
    if not found and not stated:
        raise UnknownNameError("model", pattern, [m.name for m in known])
    if output.json:
        facts = [family.to_dict() for family in stated]
        print_json({"models": [vars(m) for m in found], "families": facts})
        return
    print_table("Models", ("name", "here"), [(m.name, "yes" if m.local else "") for m in found])
    rows = [(f.title, f.backend, f.examples[0], f.score) for f in stated]
    print_table("Families", ("family", "built by", "for example", "score"), rows)
    print_text(
        "Also: OpenAI's own names (ViT-B/32), hf-hub:OWNER/NAME@REVISION, a local folder or "
        "checkpoint.\n"
        "Weights that are not here are fetched on first use, or by 'cliptune models get NAME'."
    )


def _get_model(word: str, name: str, output: Output) -> None:
    if word != "get":
        raise InputError(
            f"cliptune models takes one pattern, or 'get' and a name; got {word!r} and {name!r}"
        )
    from cliptune.encoders.fetching import fetch_model

    found = fetch_model(name)
    if output.json:
        print_json(found.to_dict())
        return
    rows = [(str(path), size(n_bytes)) for path, n_bytes in found.files]
    print_table(f"{name} is here", ("file", "size"), rows)


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
