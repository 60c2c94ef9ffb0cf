"""What leaves the night: tables that BI and CRM tools read, and the ledgers that say why."""

from __future__ import annotations

from nightjar.contracts.table import Column, Ratio, Table

#: Where a recommended item comes from.
STRATEGIES = ("model", "category", "platform", "popular", "held_out")

#: Those that serve for want of something better.
FALLBACKS = ("category", "platform", "popular")

_SHOP = Column("shop", "string", "Name of the shop: one warehouse serves several.", nullable=False)
_DT = Column("dt", "date", "The night's day.", nullable=False)

RECOMMENDATIONS = Table(
    "recommendations",
    "One recommended item for one person on one surface.",
    (
        Column(
            "row_key",
            "string",
            "shop|dt|surface|user_id|rank: one unique column for tools that want one.",
            nullable=False,
        ),
        _SHOP,
        _DT,
        Column("surface", "string", "Where it is shown.", nullable=False),
        Column("user_id", "string", "In the lake the pseudonym, in the warehouse the shop's own id.", nullable=False),
        Column("rank", "int", "1 is best.", nullable=False),
        Column("item_id", "string", "The shop's item id.", nullable=False),
        Column("score", "double", "Model score; falls with rank, comparable within one person only.", nullable=False),
        Column(
            "strategy",
            "string",
            "model; category: popular in the categories of a history that the model cannot read;"
            " platform: popular on the platform where the person was last; popular: popular in the shop;"
            " held_out: the same, by the draw of `score.held_out_share`.",
            nullable=False,
        ),
        Column(
            "reason_code",
            "string",
            "because_viewed, because_carted, because_bought, popular_in_category, popular_on_platform, popular_now,"
            " chosen_by_shop (a pin).",
            nullable=False,
        ),
        Column("evidence_item_id", "string", "The item of the history without which this one would lose most score."),
        Column("evidence_2_item_id", "string", "The next one, where its effect is not small beside the first's."),
        Column("evidence_3_item_id", "string", "The one after that."),
        Column(
            "rule",
            "string",
            "What a business rule did to the row: pinned, or cap_given_way where nothing else was left; else null.",
        ),
        Column("model_name", "string", "Registered model, or popularity.", nullable=False),
        Column("model_version", "string", "Version of it.", nullable=False),
    ),
    key=("shop", "surface", "user_id", "rank"),
    order=("shop", "surface", "user_id", "rank"),
)

FORETOLD = Table(
    "foretold",
    "What is foretold of one person as of a night: one row per task that asks about them.",
    (
        Column("dt", "date", "As of the end of this shop's day.", nullable=False),
        Column("score_name", "string", "The task, such as churn or purchase.", nullable=False),
        Column("user_id", "string", "Pseudonym of the person.", nullable=False),
        Column(
            "probability",
            "double",
            "Calibrated, of the task's yes. Of coupon_uplift by how much a coupon raises the chance of buying, 0 where"
            " it lowers it. Of fraud no probability, for nobody has labels to calibrate it by: the share of people who"
            " are less conspicuous.",
            "0 to 1",
            nullable=False,
        ),
        Column("decile", "int", "Among the people of the calibration: 1 is least likely, 10 most.", nullable=False),
        Column(
            "flagged",
            "boolean",
            "Likely enough that acting costs less than not acting, by the task's costs of errors.",
            nullable=False,
        ),
        Column(
            "contender", "string", "What serves: rule, trees, encoder, combined, anomaly or uplift.", nullable=False
        ),
        Column("model_version", "string", "Version of the task's registered model.", nullable=False),
        Column(
            "reasons",
            "array<string>",
            "Columns of `user_features` that raised it most, strongest first; history where the encoder decides alone,"
            " rule where the rule does; of fraud its signals that at most a tenth of people have as much of.",
            nullable=False,
        ),
        Column("outcome", "string", "Of several outcomes the likeliest, such as next_category's; else null."),
    ),
    key=("score_name", "user_id"),
    order=("score_name", "user_id"),
)

