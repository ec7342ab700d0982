"""Write the tables in README.md and docs/ that repeat what the code, params.yaml and the recipes declare.

The table NAME stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``. ``--check`` writes nothing, names the files that are not
up to date and exits 1 if there is one. params.yaml counts as git has it staged, whatever an experiment leaves in the workspace.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from alexnet.config.check import Settings
from alexnet.config.nets import NETS
from alexnet.config.section import MOST, flat
from alexnet.config.sources import SOURCES
from stages import paths
from stages.provenance import git
from workflow.recipe import applied, known, read, shipped, title
from workflow.results.rows import FOLDER
from workflow.results.summary import TABLES as RESULTS

BLOCK = re.compile(r"(<!-- ([\w-]+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)


def main() -> None:
    """Read the command line, then write or check."""
    parser = argparse.ArgumentParser(prog="python -m docs.tables", description=__doc__, allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a table is not up to date")
    check = parser.parse_args().check
    for path in (stale := outdated()):
        if check:
            print(f"error: {path} is not up to date; run `python -m docs.tables`", file=sys.stderr)
        else:
            path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
            print(f"{path}: updated")
    if check and stale:
        sys.exit(1)
    if git("diff", "--name-only", "--", str(paths.PARAMS)):
        print(f"note: {paths.PARAMS} has changes that are not staged; the tables show the staged version", file=sys.stderr)


def outdated() -> list[Path]:
    """The documents in which a table is not up to date."""
    documents = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
    return [path for path in documents if (text := path.read_text(encoding="utf-8")) != filled(text)]


def filled(text: str) -> str:
    """``text`` with each table as it should be."""
    return BLOCK.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", text)


def nets() -> str:
    """The registry of nets."""
    rows = (
        (
            f"`{name}`",
            net.description,
            f"{net.parameters:,} with {net.classes:,} classes",
            ", ".join(map(str, net.crops)),
            _code(net.switches),
            _code(net.cuts),
            f"`{net.recipe}`" if net.recipe else "–",
        )
        for name, net in NETS.items()
    )
    return _table(("`model`", "Net", "Parameters", "`crop_size`", "Switches", "Legal cuts", "Recipe"), rows)


def sources() -> str:
    """The registry of sources."""
    rows = (
        (
            f"`{name}`",
            source.title[0].upper() + source.title[1:],
            "required" if source.needs_root else "not used",
            "required" if source.needs_name else "must be null",
        )
        for name, source in SOURCES.items()
    )
    return _table(("`data.source`", "Images", "`data.root`", "`data.name`"), rows)


def recipes() -> str:
    """The recipes, each with its first line."""
    rows = ((f"`{name}`", title(name), read(name).get("data.source", "–"), read(name).get("epochs", "–")) for name in known())
    return _table(("Recipe", "What", "`data.source`", "`epochs`"), rows)


def settings() -> str:
    """All settings, in the order of params.yaml."""
    schemas = dict(declared(Settings.model_json_schema()))
    rows = (
        (f"`{name}`", legal(schemas[name]), f"`{_text(value)}`", " ".join(schemas[name]["description"].split()))
        for name, value in flat(shipped()).items()
    )
    return _table(("Setting", "Values", "Shipped", "What"), rows)


def net_costs() -> str:
    """Parameters and multiply-accumulates of each net at each of its crop sizes."""
    from alexnet.models.costs import costs

    rows = []
    for name, net in NETS.items():
        variants: list[dict[str, Any]] = [{"crop_size": crop} for crop in net.crops]
        if name == "alexnet":
            variants.append({"crop_size": net.crops[0], "towers": 1})
        for changes in variants:
            layers = costs(_net(name, changes), changes["crop_size"]).values()
            label = f"`{name}`, `towers: 1`" if "towers" in changes else f"`{name}`"
            rows.append((label, changes["crop_size"], f"{net.classes:,}", *_cost(layers)))
    return _table(("Net", "Crop", "Classes", "Parameters", "Forward MACs"), rows)


def layer_costs() -> str:
    """Parameters and multiply-accumulates of each layer of the paper's net."""
    from alexnet.models.costs import costs

    found = costs(_net("alexnet", {}), NETS["alexnet"].crops[0])
    rows = [(name, *_cost([layer])) for name, layer in found.items()]
    return _table(("Layer", "Parameters", "Forward MACs"), [*rows, ("total", *_cost(found.values()))])


def result(name: str) -> str:
    """What the records in docs/results say, with the figure that is drawn of it."""
    picture = FOLDER / f"{name.removeprefix('results-')}.svg"
    image = f"\n![The same as a figure]({FOLDER.name}/{picture.name})\n" if picture.exists() else ""
    return _table(*RESULTS[name]()) + image


TABLES: dict[str, Callable[[], str]] = {
    "nets": nets,
    "sources": sources,
    "recipes": recipes,
    "settings": settings,
    "net-costs": net_costs,
    "layer-costs": layer_costs,
    **{name: partial(result, name) for name in RESULTS},
}


def declared(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each setting's dotted name and JSON schema."""
    sections = schema["$defs"]
    for name, field in schema["properties"].items():
        if "$ref" in field:
            section = sections[field["$ref"].rpartition("/")[2]]
            yield from ((f"{name}.{key}", inner) for key, inner in section["properties"].items())
        else:
            yield name, field


def legal(schema: dict[str, Any]) -> str:
    """The legal values of a setting, from its JSON schema."""
    return ", ".join(map(_legal, schema.get("anyOf", [schema])))


def _legal(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return _code(schema["enum"])
    if schema["type"] == "null":
        return "`null`"
    if schema["type"] == "boolean":
        return "`true`, `false`"
    if schema["type"] == "array":
        return f"list of: {_legal(schema['items'])}"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if schema.get(key, MOST) != MOST]
    return " ".join([schema["type"], " and ".join(bounds)]).strip()


def _net(name: str, changes: dict[str, Any]) -> Any:
    """A net as its recipe has it, with ``changes`` on top: shapes only."""
    from alexnet.models.build import build
    from alexnet.models.network import Switches

    net = NETS[name]
    settings = applied(shipped(), (read(net.recipe) if net.recipe else {}) | changes)
    return build(name, net.classes, Switches.of(settings))


def _cost(layers: Collection[Any]) -> tuple[str, str]:
    """Parameters and multiply-accumulates of layers, added up."""
    return f"{sum(layer.parameters for layer in layers):,}", f"{sum(layer.macs for layer in layers):,}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in lines)


def _code(words: Iterable[object]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _text(value: Any) -> str:
    """A value as one writes it in params.yaml."""
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    main()
