"""What BI and CRM tools read: views over the published tables, each column explained."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nightjar.contracts import DECISIONS, ITEMS, PUBLISH_LOG, RECOMMENDATIONS, USER_SCORES, Column
from nightjar.contracts.render import view_ddl

_ROW_SEPARATOR = "|| '|' ||"


@dataclass(frozen=True)
class View:
    """A view's columns in order, each with its SQL, and what stands behind FROM."""

    name: str
    doc: str
    columns: tuple[tuple[Column, str], ...]
    source: str

    def statements(self, dialect: str) -> list[str]:
        selected = ",\n  ".join(
            sql if sql.endswith(f".{column.name}") else f"{sql} AS {column.name}" for column, sql in self.columns
        )
        select = f"SELECT\n  {selected}\nFROM {self.source}"
        if dialect == "bigquery":
            select = select.replace("AS VARCHAR)", "AS STRING)")
        return view_ddl(self.name, self.doc, [column for column, _ in self.columns], select, dialect)


def _of(table_columns: tuple[Column, ...], alias: str, *names: str) -> tuple[tuple[Column, str], ...]:
    """Columns of a contract as they are."""
    known = {column.name: column for column in table_columns}
    return tuple((known[name], f"{alias}.{name}") for name in (names or known))


#: What of an item leaves the lake: no list fits a column that every BI tool reads.
ITEM_FACTS = replace(ITEMS, columns=tuple(column for column in ITEMS.columns if not column.type.startswith("array")))

_SHOP = RECOMMENDATIONS.column("shop")
_DT = RECOMMENDATIONS.column("dt")
_USER = Column("user_id", "string", "The shop's own id of the person.")
_ATTRIBUTES = ("title", "category", "brand", "price")
_PUBLISH_ID = Column("publish_id", "string", "The publication, a row of publish_log.")
_MOVED_AT = Column("moved_at", "timestamp", "Since when readers see this night.", "UTC")
_ITEM_KEY = Column("item_key", "string", "shop|dt|item_id: joins v_fact_recommendations with v_dim_items.")
_NIGHT_KEY = Column("night_key", "string", "shop|dt: joins v_fact_recommendations with v_dim_nights.")
_USER_KEY = Column("user_key", "string", "shop|user_id: joins facts and scores with v_dim_users.")
_CONTENT = Column("content_hash", "long", "Hash of what the payload says: items, their attributes, order and reasons.")
_CHANGED_AT = Column("changed_at", "timestamp", "Since when readers see this content; moves only when it does.", "UTC")
_USER_ROW_KEY = Column("row_key", "string", "shop|user_id: one unique column for tools that want one.")


def _key(*parts: str) -> str:
    return f" {_ROW_SEPARATOR} ".join(parts)


_ITEM_OF_ROW = "LEFT JOIN items i ON i.shop = r.shop AND i.dt = r.dt AND i.item_id = r.item_id"

CURRENT = View(
    "v_recommendations_current",
    "The recommendations of the night that publish_current names, with their items.",
    (
        *_of(RECOMMENDATIONS.columns, "r"),
        *_of(ITEM_FACTS.columns, "i", *_ATTRIBUTES),
        (_PUBLISH_ID, "c.publish_id"),
    ),
    f"publish_current c\nJOIN recommendations r ON r.shop = c.shop AND r.dt = c.dt\n{_ITEM_OF_ROW}",
)

SCORES = View(
    "v_user_scores_current",
    "Where people stand and what is foretold of them, in the night that publish_current names.",
    (*_of(USER_SCORES.columns, "s"), (_USER_KEY, _key("s.shop", "s.user_id")), (_PUBLISH_ID, "c.publish_id")),
    "publish_current c\nJOIN user_scores s ON s.shop = c.shop AND s.dt = c.dt",
)

DECIDED = View(
    "v_decisions_current",
    "Whom to act on, and whom to leave alone to compare with, in the night that publish_current names.",
    (*_of(DECISIONS.columns, "d"), (_USER_KEY, _key("d.shop", "d.user_id")), (_PUBLISH_ID, "c.publish_id")),
    "publish_current c\nJOIN decisions d ON d.shop = c.shop AND d.dt = c.dt",
)

_HOURS_OLD = {
    "duckdb": "EXTRACT(epoch FROM (now() AT TIME ZONE 'UTC') - l.published_at) / 3600",
    "postgres": "EXTRACT(epoch FROM (now() AT TIME ZONE 'UTC') - l.published_at) / 3600",
    "snowflake": "DATEDIFF('second', l.published_at, SYSDATE()) / 3600",
    "bigquery": "DATETIME_DIFF(CURRENT_DATETIME('UTC'), l.published_at, SECOND) / 3600",
}