USER_SCORES = Table(
    "user_scores",
    "One score of one person as of a night: where they stand among everybody, or what is foretold of them.",
    (
        Column(
            "row_key",
            "string",
            "shop|dt|score_name|user_id: one unique column for tools that want one.",
            nullable=False,
        ),
        _SHOP,
        _DT,
        Column(
            "score_name",
            "string",
            "recency, frequency or monetary, which are ranks; or what is foretold, such as churn or purchase.",
            nullable=False,
        ),
        Column("user_id", "string", "The shop's own id of the person.", nullable=False),
        Column(
            "observed",
            "double",
            "What is ranked: hours since the latest event, visits, or spend, within the history window; null for what"
            " is foretold.",
            "hours, visits or shop's currency",
        ),
        Column(
            "score",
            "double",
            "Of a rank the share of the others who did worse, equals sharing one; of what is foretold its calibrated"
            " probability; of coupon_uplift by how much a coupon raises the chance of buying; of fraud no probability,"
            " but the share of people who are less conspicuous.",
            "0 to 1",
            nullable=False,
        ),
        Column("band", "int", "The rank's fifth: 1 is worst, 5 best; null for what is foretold."),
        Column(
            "decile",
            "int",
            "Where the probability lies among the people it was calibrated on: 1 is least likely, 10 most; null for"
            " ranks.",
        ),
        Column(
            "flagged",
            "boolean",
            "Likely enough that acting costs less than not acting, by the task's costs of errors; null for ranks.",
        ),
        Column(
            "contender", "string", "What foretells: rule, trees, encoder, combined, anomaly or uplift; null for ranks."
        ),
        Column("model_version", "string", "Version of the task's registered model; null for ranks."),
        Column(
            "reasons",
            "string",
            "JSON array: columns of `user_features` that raised the score most, strongest first; null for ranks.",
        ),
        Column("outcome", "string", "Of several outcomes the likeliest, such as next_category's; else null."),
    ),
    key=("shop", "score_name", "user_id"),
    order=("shop", "score_name", "user_id"),
    version=2,
)

#: What became of a person whom a decision concerns.
ACT, CONTROL = "act", "control"

DECISIONS = Table(
    "decisions",
    "One person whom a decision of the night concerns: to be acted on, or kept aside to see what acting does.",
    (
        Column(
            "row_key",
            "string",
            "shop|dt|decision|user_id: one unique column for tools that want one.",
            nullable=False,
        ),
        _SHOP,
        _DT,
        Column(
            "decision",
            "string",
            "coupon, retention, promotion, cart_reminder or fraud_review; docs/conf.md has the settings.",
            nullable=False,
        ),
        Column("user_id", "string", "In the lake the pseudonym, in the warehouse the shop's own id.", nullable=False),
        Column(
            "arm",
            "string",
            "act; or control: do nothing, drawn by a hash, per decision the same people every night.",
            nullable=False,
        ),
        Column("rank", "int", "1 is best; both arms are ranked together.", nullable=False),
        Column("offer", "string", "What to send or do; null for the control group."),
        Column(
            "expected_value",
            "double",
            "What acting is expected to bring, or to save at most; of a coupon less its cost.",
            "shop's currency",
            nullable=False,
        ),
        Column("cost", "double", "Of the offer if it is redeemed; 0 for the control group.", "shop's currency", False),
        Column("score_name", "string", "The score of `user_scores` that decided.", nullable=False),
        Column("score", "double", "Its probability.", "0 to 1", nullable=False),
        Column("reasons", "string", "JSON array: the score's reasons, strongest first.", nullable=False),
    ),
    key=("shop", "decision", "user_id"),
    order=("shop", "decision", "rank", "user_id"),
    caveats=(
        "Expected values rest on settings: the margin, and for coupons without an uplift score an assumed effect.",
        "Only act beside control says what acting did: compare the two arms over the nights.",
        "Decisions know nothing of each other: one person may stand in several of them.",
    ),
)

