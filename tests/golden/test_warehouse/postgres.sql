CREATE TABLE IF NOT EXISTS recommendations (
  row_key TEXT NOT NULL,
  shop TEXT NOT NULL,
  dt DATE NOT NULL,
  surface TEXT NOT NULL,
  user_id TEXT NOT NULL,
  rank INTEGER NOT NULL,
  item_id TEXT NOT NULL,
  score DOUBLE PRECISION NOT NULL,
  strategy TEXT NOT NULL,
  reason_code TEXT NOT NULL,
  evidence_item_id TEXT,
  model_name TEXT NOT NULL,
  model_version TEXT NOT NULL
);

COMMENT ON TABLE recommendations IS 'One recommended item for one person on one surface.';

COMMENT ON COLUMN recommendations.row_key IS 'shop|dt|surface|user_id|rank: one unique column for tools that want one.';

COMMENT ON COLUMN recommendations.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN recommendations.dt IS 'The night''s day.';

COMMENT ON COLUMN recommendations.surface IS 'Where it is shown.';

COMMENT ON COLUMN recommendations.user_id IS 'In the lake the pseudonym, in the warehouse the shop''s own id.';

COMMENT ON COLUMN recommendations.rank IS '1 is best.';

COMMENT ON COLUMN recommendations.item_id IS 'The shop''s item id.';

COMMENT ON COLUMN recommendations.score IS 'Model score; falls with rank, comparable within one person only.';

COMMENT ON COLUMN recommendations.strategy IS 'model, or popular for people without usable history.';

COMMENT ON COLUMN recommendations.reason_code IS 'because_viewed, because_carted, because_bought or popular_now.';

COMMENT ON COLUMN recommendations.evidence_item_id IS 'The item of the history that speaks most for this one.';

COMMENT ON COLUMN recommendations.model_name IS 'Registered model, or popularity.';

COMMENT ON COLUMN recommendations.model_version IS 'Version of it.';

CREATE TABLE IF NOT EXISTS items (
  shop TEXT NOT NULL,
  item_id TEXT NOT NULL,
  dt DATE NOT NULL,
  title TEXT,
  category TEXT,
  brand TEXT,
  price DOUBLE PRECISION,
  price_bucket INTEGER NOT NULL,
  first_seen TIMESTAMP NOT NULL,
  last_seen TIMESTAMP NOT NULL,
  num_events BIGINT NOT NULL,
  num_recent BIGINT NOT NULL,
  num_purchases BIGINT NOT NULL
);

COMMENT ON TABLE items IS 'One item as of a published night.';

COMMENT ON COLUMN items.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN items.item_id IS 'The shop''s item id.';

COMMENT ON COLUMN items.dt IS 'As of the end of this shop''s day: nothing later can move the row.';

COMMENT ON COLUMN items.title IS 'Latest title the log gave.';

COMMENT ON COLUMN items.category IS 'Latest category the log gave.';

COMMENT ON COLUMN items.brand IS 'Latest brand the log gave.';

COMMENT ON COLUMN items.price IS 'Latest price of one piece. (shop''s currency)';

COMMENT ON COLUMN items.price_bucket IS 'Decile of the price among priced items, 1 to 10; 0 without a price.';

COMMENT ON COLUMN items.first_seen IS 'First event with the item in the window. (UTC)';

COMMENT ON COLUMN items.last_seen IS 'Last event with the item in the window. (UTC)';

COMMENT ON COLUMN items.num_events IS 'Events of people (not bots) with the item in the window. (events)';

COMMENT ON COLUMN items.num_recent IS 'Events in the latest days of `score.popular_days`: what baselines and fallback call popular. (events)';

COMMENT ON COLUMN items.num_purchases IS 'Purchase rows in the window. (events)';

CREATE TABLE IF NOT EXISTS users (
  shop TEXT NOT NULL,
  pseudonym TEXT NOT NULL,
  shop_id TEXT NOT NULL,
  id_kind TEXT NOT NULL
);

COMMENT ON TABLE users IS 'The only place that maps pseudonyms back to the shop''s ids.';

