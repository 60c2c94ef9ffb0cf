"""What no line of ours may do: run text as code, unpickle, or put into SQL what was not looked at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightjar.settings import repository

ROOT = repository()
FILES = sorted(path for folder in ("src", "jobs", "dags") for path in (ROOT / folder).rglob("*.py"))

#: Called by any of these names, text is code or becomes objects that run code.
FORBIDDEN = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "cloudpickle.load",
    "cloudpickle.loads",
    "joblib.load",
    "marshal.loads",
    "shelve.open",
    "pandas.read_pickle",
    "pd.read_pickle",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "tempfile.mktemp",
}

#: What sends SQL to DuckDB or a warehouse; `F.expr` is a mapping's, which is the operator's.
SQL_CALLS = {"execute", "executemany", "query", "sql"}
#: The warehouse's own methods; elsewhere the words mean other things.
WAREHOUSE_CALLS = SQL_CALLS | {"rows", "number", "stage", "fetch", "append", "view", "table"}

#: Per file, what is put into SQL as text: names from contracts, SQL of them, our own numbers, values that were quoted.
LOOKED_AT = {
    "jobs/bench/peers.py": {"cores", "gap_us", "log", "out", "out.parent / 'duckdb-spill'"},  # our own paths
    "jobs/bench/publish.py": {"shape.folder / NIGHTS[1].isoformat()"},
    "jobs/ops/summary.py": {"json.dumps(query)"},
    "src/nightjar/stores/lake.py": {"column", "row"},
    "src/nightjar/stores/warehouse/audits.py": {"fallbacks", "in_order"},
    "src/nightjar/stores/warehouse/cloud.py": {"names", "select", "table"},
    "src/nightjar/stores/warehouse/crm.py": {
        *("_PRIME", "_PRIME + 1", "halves", "instant", "kept", "shop", "source", "text"),  # names of columns
    },
    "src/nightjar/stores/warehouse/duckdb_file.py": {"how", "name", "names", "quoted", "select", "sql", "table"},
    "src/nightjar/stores/warehouse/erasure.py": {"column", "places", "table"},
    "src/nightjar/stores/warehouse/pointer.py": {"', '.join(row)", "places"},
    # A shop's name is letters, digits and _: `contracts.table` refuses any other.
    "src/nightjar/stores/warehouse/postgres.py": {
        *(
            "_DROP_PATIENCE_MS",
            "day.isoformat()",
            "name",
            "names",
            "of_shop",
            "part",
            "same_night",
            "select",
            "shop",
            "table",
        ),
    },
    "src/nightjar/stores/warehouse/publication.py": {
        *("_SAMPLE_PEOPLE", "absent", "mart.partition.table", "names", "order", "table.name"),
        "rows_of(USERS, [str(file) for file in waiting])",  # quotes them
    },
    "src/nightjar/stores/warehouse/queries.py": {"', '.join(PUBLISH_LOG.names)"},
    "src/nightjar/stores/warehouse/rollback.py": {"', '.join(names)"},
    "src/nightjar/stores/warehouse/workbench.py": {"name", "select"},
}


def findings(tree: ast.AST) -> Iterator[str]:
    """What is forbidden wherever it stands."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        words = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in FORBIDDEN:
            yield f"line {node.lineno}: {name}"
        if "shell" in words and words["shell"] != "False":
            yield f"line {node.lineno}: {name} with a shell"
        if name.endswith("torch.load") and words.get("weights_only") != "True":
            yield f"line {node.lineno}: torch.load without weights_only=True"
        if name.endswith(("np.load", "numpy.load")) and words.get("allow_pickle", "False") != "False":
            yield f"line {node.lineno}: numpy.load with pickle"


def put_into_sql(tree: ast.AST, calls: set[str] = SQL_CALLS) -> set[str]:
    """Every expression that becomes text of a statement, inside a call that sends it."""
    found = set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in calls):
            continue
        for part in (inner for argument in node.args[:2] for inner in ast.walk(argument)):
            if isinstance(part, ast.FormattedValue):
                found.add(ast.unparse(part.value))
            is_percent = isinstance(part, ast.BinOp) and isinstance(part.op, ast.Mod)
            is_format = isinstance(part, ast.Call) and ast.unparse(part.func).endswith(".format")
            if is_percent or is_format:
                found.add(ast.unparse(part))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_is_run_and_nothing_unpickled(path: Path) -> None:
    assert list(findings(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if "stores" in path.parts or "jobs" in path.parts or "dags" in path.parts],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_what_is_put_into_sql_was_looked_at(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if "duckdb" in text or "stores/warehouse" in path.as_posix():
        known = LOOKED_AT.get(path.relative_to(ROOT).as_posix(), set())
        calls = WAREHOUSE_CALLS if "warehouse" in path.parts else SQL_CALLS
        assert put_into_sql(ast.parse(text), calls) - known == set()


def test_the_list_names_files_that_exist() -> None:
    assert [name for name in LOOKED_AT if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(
    "line",
    [
        "subprocess.run(line, shell=True)",
        "subprocess.Popen(line, shell=wanted)",
        "os.system(line)",
        "eval(text)",
        "pickle.loads(data)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
    ],
)
def test_what_is_forbidden_is_found(line: str) -> None:
    assert list(findings(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "db.execute(f'SELECT {x}')",
        "db.query('SELECT %s' % x)",
        "db.sql('SELECT {}'.format(x))",
        "db.execute('a' + f'{x}')",
    ],
)
def test_what_is_put_into_sql_is_found(line: str) -> None:
    assert put_into_sql(ast.parse(line))


def test_ruffs_security_rules_are_on() -> None:
    import tomllib

    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    refused = {"S101", "S311", "S603", "S607"}  # each has its reason beside it
    assert {rule for rule in lint["ignore"] if rule.startswith("S")} == refused