USERS = Table(
    "users",
    "The only place that maps pseudonyms back to the shop's ids.",
    (
        _SHOP,
        Column("pseudonym", "string", "What lake, models and reports hold.", nullable=False),
        Column("shop_id", "string", "The shop's own user or device id.", nullable=False),
        Column("id_kind", "string", "user or device.", nullable=False),
    ),
    key=("shop", "pseudonym"),
    order=("shop", "pseudonym"),
)

PUBLISH_LOG = Table(
    "publish_log",
    "One move of what readers see, append-only: a publication of a night, or a rollback to one.",
    (
        _SHOP,
        _DT,
        Column("partition_name", "string", "The night's partition in the lake: shop/table/dt=DAY.", nullable=False),
        Column("publish_id", "string", "Unique name of this entry.", nullable=False),
        Column(
            "action",
            "string",
            "published, or rolled_back: readers were pointed at a night that was there already.",
            nullable=False,
        ),
        Column("published_at", "timestamp", "Commit time.", "UTC", nullable=False),
        Column("run_id", "string", "The orchestrator's run.", nullable=False),
        Column("content_hash", "string", "Hash of the published rows, independent of their order.", nullable=False),
        Column("inputs", "string", "JSON: each partition that was read, with the hash of its rows.", nullable=False),
        Column("num_rows", "long", "Rows published.", "rows", nullable=False),
        Column("num_users", "long", "People covered.", "people", nullable=False),
        Column("fallback_share", "double", "Share of people served by popularity.", "0 to 1", nullable=False),
        Column("model_name", "string", "Champion that scored.", nullable=False),
        Column("model_version", "string", "Its version.", nullable=False),
        Column("audits", "string", "JSON: each audit with what it saw.", nullable=False),
        Column("num_bytes", "long", "Bytes of the files that were loaded.", "bytes", nullable=False),
        Column("seconds", "double", "Stage, audit and commit.", "s", nullable=False),
        Column("previous_publish_id", "string", "The publication that readers saw before; null for the first."),
        Column("restored_publish_id", "string", "The publication that a rollback shows again; null for others."),
    ),
    key=("publish_id",),
    order=("published_at", "publish_id"),
)

PROMOTIONS = Table(
    "promotions",
    "One decision on a candidate model, append-only.",
    (
        _SHOP,
        _DT,
        Column(
            "decision_id",
            "string",
            "Unique name of the decision; a re-run of the same decision keeps it.",
            nullable=False,
        ),
        Column("decided_at", "timestamp", "When.", "UTC", nullable=False),
        Column("model_name", "string", "Registered model.", nullable=False),
        Column("candidate_version", "string", "Version under trial; null when none was trained."),
        Column("champion_version", "string", "Champion before the decision; null when there was none."),
        Column("decision", "string", "promoted, kept or none.", nullable=False),
        Column("reason", "string", "The rule's sentence with the numbers.", nullable=False),
        Column(
            "metrics", "string", "JSON: metrics of candidate, champion and baselines on the same rows.", nullable=False
        ),
        Column("rule", "string", "JSON: the rule as configured.", nullable=False),
    ),
    key=("decision_id",),
    order=("decided_at", "decision_id"),
)

DATA_QUALITY = Table(
    "data_quality",
    "One expectation's verdict on one partition, append-only.",
    (
        _SHOP,
        _DT,
        Column("table_name", "string", "Table that was checked.", nullable=False),
        Column("expectation", "string", "Name of the expectation.", nullable=False),
        Column("severity", "string", "stop or warn.", nullable=False),
        Column("success", "boolean", "Whether it held.", nullable=False),
        Column("observed", "string", "What was seen; never a value of a person's column.", nullable=False),
    ),
    key=("shop", "table_name", "expectation"),
    order=("shop", "table_name", "expectation"),
)

#: Values of `realised` that stand beside those of a dimension.
ALL_PEOPLE = "(all)"