COMMENT ON COLUMN users.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN users.pseudonym IS 'What lake, models and reports hold.';

COMMENT ON COLUMN users.shop_id IS 'The shop''s own user or device id.';

COMMENT ON COLUMN users.id_kind IS 'user or device.';

CREATE TABLE IF NOT EXISTS publish_log (
  shop TEXT NOT NULL,
  dt DATE NOT NULL,
  publish_id TEXT NOT NULL,
  published_at TIMESTAMP NOT NULL,
  run_id TEXT NOT NULL,
  content_hash TEXT NOT NULL,
  num_rows BIGINT NOT NULL,
  num_users BIGINT NOT NULL,
  fallback_share DOUBLE PRECISION NOT NULL,
  model_name TEXT NOT NULL,
  model_version TEXT NOT NULL,
  audits TEXT NOT NULL,
  num_bytes BIGINT NOT NULL,
  seconds DOUBLE PRECISION NOT NULL,
  previous_publish_id TEXT
);

COMMENT ON TABLE publish_log IS 'One publication of one night, append-only.';

COMMENT ON COLUMN publish_log.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN publish_log.dt IS 'The night''s day.';

COMMENT ON COLUMN publish_log.publish_id IS 'Unique name of the publication.';

COMMENT ON COLUMN publish_log.published_at IS 'Commit time. (UTC)';

COMMENT ON COLUMN publish_log.run_id IS 'The orchestrator''s run.';

COMMENT ON COLUMN publish_log.content_hash IS 'Hash of the published rows, independent of their order.';

COMMENT ON COLUMN publish_log.num_rows IS 'Rows published. (rows)';

COMMENT ON COLUMN publish_log.num_users IS 'People covered. (people)';

COMMENT ON COLUMN publish_log.fallback_share IS 'Share of people served by popularity. (0 to 1)';

COMMENT ON COLUMN publish_log.model_name IS 'Champion that scored.';

COMMENT ON COLUMN publish_log.model_version IS 'Its version.';

COMMENT ON COLUMN publish_log.audits IS 'JSON: each audit with what it saw.';

COMMENT ON COLUMN publish_log.num_bytes IS 'Bytes of the files that were loaded. (bytes)';

COMMENT ON COLUMN publish_log.seconds IS 'Stage, audit and commit. (s)';

COMMENT ON COLUMN publish_log.previous_publish_id IS 'What readers saw before; null for the first.';

CREATE TABLE IF NOT EXISTS publish_current (
  shop TEXT NOT NULL,
  dt DATE NOT NULL,
  publish_id TEXT NOT NULL
);

COMMENT ON TABLE publish_current IS 'Which night readers see: one row per shop, moved by publishing and by a rollback.';

COMMENT ON COLUMN publish_current.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN publish_current.dt IS 'The night that v_recommendations_current shows.';

COMMENT ON COLUMN publish_current.publish_id IS 'Its row in publish_log.';

CREATE TABLE IF NOT EXISTS promotions (
  shop TEXT NOT NULL,
  dt DATE NOT NULL,
  decision_id TEXT NOT NULL,
  decided_at TIMESTAMP NOT NULL,
  model_name TEXT NOT NULL,
  candidate_version TEXT,
  champion_version TEXT,
  decision TEXT NOT NULL,
  reason TEXT NOT NULL,
  metrics TEXT NOT NULL,
  rule TEXT NOT NULL
);

COMMENT ON TABLE promotions IS 'One decision on a candidate model, append-only.';

COMMENT ON COLUMN promotions.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN promotions.dt IS 'The night''s day.';

COMMENT ON COLUMN promotions.decision_id IS 'Unique name of the decision; a re-run of the same decision keeps it.';

COMMENT ON COLUMN promotions.decided_at IS 'When. (UTC)';

COMMENT ON COLUMN promotions.model_name IS 'Registered model.';

COMMENT ON COLUMN promotions.candidate_version IS 'Version under trial; null when none was trained.';