def _freshness(dialect: str) -> View:
    hours = Column("hours_old", "double", "Since the publication, whatever was shown in between.", "h")
    return View(
        "v_freshness",
        "Per shop how old the recommendations are that readers see.",
        (
            (_SHOP, "c.shop"),
            (_DT, "c.dt"),
            (_PUBLISH_ID, "c.publish_id"),
            *_of(PUBLISH_LOG.columns, "l", "published_at"),
            (_MOVED_AT, "c.moved_at"),
            (hours, _HOURS_OLD[dialect]),
            *_of(PUBLISH_LOG.columns, "l", "num_rows", "num_users", "fallback_share", "model_name", "model_version"),
        ),
        "publish_current c\nJOIN publish_log l ON l.publish_id = c.publish_id",
    )


FACT = View(
    "v_fact_recommendations",
    "Star schema, the facts: every recommended item of every night that the warehouse holds.",
    (
        *_of(RECOMMENDATIONS.columns, "r"),
        (_ITEM_KEY, _key("r.shop", "CAST(r.dt AS VARCHAR)", "r.item_id")),
        (_USER_KEY, _key("r.shop", "r.user_id")),
        (_NIGHT_KEY, _key("r.shop", "CAST(r.dt AS VARCHAR)")),
    ),
    "recommendations r\nJOIN published_nights n ON n.shop = r.shop AND n.dt = r.dt",
)

DIM_ITEMS = View(
    "v_dim_items",
    "Star schema: items with their attributes, as of each night that the warehouse holds.",
    (
        (_ITEM_KEY, _key("i.shop", "CAST(i.dt AS VARCHAR)", "i.item_id")),
        (_SHOP, "i.shop"),
        *_of(ITEM_FACTS.columns, "i"),
    ),
    "items i",
)

DIM_USERS = View(
    "v_dim_users",
    "Star schema: people by the shop's own id; a login and a device are two.",
    (
        (_USER_KEY, _key("u.shop", "u.shop_id")),
        (_SHOP, "u.shop"),
        (_USER, "u.shop_id"),
        (Column("id_kind", "string", "user or device."), "u.id_kind"),
    ),
    "users u",
)

DIM_NIGHTS = View(
    "v_dim_nights",
    "Star schema: the nights that the warehouse holds, with what was published and by which model.",
    (
        (_NIGHT_KEY, _key("n.shop", "CAST(n.dt AS VARCHAR)")),
        (_SHOP, "n.shop"),
        (_DT, "n.dt"),
        (_PUBLISH_ID, "n.publish_id"),
        (
            Column("is_current", "boolean", "Whether readers of the views named current see this night."),
            "coalesce(c.publish_id = n.publish_id, false)",
        ),
        *_of(
            PUBLISH_LOG.columns,
            "l",
            *("published_at", "run_id", "num_rows", "num_users", "fallback_share", "model_name", "model_version"),
        ),
    ),
    "published_nights n\nJOIN publish_log l ON l.publish_id = n.publish_id\n"
    "LEFT JOIN publish_current c ON c.shop = n.shop",
)

#: What a person's content is and since when, as readers see it. Going back to another night changes nobody's row
#: there: who differs between the two nights is found here, when somebody asks.
CRM_SEEN = View(
    "v_crm_seen",
    "Per person of the current night the content's hash and since when readers see it.",
    (
        (_SHOP, "t.shop"),
        (_DT, "t.dt"),
        (_USER, "t.user_id"),
        (_CONTENT, "t.content_hash"),
        (
            _CHANGED_AT,
            "CASE WHEN c.rolled_from IS NULL THEN t.changed_at"
            " WHEN f.user_id IS NULL OR f.content_hash <> t.content_hash THEN c.moved_at"
            " WHEN f.changed_at > t.changed_at THEN f.changed_at ELSE t.changed_at END",
        ),
        (_MOVED_AT, "c.moved_at"),
    ),
    "publish_current c\nJOIN crm_states t ON t.shop = c.shop AND t.dt = c.dt\n"
    "LEFT JOIN crm_states f ON f.shop = c.shop AND f.dt = c.rolled_from AND f.user_id = t.user_id",
)