REALISED = Table(
    "realised",
    "What people did after a night's lists could be seen, counted per group of people.",
    (
        Column("dt", "date", "The night whose lists are judged.", nullable=False),
        Column(
            "origin",
            "string",
            "published: readers could see the lists; replayed: `make backtest` made them afterwards from what was "
            "known then.",
            nullable=False,
        ),
        Column("surface", "string", "Where the lists were to be shown.", nullable=False),
        Column(
            "strategy", "string", "Strategy of the list's first item; held_out: drawn to see no model.", nullable=False
        ),
        Column("model_name", "string", "Registered model, or popularity.", nullable=False),
        Column("model_version", "string", "Version of it.", nullable=False),
        Column(
            "segment",
            "string",
            "(all), or people by the length of their history or by the platform of their latest entry; platforms add "
            "up to (all), and so do lengths.",
            nullable=False,
        ),
        Column(
            "list",
            "string",
            "shown: the night's list; popular: the control, what was popular then, ranked for the same people under "
            "the same exclusions.",
            nullable=False,
        ),
        Column("k", "int", "How much of each list counts.", "places", nullable=False),
        Column("window_days", "int", "How long people were watched.", "days", nullable=False),
        Column("num_lists", "long", "Lists of the group.", "lists", nullable=False),
        Column(
            "num_active", "long", "Of them, those whose person touched an item in the window.", "lists", nullable=False
        ),
        Column("num_hits", "long", "Active lists with a touched item among the first k.", "lists", nullable=False),
        Column(
            "ndcg_sum", "double", "Sum over active lists of NDCG at k; a touched item is relevant.", "", nullable=False
        ),
        Column("ndcg_squares", "double", "Sum of its squares, for intervals.", "", nullable=False),
        Column(
            "ndcg_gain_squares", "double", "Sum of the squares of NDCG less the control's, for intervals.", "", False
        ),
        Column("num_buyers", "long", "Lists whose person bought anything.", "lists", nullable=False),
        Column("num_purchases", "long", "Purchase rows of these people, of whatever item.", "events", nullable=False),
        Column("purchases_squares", "double", "Sum over lists of its squares, for intervals.", "", nullable=False),
        Column(
            "num_listed_purchases", "long", "Of them, those of an item among the first k.", "events", nullable=False
        ),
        Column(
            "revenue",
            "double",
            "Sum of price x quantity over purchases, before returns.",
            "shop's currency",
            nullable=False,
        ),
        Column("revenue_squares", "double", "Sum over lists of its squares, for intervals.", "", nullable=False),
        Column(
            "listed_revenue", "double", "Of it, that of items among the first k.", "shop's currency", nullable=False
        ),
        Column(
            "num_unpriced",
            "long",
            "Purchase rows without a price: no revenue is counted for them.",
            "events",
            nullable=False,
        ),
    ),
    key=("origin", "surface", "strategy", "model_name", "model_version", "segment", "list", "k"),
    order=("origin", "surface", "strategy", "model_name", "model_version", "segment", "list", "k"),
    caveats=(
        "A list that stands beside a purchase need not have caused it: only held_out beside model says what lists do.",
        "The same people come back: intervals over several nights are too narrow.",
        "People are called as on the night: a login that came later is a device's until then.",
        "People who were not known on the night had no list and are in no count.",
    ),
    ratios=(
        Ratio("hit_rate", "num_hits", ("num_active",), "Share of active lists that held what was touched.", "0 to 1"),
        Ratio("ndcg", "ndcg_sum", ("num_active",), "Mean NDCG of active lists.", "0 to 1"),
        Ratio("buyer_share", "num_buyers", ("num_lists",), "Share of lists whose person bought.", "0 to 1"),
        Ratio(
            "listed_purchase_share",
            "num_listed_purchases",
            ("num_purchases",),
            "Share of purchases that the lists held.",
            "0 to 1",
        ),
        Ratio(
            "listed_revenue_share", "listed_revenue", ("revenue",), "Share of revenue that the lists held.", "0 to 1"
        ),
        Ratio("revenue_per_list", "revenue", ("num_lists",), "Revenue of a person with a list.", "shop's currency"),
    ),
)
