CREATE TABLE IF NOT EXISTS sessions (
  session_id TEXT NOT NULL,
  visitor_id TEXT NOT NULL,
  user_id TEXT,
  dt DATE NOT NULL,
  start_ts TIMESTAMP NOT NULL,
  end_ts TIMESTAMP NOT NULL,
  num_events INTEGER NOT NULL,
  num_views INTEGER NOT NULL,
  num_searches INTEGER NOT NULL,
  num_carts INTEGER NOT NULL,
  num_purchases INTEGER NOT NULL,
  num_items INTEGER NOT NULL,
  revenue DOUBLE PRECISION NOT NULL,
  platform TEXT NOT NULL,
  campaign TEXT,
  bot_rule TEXT,
  is_bot BOOLEAN NOT NULL
);
COMMENT ON TABLE sessions IS 'One visit, named by its first event, filed under the day it starts.';
COMMENT ON COLUMN sessions.session_id IS 'The event_id of the session''s first event.';
COMMENT ON COLUMN sessions.visitor_id IS 'Pseudonym of the device, else of the login: whose stream the session is cut from.';
COMMENT ON COLUMN sessions.user_id IS 'Pseudonym of the session''s one login, also for its events before it; null without one.';
COMMENT ON COLUMN sessions.dt IS 'The shop''s day on which the session starts; its later events stay with it.';
COMMENT ON COLUMN sessions.start_ts IS 'First event. (UTC)';
COMMENT ON COLUMN sessions.end_ts IS 'Last event. (UTC)';
COMMENT ON COLUMN sessions.num_events IS 'Events in the session. (events)';
COMMENT ON COLUMN sessions.num_views IS 'Item views. (events)';
COMMENT ON COLUMN sessions.num_searches IS 'Searches. (events)';
COMMENT ON COLUMN sessions.num_carts IS 'Additions to the cart. (events)';
COMMENT ON COLUMN sessions.num_purchases IS 'Purchase rows. (events)';
COMMENT ON COLUMN sessions.num_items IS 'Distinct items touched. (items)';
COMMENT ON COLUMN sessions.revenue IS 'Sum of price x quantity over purchases. (shop''s currency)';
COMMENT ON COLUMN sessions.platform IS 'Platform of the first event.';
COMMENT ON COLUMN sessions.campaign IS 'First campaign that an event of it names: the source of the visit.';
COMMENT ON COLUMN sessions.bot_rule IS 'First bot rule of its events, else the rule its shape breaks; null for people.';
COMMENT ON COLUMN sessions.is_bot IS 'bot_rule is not null: kept for analysis, out of training.';

CREATE TABLE IF NOT EXISTS session_events (
  session_id TEXT NOT NULL,
  visitor_id TEXT NOT NULL,
  user_id TEXT,
  dt DATE NOT NULL,
  position INTEGER NOT NULL,
  is_bot BOOLEAN NOT NULL,
  event_id TEXT NOT NULL,
  event_ts TIMESTAMP NOT NULL,
  landed DATE NOT NULL,
  device_id TEXT,
  platform TEXT NOT NULL,
  kind TEXT NOT NULL,
  item_id TEXT,
  query TEXT,
  price DOUBLE PRECISION,
  quantity INTEGER,
  order_id TEXT,
  campaign TEXT,
  surface TEXT,
  bot_rule TEXT
);
COMMENT ON TABLE session_events IS 'One event in its session; what sequences are built from.';
COMMENT ON COLUMN session_events.session_id IS 'The event_id of the session''s first event.';
COMMENT ON COLUMN session_events.visitor_id IS 'Pseudonym of the device, else of the login: whose stream the session is cut from.';
COMMENT ON COLUMN session_events.user_id IS 'Pseudonym of the session''s one login, also for its events before it; null without one.';
COMMENT ON COLUMN session_events.dt IS 'The shop''s day on which the session starts; its later events stay with it.';
COMMENT ON COLUMN session_events.position IS '1 for the session''s first event. (events)';
COMMENT ON COLUMN session_events.is_bot IS 'The session is a bot''s.';
COMMENT ON COLUMN session_events.event_id IS 'Unique name of the event, from the log or derived from its content.';
COMMENT ON COLUMN session_events.event_ts IS 'When it happened. (UTC, microseconds)';
COMMENT ON COLUMN session_events.landed IS 'The raw drop that brought the event; later than dt for late events.';
COMMENT ON COLUMN session_events.device_id IS 'Pseudonym of the device or browser.';
COMMENT ON COLUMN session_events.platform IS 'One of the Platform values.';
COMMENT ON COLUMN session_events.kind IS 'One of the Kind values.';
COMMENT ON COLUMN session_events.item_id IS 'The shop''s item id.';
COMMENT ON COLUMN session_events.query IS 'Search words as typed.';
COMMENT ON COLUMN session_events.price IS 'Price of one piece. (shop''s currency)';
COMMENT ON COLUMN session_events.quantity IS 'Pieces; positive, also for returns. (pieces)';
COMMENT ON COLUMN session_events.order_id IS 'The shop''s order id.';
COMMENT ON COLUMN session_events.campaign IS 'Campaign or coupon that the event is attributed to.';
COMMENT ON COLUMN session_events.surface IS 'Where in the shop: home, search, item, cart, e-mail.';
COMMENT ON COLUMN session_events.bot_rule IS 'Name of the rule that calls the actor a bot; null for people.';