_LISTED = "FROM recommendations r " + _ITEM_OF_ROW
_OF_PERSON = "WHERE r.shop = s.shop AND r.dt = s.dt AND r.user_id = s.user_id"
_FIELDS = ("surface", "rank", "item_id", *_ATTRIBUTES, "reason_code")
_FIELD_SQL = [f"{'i' if name in _ATTRIBUTES else 'r'}.{name}" for name in _FIELDS]
_NAMED = ", ".join(f"'{name}', {sql}" for name, sql in zip(_FIELDS, _FIELD_SQL, strict=True))
_STRUCT = ", ".join(f"{name} := {sql}" for name, sql in zip(_FIELDS, _FIELD_SQL, strict=True))
_AS = ", ".join(f"{sql} AS {name}" for name, sql in zip(_FIELDS, _FIELD_SQL, strict=True))
_BEST_FIRST = "ORDER BY r.surface, r.rank"

#: A JSON object with a person's recommendations, best first. The text differs, the value does not.
_PAYLOADS = {
    "duckdb": f"CAST(to_json(struct_pack(recommendations := list(struct_pack({_STRUCT}) {_BEST_FIRST}))) AS VARCHAR)",
    "postgres": "CAST(json_build_object('recommendations',"
    f" json_agg(json_build_object({_NAMED}) {_BEST_FIRST})) AS VARCHAR)",
    "snowflake": "TO_JSON(OBJECT_CONSTRUCT('recommendations',"
    f" ARRAY_AGG(OBJECT_CONSTRUCT_KEEP_NULL({_NAMED})) WITHIN GROUP ({_BEST_FIRST})))",
    "bigquery": f"TO_JSON_STRING(STRUCT(ARRAY_AGG(STRUCT({_AS}) {_BEST_FIRST}) AS recommendations))",
}


def crm_views(dialect: str) -> list[View]:
    """One row per person, for tools that sync by row."""
    # Of a few people, a subquery per person reads their rows alone. The services allow none that aggregates in order.
    payload, source = f"(SELECT {_PAYLOADS[dialect]} {_LISTED} {_OF_PERSON})", "v_crm_seen s"
    if dialect in ("snowflake", "bigquery"):
        grouped = "r.shop, r.dt, r.user_id"
        lists = f"SELECT {grouped}, {_PAYLOADS[dialect]} AS payload {_LISTED} GROUP BY {grouped}"
        same = "p.shop = s.shop AND p.dt = s.dt AND p.user_id = s.user_id"
        payload, source = "p.payload", f"v_crm_seen s\nJOIN ({lists}) p ON {same}"
    users = View(
        "crm_users",
        "One row per person of the current night, wide: everything that a CRM tool shows, as JSON.",
        (
            (_USER_ROW_KEY, _key("s.shop", "s.user_id")),
            (_SHOP, "s.shop"),
            (_DT, "s.dt"),
            (_USER, "s.user_id"),
            (
                Column(
                    "payload", "string", "JSON: the recommendations of every surface, best first, with their items."
                ),
                payload,
            ),
            (_CONTENT, "s.content_hash"),
            (_CHANGED_AT, "s.changed_at"),
        ),
        source,
    )
    changed = View(
        "crm_changed",
        "The rows of crm_users whose content changed when readers were last given another night.",
        tuple((column, f"u.{column.name}") for column, _ in users.columns),
        "crm_users u\nJOIN publish_current c ON c.shop = u.shop AND c.moved_at = u.changed_at",
    )
    deletions = View(
        "crm_deletions",
        "People who had a row in crm_users once and have none now.",
        (
            (_USER_ROW_KEY, _key("d.shop", "d.user_id")),
            (_SHOP, "d.shop"),
            (_USER, "d.user_id"),
            (Column("deleted_at", "timestamp", "Since when readers see no row.", "UTC"), "d.deleted_at"),
        ),
        """(
  SELECT shop, user_id, max(deleted_at) AS deleted_at FROM (
    SELECT g.shop, g.user_id, g.deleted_at FROM crm_gone g
    UNION ALL
    SELECT c.shop, f.user_id, c.moved_at AS deleted_at
    FROM publish_current c JOIN crm_states f ON f.shop = c.shop AND f.dt = c.rolled_from
  ) e
  GROUP BY shop, user_id
) d
LEFT JOIN v_crm_seen s ON s.shop = d.shop AND s.user_id = d.user_id
WHERE s.user_id IS NULL""",
    )
    return [CRM_SEEN, users, changed, deletions]


def views(dialect: str) -> list[View]:
    """In an order in which each may name those before it."""
    return [CURRENT, SCORES, DECIDED, _freshness(dialect), FACT, DIM_ITEMS, DIM_USERS, DIM_NIGHTS, *crm_views(dialect)]