COMMENT ON COLUMN promotions.champion_version IS 'Champion before the decision; null when there was none.';

COMMENT ON COLUMN promotions.decision IS 'promoted, kept or none.';

COMMENT ON COLUMN promotions.reason IS 'The rule''s sentence with the numbers.';

COMMENT ON COLUMN promotions.metrics IS 'JSON: metrics of candidate, champion and baselines on the same rows.';

COMMENT ON COLUMN promotions.rule IS 'JSON: the rule as configured.';

CREATE TABLE IF NOT EXISTS data_quality (
  shop TEXT NOT NULL,
  dt DATE NOT NULL,
  table_name TEXT NOT NULL,
  expectation TEXT NOT NULL,
  severity TEXT NOT NULL,
  success BOOLEAN NOT NULL,
  observed TEXT NOT NULL
);

COMMENT ON TABLE data_quality IS 'One expectation''s verdict on one partition, append-only.';

COMMENT ON COLUMN data_quality.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN data_quality.dt IS 'The night''s day.';

COMMENT ON COLUMN data_quality.table_name IS 'Table that was checked.';

COMMENT ON COLUMN data_quality.expectation IS 'Name of the expectation.';

COMMENT ON COLUMN data_quality.severity IS 'stop or warn.';

COMMENT ON COLUMN data_quality.success IS 'Whether it held.';

COMMENT ON COLUMN data_quality.observed IS 'What was seen; never a value of a person''s column.';

CREATE TABLE IF NOT EXISTS warehouse_schema (
  fingerprint TEXT NOT NULL
);

COMMENT ON TABLE warehouse_schema IS 'One row: what the definitions of this warehouse were made from.';

COMMENT ON COLUMN warehouse_schema.fingerprint IS 'SHA-256 of the statements that made it.';

CREATE UNIQUE INDEX IF NOT EXISTS recommendations_key ON recommendations (shop, dt, user_id, surface, rank);

CREATE UNIQUE INDEX IF NOT EXISTS items_key ON items (shop, dt, item_id);

CREATE UNIQUE INDEX IF NOT EXISTS users_key ON users (shop, pseudonym);

CREATE UNIQUE INDEX IF NOT EXISTS publish_log_key ON publish_log (publish_id);

CREATE UNIQUE INDEX IF NOT EXISTS publish_current_key ON publish_current (shop);

CREATE UNIQUE INDEX IF NOT EXISTS promotions_key ON promotions (decision_id);

CREATE UNIQUE INDEX IF NOT EXISTS data_quality_key ON data_quality (shop, dt, table_name, expectation);

CREATE INDEX IF NOT EXISTS users_by_shop_id ON users (shop, shop_id);

DROP VIEW IF EXISTS v_recommendations_current;

CREATE VIEW v_recommendations_current AS
SELECT
  r.row_key,
  r.shop,
  r.dt,
  r.surface,
  r.user_id,
  r.rank,
  r.item_id,
  r.score,
  r.strategy,
  r.reason_code,
  r.evidence_item_id,
  r.model_name,
  r.model_version,
  i.title,
  i.category,
  i.brand,
  i.price,
  c.publish_id
FROM publish_current c
JOIN recommendations r ON r.shop = c.shop AND r.dt = c.dt
LEFT JOIN items i ON i.shop = r.shop AND i.dt = r.dt AND i.item_id = r.item_id;

COMMENT ON VIEW v_recommendations_current IS 'The recommendations of the night that publish_current names, with their items.';

DROP VIEW IF EXISTS v_freshness;

CREATE VIEW v_freshness AS
SELECT
  c.shop,
  c.dt,
  c.publish_id,
  l.published_at,
  EXTRACT(epoch FROM (now() AT TIME ZONE 'UTC') - l.published_at) / 3600 AS hours_old,
  l.num_rows,
  l.num_users,
  l.fallback_share,
  l.model_name,
  l.model_version
FROM publish_current c
JOIN publish_log l ON l.publish_id = c.publish_id;

COMMENT ON VIEW v_freshness IS 'Per shop how old the recommendations are that readers see.';