CREATE TABLE IF NOT EXISTS session_renames (
  old_session_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  visitor_id TEXT NOT NULL,
  dt DATE NOT NULL
);
COMMENT ON TABLE session_renames IS 'A session that later data gave an earlier first event, and so another name; both are kept here.';
COMMENT ON COLUMN session_renames.old_session_id IS 'The name that was published before.';
COMMENT ON COLUMN session_renames.session_id IS 'The session that holds its events now.';
COMMENT ON COLUMN session_renames.visitor_id IS 'Pseudonym of the device, else of the login: whose stream the session is cut from.';
COMMENT ON COLUMN session_renames.dt IS 'The night''s day that found out.';

CREATE TABLE IF NOT EXISTS identity_links (
  device_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  dt DATE NOT NULL
);
COMMENT ON TABLE identity_links IS 'A login seen on a device for the first time: what identity is derived from.';
COMMENT ON COLUMN identity_links.device_id IS 'Pseudonym of the device.';
COMMENT ON COLUMN identity_links.user_id IS 'Pseudonym of the login.';
COMMENT ON COLUMN identity_links.dt IS 'The day on which the first session with both starts.';

CREATE TABLE IF NOT EXISTS identity (
  member_id TEXT NOT NULL,
  id_kind TEXT NOT NULL,
  person_id TEXT NOT NULL,
  dt DATE NOT NULL,
  component_id TEXT NOT NULL,
  num_members INTEGER NOT NULL,
  apart_rule TEXT
);
COMMENT ON TABLE identity IS 'One member (a device or a login) whose person changed on a day.';
COMMENT ON COLUMN identity.member_id IS 'Pseudonym of the device or the login.';
COMMENT ON COLUMN identity.id_kind IS 'One of the IdKind values.';
COMMENT ON COLUMN identity.person_id IS 'Pseudonym of the person: the smallest login of those stitched together, else the member''s own.';
COMMENT ON COLUMN identity.dt IS 'The shop''s day as of whose end this holds.';
COMMENT ON COLUMN identity.component_id IS 'Smallest login of all that links connect; the person, unless a rule broke it up.';
COMMENT ON COLUMN identity.num_members IS 'Devices and logins of the component on that day. (members)';
COMMENT ON COLUMN identity.apart_rule IS 'One of the ApartRule values; null where links alone decided.';

CREATE TABLE IF NOT EXISTS items (
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
COMMENT ON TABLE items IS 'One item as of a day, from what the log says of it up to then.';
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

CREATE TABLE IF NOT EXISTS vocabulary (
  item_id TEXT NOT NULL,
  dt DATE NOT NULL,
  item_index INTEGER NOT NULL,
  num_events BIGINT NOT NULL
);
COMMENT ON TABLE vocabulary IS 'Item to index, from the training window only.';
COMMENT ON COLUMN vocabulary.item_id IS 'The shop''s item id.';
COMMENT ON COLUMN vocabulary.dt IS 'As of the end of this shop''s day: nothing later can move the row.';
COMMENT ON COLUMN vocabulary.item_index IS '1 for the most frequent item; 0 is padding.';
COMMENT ON COLUMN vocabulary.num_events IS 'Occurrences in sequences of the window. (events)';

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
