CREATE TABLE IF NOT EXISTS recommendations (
  row_key VARCHAR GENERATED ALWAYS AS (shop || '|' || CAST(dt AS VARCHAR) || '|' || surface || '|' || user_id || '|' || CAST(rank AS VARCHAR)) VIRTUAL,
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  surface VARCHAR NOT NULL,
  user_id VARCHAR NOT NULL,
  rank INTEGER NOT NULL,
  item_id VARCHAR NOT NULL,
  score DOUBLE NOT NULL,
  strategy VARCHAR NOT NULL,
  reason_code VARCHAR NOT NULL,
  evidence_item_id VARCHAR,
  evidence_2_item_id VARCHAR,
  evidence_3_item_id VARCHAR,
  rule VARCHAR,
  model_name VARCHAR NOT NULL,
  model_version VARCHAR NOT NULL
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

COMMENT ON COLUMN recommendations.strategy IS 'model; category: popular in the categories of a history that the model cannot read; platform: popular on the platform where the person was last; popular: popular in the shop; held_out: the same, by the draw of `score.held_out_share`.';

COMMENT ON COLUMN recommendations.reason_code IS 'because_viewed, because_carted, because_bought, popular_in_category, popular_on_platform, popular_now, chosen_by_shop (a pin).';

COMMENT ON COLUMN recommendations.evidence_item_id IS 'The item of the history without which this one would lose most score.';

COMMENT ON COLUMN recommendations.evidence_2_item_id IS 'The next one, where its effect is not small beside the first''s.';

COMMENT ON COLUMN recommendations.evidence_3_item_id IS 'The one after that.';

COMMENT ON COLUMN recommendations.rule IS 'What a business rule did to the row: pinned, or cap_given_way where nothing else was left; else null.';

COMMENT ON COLUMN recommendations.model_name IS 'Registered model, or popularity.';

COMMENT ON COLUMN recommendations.model_version IS 'Version of it.';

CREATE TABLE IF NOT EXISTS user_scores (
  row_key VARCHAR GENERATED ALWAYS AS (shop || '|' || CAST(dt AS VARCHAR) || '|' || score_name || '|' || user_id) VIRTUAL,
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  score_name VARCHAR NOT NULL,
  user_id VARCHAR NOT NULL,
  observed DOUBLE,
  score DOUBLE NOT NULL,
  band INTEGER,
  decile INTEGER,
  flagged BOOLEAN,
  contender VARCHAR,
  model_version VARCHAR,
  reasons VARCHAR,
  outcome VARCHAR
);

COMMENT ON TABLE user_scores IS 'One score of one person as of a night: where they stand among everybody, or what is foretold of them.';

COMMENT ON COLUMN user_scores.row_key IS 'shop|dt|score_name|user_id: one unique column for tools that want one.';

COMMENT ON COLUMN user_scores.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN user_scores.dt IS 'The night''s day.';

COMMENT ON COLUMN user_scores.score_name IS 'recency, frequency or monetary, which are ranks; or what is foretold, such as churn or purchase.';

COMMENT ON COLUMN user_scores.user_id IS 'The shop''s own id of the person.';

COMMENT ON COLUMN user_scores.observed IS 'What is ranked: hours since the latest event, visits, or spend, within the history window; null for what is foretold. (hours, visits or shop''s currency)';

COMMENT ON COLUMN user_scores.score IS 'Of a rank the share of the others who did worse, equals sharing one; of what is foretold its calibrated probability; of coupon_uplift by how much a coupon raises the chance of buying; of fraud no probability, but the share of people who are less conspicuous. (0 to 1)';

COMMENT ON COLUMN user_scores.band IS 'The rank''s fifth: 1 is worst, 5 best; null for what is foretold.';

COMMENT ON COLUMN user_scores.decile IS 'Where the probability lies among the people it was calibrated on: 1 is least likely, 10 most; null for ranks.';

COMMENT ON COLUMN user_scores.flagged IS 'Likely enough that acting costs less than not acting, by the task''s costs of errors; null for ranks.';

COMMENT ON COLUMN user_scores.contender IS 'What foretells: rule, trees, encoder, combined, anomaly or uplift; null for ranks.';

COMMENT ON COLUMN user_scores.model_version IS 'Version of the task''s registered model; null for ranks.';

COMMENT ON COLUMN user_scores.reasons IS 'JSON array: columns of `user_features` that raised the score most, strongest first; null for ranks.';

COMMENT ON COLUMN user_scores.outcome IS 'Of several outcomes the likeliest, such as next_category''s; else null.';

CREATE TABLE IF NOT EXISTS decisions (
  row_key VARCHAR GENERATED ALWAYS AS (shop || '|' || CAST(dt AS VARCHAR) || '|' || decision || '|' || user_id) VIRTUAL,
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  decision VARCHAR NOT NULL,
  user_id VARCHAR NOT NULL,
  arm VARCHAR NOT NULL,
  rank INTEGER NOT NULL,
  offer VARCHAR,
  expected_value DOUBLE NOT NULL,
  cost DOUBLE NOT NULL,
  score_name VARCHAR NOT NULL,
  score DOUBLE NOT NULL,
  reasons VARCHAR NOT NULL
);

COMMENT ON TABLE decisions IS 'One person whom a decision of the night concerns: to be acted on, or kept aside to see what acting does.';

COMMENT ON COLUMN decisions.row_key IS 'shop|dt|decision|user_id: one unique column for tools that want one.';

COMMENT ON COLUMN decisions.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN decisions.dt IS 'The night''s day.';

COMMENT ON COLUMN decisions.decision IS 'coupon, retention, promotion, cart_reminder or fraud_review; docs/conf.md has the settings.';

COMMENT ON COLUMN decisions.user_id IS 'In the lake the pseudonym, in the warehouse the shop''s own id.';

COMMENT ON COLUMN decisions.arm IS 'act; or control: do nothing, drawn by a hash, per decision the same people every night.';

COMMENT ON COLUMN decisions.rank IS '1 is best; both arms are ranked together.';

COMMENT ON COLUMN decisions.offer IS 'What to send or do; null for the control group.';

COMMENT ON COLUMN decisions.expected_value IS 'What acting is expected to bring, or to save at most; of a coupon less its cost. (shop''s currency)';

COMMENT ON COLUMN decisions.cost IS 'Of the offer if it is redeemed; 0 for the control group. (shop''s currency)';

COMMENT ON COLUMN decisions.score_name IS 'The score of `user_scores` that decided.';

COMMENT ON COLUMN decisions.score IS 'Its probability. (0 to 1)';

COMMENT ON COLUMN decisions.reasons IS 'JSON array: the score''s reasons, strongest first.';

CREATE TABLE IF NOT EXISTS items (
  shop VARCHAR NOT NULL,
  item_id VARCHAR NOT NULL,
  dt DATE NOT NULL,
  title VARCHAR,
  category VARCHAR,
  brand VARCHAR,
  price DOUBLE,
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

CREATE TABLE IF NOT EXISTS daily_kpis (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  platform VARCHAR NOT NULL,
  known_days INTEGER NOT NULL,
  num_visitors BIGINT NOT NULL,
  num_new_visitors BIGINT NOT NULL,
  num_returning_visitors BIGINT NOT NULL,
  num_persons BIGINT NOT NULL,
  num_logged_in_persons BIGINT NOT NULL,
  num_sessions BIGINT NOT NULL,
  num_bounces BIGINT NOT NULL,
  num_sessions_with_cart BIGINT NOT NULL,
  num_sessions_with_purchase BIGINT NOT NULL,
  num_events BIGINT NOT NULL,
  num_views BIGINT NOT NULL,
  num_searches BIGINT NOT NULL,
  num_carts BIGINT NOT NULL,
  num_purchases BIGINT NOT NULL,
  num_returns BIGINT NOT NULL,
  num_reviews BIGINT NOT NULL,
  num_coupons BIGINT NOT NULL,
  num_clicks BIGINT NOT NULL,
  num_impressions BIGINT NOT NULL,
  num_uncarts BIGINT NOT NULL,
  num_favourites BIGINT NOT NULL,
  num_cancels BIGINT NOT NULL,
  num_orders BIGINT NOT NULL,
  num_pieces BIGINT NOT NULL,
  revenue DOUBLE NOT NULL,
  num_unpriced_purchases BIGINT NOT NULL,
  num_returned_pieces BIGINT NOT NULL,
  returned_value DOUBLE NOT NULL,
  num_cancelled_pieces BIGINT NOT NULL,
  cancelled_value DOUBLE NOT NULL,
  num_bot_sessions BIGINT NOT NULL,
  num_bot_events BIGINT NOT NULL
);

COMMENT ON TABLE daily_kpis IS 'What a shop asks first about a day.';

COMMENT ON COLUMN daily_kpis.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN daily_kpis.dt IS 'The shop''s day on which the sessions start.';

COMMENT ON COLUMN daily_kpis.platform IS 'Platform of the session''s first event; (all) for every one.';

COMMENT ON COLUMN daily_kpis.known_days IS 'Days before this one that the log covers, at most `marts.lookback_days`: with fewer, less is known of before. (days)';

COMMENT ON COLUMN daily_kpis.num_visitors IS 'Distinct visitors. (visitors)';

COMMENT ON COLUMN daily_kpis.num_new_visitors IS 'Of them, those without a session in the `marts.lookback_days` before, on whatever platform. (visitors)';

COMMENT ON COLUMN daily_kpis.num_returning_visitors IS 'Of them, the others. (visitors)';

COMMENT ON COLUMN daily_kpis.num_persons IS 'Distinct people on all their devices, as known at the end of the day. (people)';

COMMENT ON COLUMN daily_kpis.num_logged_in_persons IS 'Of them, those with a login on this platform that day. (people)';

COMMENT ON COLUMN daily_kpis.num_sessions IS 'Sessions. (sessions)';

COMMENT ON COLUMN daily_kpis.num_bounces IS 'Sessions with at most one event, impressions aside. (sessions)';

COMMENT ON COLUMN daily_kpis.num_sessions_with_cart IS 'Sessions with an addition to the cart. (sessions)';

COMMENT ON COLUMN daily_kpis.num_sessions_with_purchase IS 'Sessions with a purchase. (sessions)';

COMMENT ON COLUMN daily_kpis.num_events IS 'Events of any kind. (events)';

COMMENT ON COLUMN daily_kpis.num_views IS 'Item views. (events)';

COMMENT ON COLUMN daily_kpis.num_searches IS 'Searches. (events)';

COMMENT ON COLUMN daily_kpis.num_carts IS 'Additions to the cart. (events)';

COMMENT ON COLUMN daily_kpis.num_purchases IS 'Purchase rows. (events)';

COMMENT ON COLUMN daily_kpis.num_returns IS 'Return rows. (events)';

COMMENT ON COLUMN daily_kpis.num_reviews IS 'Reviews. (events)';

COMMENT ON COLUMN daily_kpis.num_coupons IS 'Coupon events. (events)';

COMMENT ON COLUMN daily_kpis.num_clicks IS 'Clicks on what was shown. (events)';

COMMENT ON COLUMN daily_kpis.num_impressions IS 'Times that something was shown. (events)';

COMMENT ON COLUMN daily_kpis.num_uncarts IS 'Removals from the cart. (events)';

COMMENT ON COLUMN daily_kpis.num_favourites IS 'Additions to a wish list. (events)';

COMMENT ON COLUMN daily_kpis.num_cancels IS 'Orders or parts of them withdrawn. (events)';

COMMENT ON COLUMN daily_kpis.num_orders IS 'Distinct orders; a session''s purchases without an order id are one. (orders)';

COMMENT ON COLUMN daily_kpis.num_pieces IS 'Pieces bought; an unknown quantity is one. (pieces)';

COMMENT ON COLUMN daily_kpis.revenue IS 'Sum of price x quantity over purchases, before cancellations and returns. (shop''s currency)';

COMMENT ON COLUMN daily_kpis.num_unpriced_purchases IS 'Purchase rows without a price: no revenue is counted for them. (events)';

COMMENT ON COLUMN daily_kpis.num_returned_pieces IS 'Pieces returned that day, whenever they were bought. (pieces)';

COMMENT ON COLUMN daily_kpis.returned_value IS 'Sum of price x quantity over returns; without a price nothing. (shop''s currency)';

COMMENT ON COLUMN daily_kpis.num_cancelled_pieces IS 'Pieces withdrawn that day, whenever they were ordered. (pieces)';

COMMENT ON COLUMN daily_kpis.cancelled_value IS 'Sum of price x quantity over cancellations; without a price nothing. (shop''s currency)';

COMMENT ON COLUMN daily_kpis.num_bot_sessions IS 'Sessions of bots, in no other count. (sessions)';

COMMENT ON COLUMN daily_kpis.num_bot_events IS 'Events of bots, in no other count. (events)';

CREATE TABLE IF NOT EXISTS funnels (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  platform VARCHAR NOT NULL,
  category VARCHAR NOT NULL,
  campaign VARCHAR NOT NULL,
  num_sessions BIGINT NOT NULL,
  num_viewed BIGINT NOT NULL,
  num_carted BIGINT NOT NULL,
  num_bought BIGINT NOT NULL,
  num_viewed_carted BIGINT NOT NULL,
  num_viewed_carted_bought BIGINT NOT NULL,
  num_lost_after_view BIGINT NOT NULL,
  num_lost_after_cart BIGINT NOT NULL
);

COMMENT ON TABLE funnels IS 'How far sessions get from view over cart to purchase.';

COMMENT ON COLUMN funnels.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN funnels.dt IS 'The shop''s day on which the sessions start.';

COMMENT ON COLUMN funnels.platform IS 'Platform of the session''s first event; (all) for every one.';

COMMENT ON COLUMN funnels.category IS 'Category of the item as of the day, the `marts.top_categories` with most events; (other), (none) where the item has none, (all) for every event, those without an item included.';

COMMENT ON COLUMN funnels.campaign IS 'Source of the visit, the day''s `marts.top_campaigns` with most sessions; (other), (none), (all).';

COMMENT ON COLUMN funnels.num_sessions IS 'Sessions with an event on an item of the category; with any for (all). (sessions)';

COMMENT ON COLUMN funnels.num_viewed IS 'Sessions with a view. (sessions)';

COMMENT ON COLUMN funnels.num_carted IS 'Sessions with an addition to the cart, viewed before or not. (sessions)';

COMMENT ON COLUMN funnels.num_bought IS 'Sessions with a purchase, whatever came before. (sessions)';

COMMENT ON COLUMN funnels.num_viewed_carted IS 'Sessions with a view and later an addition to the cart. (sessions)';

COMMENT ON COLUMN funnels.num_viewed_carted_bought IS 'Sessions with a view, later an addition to the cart and later a purchase. (sessions)';

COMMENT ON COLUMN funnels.num_lost_after_view IS 'num_viewed less num_viewed_carted. (sessions)';

COMMENT ON COLUMN funnels.num_lost_after_cart IS 'num_viewed_carted less num_viewed_carted_bought. (sessions)';

CREATE TABLE IF NOT EXISTS decision_transitions (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  platform VARCHAR NOT NULL,
  from_kind VARCHAR NOT NULL,
  to_kind VARCHAR NOT NULL,
  num_transitions BIGINT NOT NULL,
  num_from BIGINT NOT NULL
);

COMMENT ON TABLE decision_transitions IS 'What people do next within a session.';

COMMENT ON COLUMN decision_transitions.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN decision_transitions.dt IS 'The shop''s day on which the sessions start.';

COMMENT ON COLUMN decision_transitions.platform IS 'Platform of the session''s first event; (all) for every one.';

COMMENT ON COLUMN decision_transitions.from_kind IS 'Kind of an event, among `marts.path_kinds`; or (start).';

COMMENT ON COLUMN decision_transitions.to_kind IS 'Kind of the next one; or (end).';

COMMENT ON COLUMN decision_transitions.num_transitions IS 'Times that the one followed the other. (transitions)';

COMMENT ON COLUMN decision_transitions.num_from IS 'Times that anything followed from_kind. (transitions)';

CREATE TABLE IF NOT EXISTS decision_paths (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  platform VARCHAR NOT NULL,
  path VARCHAR NOT NULL,
  num_paths BIGINT NOT NULL,
  num_sessions BIGINT NOT NULL,
  num_bought BIGINT NOT NULL,
  num_all_sessions BIGINT NOT NULL
);

COMMENT ON TABLE decision_paths IS 'The most common ways through a session.';

COMMENT ON COLUMN decision_paths.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN decision_paths.dt IS 'The shop''s day on which the sessions start.';

COMMENT ON COLUMN decision_paths.platform IS 'Platform of the session''s first event; (all) for every one.';

COMMENT ON COLUMN decision_paths.path IS 'Kinds in order, such as view>view>cart>purchase; (none) without an event of `marts.path_kinds`, (other) for all but the `marts.top_paths` of the platform.';

COMMENT ON COLUMN decision_paths.num_paths IS 'Different paths in the row: 1, more for (other). (paths)';

COMMENT ON COLUMN decision_paths.num_sessions IS 'Sessions that went this way. (sessions)';

COMMENT ON COLUMN decision_paths.num_bought IS 'Of them, those with a purchase, also beyond the path''s end. (sessions)';

COMMENT ON COLUMN decision_paths.num_all_sessions IS 'Sessions of the platform that day. (sessions)';

CREATE TABLE IF NOT EXISTS decision_times (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  platform VARCHAR NOT NULL,
  known_days INTEGER NOT NULL,
  num_bought_items BIGINT NOT NULL,
  num_viewed_items BIGINT NOT NULL,
  minutes_from_view_p25 DOUBLE,
  minutes_from_view_median DOUBLE,
  minutes_from_view_p75 DOUBLE,
  minutes_from_view_p90 DOUBLE,
  num_sessions BIGINT NOT NULL,
  minutes_from_start_p25 DOUBLE,
  minutes_from_start_median DOUBLE,
  minutes_from_start_p75 DOUBLE,
  minutes_from_start_p90 DOUBLE,
  num_first_sessions BIGINT NOT NULL,
  sessions_before_p25 DOUBLE,
  sessions_before_median DOUBLE,
  sessions_before_p75 DOUBLE,
  sessions_before_p90 DOUBLE
);

COMMENT ON TABLE decision_times IS 'How long people take to buy.';

COMMENT ON COLUMN decision_times.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN decision_times.dt IS 'The shop''s day on which the sessions start.';

COMMENT ON COLUMN decision_times.platform IS 'Platform of the session''s first event; (all) for every one.';

COMMENT ON COLUMN decision_times.known_days IS 'Days before this one that the log covers, at most `marts.lookback_days`: with fewer, less is known of before. (days)';

COMMENT ON COLUMN decision_times.num_bought_items IS 'Different items bought, session by session. (items)';

COMMENT ON COLUMN decision_times.num_viewed_items IS 'Of them, those that the person had viewed within `marts.lookback_days` before, in whatever session. (items)';

COMMENT ON COLUMN decision_times.minutes_from_view_p25 IS 'Lower quartile of the time from an item''s first such view to its purchase. (minutes)';

COMMENT ON COLUMN decision_times.minutes_from_view_median IS 'Median of the time from an item''s first such view to its purchase. (minutes)';

COMMENT ON COLUMN decision_times.minutes_from_view_p75 IS 'Upper quartile of the time from an item''s first such view to its purchase. (minutes)';

COMMENT ON COLUMN decision_times.minutes_from_view_p90 IS '90th percentile of the time from an item''s first such view to its purchase. (minutes)';

COMMENT ON COLUMN decision_times.num_sessions IS 'Sessions with a purchase. (sessions)';

COMMENT ON COLUMN decision_times.minutes_from_start_p25 IS 'Lower quartile of the time from a session''s start to its first purchase. (minutes)';

COMMENT ON COLUMN decision_times.minutes_from_start_median IS 'Median of the time from a session''s start to its first purchase. (minutes)';

COMMENT ON COLUMN decision_times.minutes_from_start_p75 IS 'Upper quartile of the time from a session''s start to its first purchase. (minutes)';

COMMENT ON COLUMN decision_times.minutes_from_start_p90 IS '90th percentile of the time from a session''s start to its first purchase. (minutes)';

COMMENT ON COLUMN decision_times.num_first_sessions IS 'Of them, those without an earlier session of the person. (sessions)';

COMMENT ON COLUMN decision_times.sessions_before_p25 IS 'Lower quartile of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)';

COMMENT ON COLUMN decision_times.sessions_before_median IS 'Median of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)';

COMMENT ON COLUMN decision_times.sessions_before_p75 IS 'Upper quartile of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)';

COMMENT ON COLUMN decision_times.sessions_before_p90 IS '90th percentile of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)';

CREATE TABLE IF NOT EXISTS cart_abandonment (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  platform VARCHAR NOT NULL,
  category VARCHAR NOT NULL,
  num_carts BIGINT NOT NULL,
  num_lines BIGINT NOT NULL,
  num_bought BIGINT NOT NULL,
  num_removed BIGINT NOT NULL,
  num_abandoned BIGINT NOT NULL,
  num_open BIGINT NOT NULL,
  num_recovered BIGINT NOT NULL,
  num_unpriced BIGINT NOT NULL,
  value_abandoned DOUBLE NOT NULL,
  value_recovered DOUBLE NOT NULL,
  value_left DOUBLE NOT NULL
);

COMMENT ON TABLE cart_abandonment IS 'What became of the items that people put into carts.';

COMMENT ON COLUMN cart_abandonment.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN cart_abandonment.dt IS 'The shop''s day on which the sessions start.';

COMMENT ON COLUMN cart_abandonment.platform IS 'Platform of the session''s first event; (all) for every one.';

COMMENT ON COLUMN cart_abandonment.category IS 'Category of the item as of the day, the `marts.top_categories` with most events; (other), (none) where the item has none, (all) for every event, those without an item included.';

COMMENT ON COLUMN cart_abandonment.num_carts IS 'Sessions that put an item into the cart. (sessions)';

COMMENT ON COLUMN cart_abandonment.num_lines IS 'Items put into carts, once per session; the sum of the next four. (items)';

COMMENT ON COLUMN cart_abandonment.num_bought IS 'Bought by the same person within `marts.cart_hours` and `marts.cart_sessions`. (items)';

COMMENT ON COLUMN cart_abandonment.num_removed IS 'Taken out again in the same session, and not bought. (items)';

COMMENT ON COLUMN cart_abandonment.num_abandoned IS 'Left in the cart, and not bought in that time. (items)';

COMMENT ON COLUMN cart_abandonment.num_open IS 'Left in the cart while that time is not over; none once it is. (items)';

COMMENT ON COLUMN cart_abandonment.num_recovered IS 'Abandoned, but bought within `marts.recovery_days`, as far as is known. (items)';

COMMENT ON COLUMN cart_abandonment.num_unpriced IS 'Abandoned without a known price: missing from the values. (items)';

COMMENT ON COLUMN cart_abandonment.value_abandoned IS 'Price x quantity of abandoned items. (shop''s currency)';

COMMENT ON COLUMN cart_abandonment.value_recovered IS 'Price x quantity of the recovered ones, as they lay in the cart. (shop''s currency)';

COMMENT ON COLUMN cart_abandonment.value_left IS 'value_abandoned less value_recovered. (shop''s currency)';

CREATE TABLE IF NOT EXISTS realised (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  origin VARCHAR NOT NULL,
  surface VARCHAR NOT NULL,
  strategy VARCHAR NOT NULL,
  model_name VARCHAR NOT NULL,
  model_version VARCHAR NOT NULL,
  segment VARCHAR NOT NULL,
  list VARCHAR NOT NULL,
  k INTEGER NOT NULL,
  window_days INTEGER NOT NULL,
  num_lists BIGINT NOT NULL,
  num_active BIGINT NOT NULL,
  num_hits BIGINT NOT NULL,
  ndcg_sum DOUBLE NOT NULL,
  ndcg_squares DOUBLE NOT NULL,
  ndcg_gain_squares DOUBLE NOT NULL,
  num_buyers BIGINT NOT NULL,
  num_purchases BIGINT NOT NULL,
  purchases_squares DOUBLE NOT NULL,
  num_listed_purchases BIGINT NOT NULL,
  revenue DOUBLE NOT NULL,
  revenue_squares DOUBLE NOT NULL,
  listed_revenue DOUBLE NOT NULL,
  num_unpriced BIGINT NOT NULL
);

COMMENT ON TABLE realised IS 'What people did after a night''s lists could be seen, counted per group of people.';

COMMENT ON COLUMN realised.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN realised.dt IS 'The night whose lists are judged.';

COMMENT ON COLUMN realised.origin IS 'published: readers could see the lists; replayed: `make backtest` made them afterwards from what was known then.';

COMMENT ON COLUMN realised.surface IS 'Where the lists were to be shown.';

COMMENT ON COLUMN realised.strategy IS 'Strategy of the list''s first item; held_out: drawn to see no model.';

COMMENT ON COLUMN realised.model_name IS 'Registered model, or popularity.';

COMMENT ON COLUMN realised.model_version IS 'Version of it.';

COMMENT ON COLUMN realised.segment IS '(all), or people by the length of their history or by the platform of their latest entry; platforms add up to (all), and so do lengths.';

COMMENT ON COLUMN realised.list IS 'shown: the night''s list; popular: the control, what was popular then, ranked for the same people under the same exclusions.';

COMMENT ON COLUMN realised.k IS 'How much of each list counts. (places)';

COMMENT ON COLUMN realised.window_days IS 'How long people were watched. (days)';

COMMENT ON COLUMN realised.num_lists IS 'Lists of the group. (lists)';

COMMENT ON COLUMN realised.num_active IS 'Of them, those whose person touched an item in the window. (lists)';

COMMENT ON COLUMN realised.num_hits IS 'Active lists with a touched item among the first k. (lists)';

COMMENT ON COLUMN realised.ndcg_sum IS 'Sum over active lists of NDCG at k; a touched item is relevant.';

COMMENT ON COLUMN realised.ndcg_squares IS 'Sum of its squares, for intervals.';

COMMENT ON COLUMN realised.ndcg_gain_squares IS 'Sum of the squares of NDCG less the control''s, for intervals.';

COMMENT ON COLUMN realised.num_buyers IS 'Lists whose person bought anything. (lists)';

COMMENT ON COLUMN realised.num_purchases IS 'Purchase rows of these people, of whatever item. (events)';

COMMENT ON COLUMN realised.purchases_squares IS 'Sum over lists of its squares, for intervals.';

COMMENT ON COLUMN realised.num_listed_purchases IS 'Of them, those of an item among the first k. (events)';

COMMENT ON COLUMN realised.revenue IS 'Sum of price x quantity over purchases, before returns. (shop''s currency)';

COMMENT ON COLUMN realised.revenue_squares IS 'Sum over lists of its squares, for intervals.';

COMMENT ON COLUMN realised.listed_revenue IS 'Of it, that of items among the first k. (shop''s currency)';

COMMENT ON COLUMN realised.num_unpriced IS 'Purchase rows without a price: no revenue is counted for them. (events)';

CREATE TABLE IF NOT EXISTS realised_scores (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  score_name VARCHAR NOT NULL,
  contender VARCHAR NOT NULL,
  model_version VARCHAR NOT NULL,
  segment VARCHAR NOT NULL,
  window_days INTEGER NOT NULL,
  num_foretold BIGINT NOT NULL,
  num_people BIGINT NOT NULL,
  num_positives BIGINT NOT NULL,
  foretold_sum DOUBLE NOT NULL,
  auroc DOUBLE,
  average_precision DOUBLE,
  log_loss DOUBLE,
  ece DOUBLE,
  ece_by_chance DOUBLE,
  ece_by_chance_high DOUBLE,
  lift_first_decile DOUBLE
);

COMMENT ON TABLE realised_scores IS 'How good a night''s scores were, once what they foretold was over: one row per score, model and group of people.';

COMMENT ON COLUMN realised_scores.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN realised_scores.dt IS 'The night that foretold.';

COMMENT ON COLUMN realised_scores.score_name IS 'The task, such as churn or purchase.';

COMMENT ON COLUMN realised_scores.contender IS 'What foretold: rule, trees, encoder or combined.';

COMMENT ON COLUMN realised_scores.model_version IS 'Version of the task''s registered model.';

COMMENT ON COLUMN realised_scores.segment IS '(all); platform: of the latest event; activity: visits in the last 28 days; or a group of the task''s own.';

COMMENT ON COLUMN realised_scores.window_days IS 'How long people were watched. (days)';

COMMENT ON COLUMN realised_scores.num_foretold IS 'People with the score. (people)';

COMMENT ON COLUMN realised_scores.num_people IS 'Of them, those whose question has an answer: the numbers below are theirs. (people)';

COMMENT ON COLUMN realised_scores.num_positives IS 'Of these, those for whom it came true. (people)';

COMMENT ON COLUMN realised_scores.foretold_sum IS 'Sum of their probabilities: how many were expected. (people)';

COMMENT ON COLUMN realised_scores.auroc IS 'Chance that one for whom it came true had the higher score; null with one outcome. (0 to 1)';

COMMENT ON COLUMN realised_scores.average_precision IS 'Mean precision over those for whom it came true; null without any. (0 to 1)';

COMMENT ON COLUMN realised_scores.log_loss IS 'Mean of minus the logarithm of what was given to what happened. (nats)';

COMMENT ON COLUMN realised_scores.ece IS 'Expected calibration error over ten groups of equally many people. (0 to 1)';

COMMENT ON COLUMN realised_scores.ece_by_chance IS 'Its mean on as many people, were every probability right. (0 to 1)';

COMMENT ON COLUMN realised_scores.ece_by_chance_high IS 'What one such draw in forty would be above. (0 to 1)';

COMMENT ON COLUMN realised_scores.lift_first_decile IS 'How often it came true among the highest tenth, over that among everybody.';

CREATE TABLE IF NOT EXISTS realised_calibration (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  score_name VARCHAR NOT NULL,
  contender VARCHAR NOT NULL,
  model_version VARCHAR NOT NULL,
  bin INTEGER NOT NULL,
  num_people BIGINT NOT NULL,
  num_positives BIGINT NOT NULL,
  foretold_sum DOUBLE NOT NULL
);

COMMENT ON TABLE realised_calibration IS 'People of a night in groups of like probability: what was foretold of them, and what happened.';

COMMENT ON COLUMN realised_calibration.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN realised_calibration.dt IS 'The night that foretold.';

COMMENT ON COLUMN realised_calibration.score_name IS 'The task, such as churn or purchase.';

COMMENT ON COLUMN realised_calibration.contender IS 'What foretold: rule, trees, encoder or combined.';

COMMENT ON COLUMN realised_calibration.model_version IS 'Version of the task''s registered model.';

COMMENT ON COLUMN realised_calibration.bin IS '1 is least likely; ties can leave fewer than ten.';

COMMENT ON COLUMN realised_calibration.num_people IS 'People of the group. (people)';

COMMENT ON COLUMN realised_calibration.num_positives IS 'Of them, those for whom it came true. (people)';

COMMENT ON COLUMN realised_calibration.foretold_sum IS 'Sum of their probabilities: how many were expected. (people)';

CREATE TABLE IF NOT EXISTS realised_decisions (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  decision VARCHAR NOT NULL,
  arm VARCHAR NOT NULL,
  score_name VARCHAR NOT NULL,
  outcome VARCHAR,
  window_days INTEGER NOT NULL,
  num_people BIGINT NOT NULL,
  num_answered BIGINT NOT NULL,
  num_positives BIGINT NOT NULL,
  revenue DOUBLE NOT NULL,
  revenue_squares DOUBLE NOT NULL,
  margin DOUBLE NOT NULL,
  expected_value DOUBLE NOT NULL,
  cost DOUBLE NOT NULL,
  outcome_difference DOUBLE,
  outcome_difference_low DOUBLE,
  outcome_difference_high DOUBLE,
  revenue_difference DOUBLE,
  revenue_difference_low DOUBLE,
  revenue_difference_high DOUBLE,
  realised_value DOUBLE,
  realised_value_low DOUBLE,
  realised_value_high DOUBLE
);

COMMENT ON TABLE realised_decisions IS 'What became of those a night acted on, and of those it left alone to compare with: one row per decision and arm.';

COMMENT ON COLUMN realised_decisions.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN realised_decisions.dt IS 'The night that decided.';

COMMENT ON COLUMN realised_decisions.decision IS 'As in `decisions`.';

COMMENT ON COLUMN realised_decisions.arm IS 'act or control.';

COMMENT ON COLUMN realised_decisions.score_name IS 'The score that decided.';

COMMENT ON COLUMN realised_decisions.outcome IS 'Column of `labels` that acting is meant to move; null where none is.';

COMMENT ON COLUMN realised_decisions.window_days IS 'Days over which purchases count; an outcome may take longer. (days)';

COMMENT ON COLUMN realised_decisions.num_people IS 'People of the arm of whom anything is known since. (people)';

COMMENT ON COLUMN realised_decisions.num_answered IS 'Of them, those for whom the outcome is known. (people)';

COMMENT ON COLUMN realised_decisions.num_positives IS 'Of these, those for whom it is true. (people)';

COMMENT ON COLUMN realised_decisions.revenue IS 'Sum of price x quantity over their purchases in the window, before returns. (shop''s currency)';

COMMENT ON COLUMN realised_decisions.revenue_squares IS 'Sum over people of its squares, for intervals.';

COMMENT ON COLUMN realised_decisions.margin IS 'Share of a price that was left to the shop, as settings had it. (0 to 1)';

COMMENT ON COLUMN realised_decisions.expected_value IS 'Sum of what acting was expected to bring; of the control group, what it would have. (shop''s currency)';

COMMENT ON COLUMN realised_decisions.cost IS 'Sum of the offers'' cost, as though everybody redeemed theirs. (shop''s currency)';

COMMENT ON COLUMN realised_decisions.outcome_difference IS 'A person acted on less one left alone: share with the outcome; null of control or few. (-1 to 1)';

COMMENT ON COLUMN realised_decisions.outcome_difference_low IS 'Lower bound of its 95 % interval, by the normal approximation (Welch). (-1 to 1)';

COMMENT ON COLUMN realised_decisions.outcome_difference_high IS 'Upper bound of its 95 % interval, by the normal approximation (Welch). (-1 to 1)';

COMMENT ON COLUMN realised_decisions.revenue_difference IS 'A person acted on less one left alone: revenue; null of control or few. (shop''s currency)';

COMMENT ON COLUMN realised_decisions.revenue_difference_low IS 'Lower bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)';

COMMENT ON COLUMN realised_decisions.revenue_difference_high IS 'Upper bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)';

COMMENT ON COLUMN realised_decisions.realised_value IS 'Margin on the difference in revenue, less the mean cost: per person acted on. (shop''s currency)';

COMMENT ON COLUMN realised_decisions.realised_value_low IS 'Lower bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)';

COMMENT ON COLUMN realised_decisions.realised_value_high IS 'Upper bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)';

CREATE TABLE IF NOT EXISTS users (
  shop VARCHAR NOT NULL,
  pseudonym VARCHAR NOT NULL,
  shop_id VARCHAR NOT NULL,
  id_kind VARCHAR NOT NULL
);

COMMENT ON TABLE users IS 'The only place that maps pseudonyms back to the shop''s ids.';

COMMENT ON COLUMN users.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN users.pseudonym IS 'What lake, models and reports hold.';

COMMENT ON COLUMN users.shop_id IS 'The shop''s own user or device id.';

COMMENT ON COLUMN users.id_kind IS 'user or device.';

CREATE TABLE IF NOT EXISTS publish_log (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  partition_name VARCHAR NOT NULL,
  publish_id VARCHAR NOT NULL,
  action VARCHAR NOT NULL,
  published_at TIMESTAMP NOT NULL,
  run_id VARCHAR NOT NULL,
  content_hash VARCHAR NOT NULL,
  inputs VARCHAR NOT NULL,
  num_rows BIGINT NOT NULL,
  num_users BIGINT NOT NULL,
  fallback_share DOUBLE NOT NULL,
  model_name VARCHAR NOT NULL,
  model_version VARCHAR NOT NULL,
  audits VARCHAR NOT NULL,
  num_bytes BIGINT NOT NULL,
  seconds DOUBLE NOT NULL,
  previous_publish_id VARCHAR,
  restored_publish_id VARCHAR
);

COMMENT ON TABLE publish_log IS 'One move of what readers see, append-only: a publication of a night, or a rollback to one.';

COMMENT ON COLUMN publish_log.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN publish_log.dt IS 'The night''s day.';

COMMENT ON COLUMN publish_log.partition_name IS 'The night''s partition in the lake: shop/table/dt=DAY.';

COMMENT ON COLUMN publish_log.publish_id IS 'Unique name of this entry.';

COMMENT ON COLUMN publish_log.action IS 'published, or rolled_back: readers were pointed at a night that was there already.';

COMMENT ON COLUMN publish_log.published_at IS 'Commit time. (UTC)';

COMMENT ON COLUMN publish_log.run_id IS 'The orchestrator''s run.';

COMMENT ON COLUMN publish_log.content_hash IS 'Hash of the published rows, independent of their order.';

COMMENT ON COLUMN publish_log.inputs IS 'JSON: each partition that was read, with the hash of its rows.';

COMMENT ON COLUMN publish_log.num_rows IS 'Rows published. (rows)';

COMMENT ON COLUMN publish_log.num_users IS 'People covered. (people)';

COMMENT ON COLUMN publish_log.fallback_share IS 'Share of people served by popularity. (0 to 1)';

COMMENT ON COLUMN publish_log.model_name IS 'Champion that scored.';

COMMENT ON COLUMN publish_log.model_version IS 'Its version.';

COMMENT ON COLUMN publish_log.audits IS 'JSON: each audit with what it saw.';

COMMENT ON COLUMN publish_log.num_bytes IS 'Bytes of the files that were loaded. (bytes)';

COMMENT ON COLUMN publish_log.seconds IS 'Stage, audit and commit. (s)';

COMMENT ON COLUMN publish_log.previous_publish_id IS 'The publication that readers saw before; null for the first.';

COMMENT ON COLUMN publish_log.restored_publish_id IS 'The publication that a rollback shows again; null for others.';

CREATE TABLE IF NOT EXISTS publish_current (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  publish_id VARCHAR NOT NULL,
  moved_at TIMESTAMP NOT NULL,
  rolled_from DATE
);

COMMENT ON TABLE publish_current IS 'Which night readers see: one row per shop, moved by publishing and by a rollback.';

COMMENT ON COLUMN publish_current.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN publish_current.dt IS 'The night that v_recommendations_current shows.';

COMMENT ON COLUMN publish_current.publish_id IS 'Its row in publish_log.';

COMMENT ON COLUMN publish_current.moved_at IS 'Since when readers see it. (UTC)';

COMMENT ON COLUMN publish_current.rolled_from IS 'After a rollback, the night that readers saw before it.';

CREATE TABLE IF NOT EXISTS published_nights (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  publish_id VARCHAR NOT NULL
);

COMMENT ON TABLE published_nights IS 'Nights whose rows the warehouse holds: what a rollback can show.';

COMMENT ON COLUMN published_nights.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN published_nights.dt IS 'The night''s day.';

COMMENT ON COLUMN published_nights.publish_id IS 'The publication that its rows are of.';

CREATE TABLE IF NOT EXISTS published_marts (
  shop VARCHAR NOT NULL,
  table_name VARCHAR NOT NULL,
  dt DATE NOT NULL,
  content_hash VARCHAR NOT NULL,
  num_rows BIGINT NOT NULL
);

COMMENT ON TABLE published_marts IS 'Which content of each day readers see, of the analysis tables and of what is realised; they keep every day.';

COMMENT ON COLUMN published_marts.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN published_marts.table_name IS 'Table by day.';

COMMENT ON COLUMN published_marts.dt IS 'Its day.';

COMMENT ON COLUMN published_marts.content_hash IS 'Hash of the day''s rows in the lake.';

COMMENT ON COLUMN published_marts.num_rows IS 'Rows of the day; 0 where nobody came. (rows)';

CREATE TABLE IF NOT EXISTS crm_states (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  user_id VARCHAR NOT NULL,
  content_hash BIGINT NOT NULL,
  changed_at TIMESTAMP NOT NULL
);

COMMENT ON TABLE crm_states IS 'What a person''s row in crm_users said in a night, and since when readers saw it; read crm_users instead.';

COMMENT ON COLUMN crm_states.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN crm_states.dt IS 'The night''s day.';

COMMENT ON COLUMN crm_states.user_id IS 'The shop''s own id of the person.';

COMMENT ON COLUMN crm_states.content_hash IS 'Hash of items, their attributes, order and reasons.';

COMMENT ON COLUMN crm_states.changed_at IS 'Since when readers saw this content. (UTC)';

CREATE TABLE IF NOT EXISTS crm_gone (
  shop VARCHAR NOT NULL,
  user_id VARCHAR NOT NULL,
  deleted_at TIMESTAMP NOT NULL
);

COMMENT ON TABLE crm_gone IS 'People who had a row in crm_users and lost it; read crm_deletions instead.';

COMMENT ON COLUMN crm_gone.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN crm_gone.user_id IS 'The shop''s own id of the person.';

COMMENT ON COLUMN crm_gone.deleted_at IS 'Since when readers see no row. (UTC)';

CREATE TABLE IF NOT EXISTS promotions (
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  decision_id VARCHAR NOT NULL,
  decided_at TIMESTAMP NOT NULL,
  model_name VARCHAR NOT NULL,
  candidate_version VARCHAR,
  champion_version VARCHAR,
  decision VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  metrics VARCHAR NOT NULL,
  rule VARCHAR NOT NULL
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
  shop VARCHAR NOT NULL,
  dt DATE NOT NULL,
  table_name VARCHAR NOT NULL,
  expectation VARCHAR NOT NULL,
  severity VARCHAR NOT NULL,
  success BOOLEAN NOT NULL,
  observed VARCHAR NOT NULL
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
  fingerprint VARCHAR NOT NULL
);

COMMENT ON TABLE warehouse_schema IS 'One row: what the definitions of this warehouse were made from.';

COMMENT ON COLUMN warehouse_schema.fingerprint IS 'SHA-256 of the statements that made it.';

CREATE UNIQUE INDEX IF NOT EXISTS publish_log_key ON publish_log (publish_id);

CREATE UNIQUE INDEX IF NOT EXISTS publish_current_key ON publish_current (shop);

CREATE UNIQUE INDEX IF NOT EXISTS published_nights_key ON published_nights (shop, dt);

CREATE UNIQUE INDEX IF NOT EXISTS published_marts_key ON published_marts (shop, table_name, dt);

CREATE UNIQUE INDEX IF NOT EXISTS crm_gone_key ON crm_gone (shop, user_id);

CREATE UNIQUE INDEX IF NOT EXISTS promotions_key ON promotions (decision_id);

DROP VIEW IF EXISTS v_realised_decisions;

DROP VIEW IF EXISTS v_realised_calibration;

DROP VIEW IF EXISTS v_realised_scores;

DROP VIEW IF EXISTS v_realised;

DROP VIEW IF EXISTS v_cart_abandonment;

DROP VIEW IF EXISTS v_decision_times;

DROP VIEW IF EXISTS v_decision_paths;

DROP VIEW IF EXISTS v_decision_transitions;

DROP VIEW IF EXISTS v_funnels;

DROP VIEW IF EXISTS v_daily_kpis;

DROP VIEW IF EXISTS crm_deletions;

DROP VIEW IF EXISTS crm_changed;

DROP VIEW IF EXISTS crm_users;

DROP VIEW IF EXISTS v_crm_seen;

DROP VIEW IF EXISTS v_dim_nights;

DROP VIEW IF EXISTS v_dim_users;

DROP VIEW IF EXISTS v_dim_items;

DROP VIEW IF EXISTS v_fact_recommendations;

DROP VIEW IF EXISTS v_freshness;

DROP VIEW IF EXISTS v_decisions_current;

DROP VIEW IF EXISTS v_user_scores_current;

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
  r.evidence_2_item_id,
  r.evidence_3_item_id,
  r.rule,
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

COMMENT ON COLUMN v_recommendations_current.row_key IS 'shop|dt|surface|user_id|rank: one unique column for tools that want one.';

COMMENT ON COLUMN v_recommendations_current.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_recommendations_current.dt IS 'The night''s day.';

COMMENT ON COLUMN v_recommendations_current.surface IS 'Where it is shown.';

COMMENT ON COLUMN v_recommendations_current.user_id IS 'In the lake the pseudonym, in the warehouse the shop''s own id.';

COMMENT ON COLUMN v_recommendations_current.rank IS '1 is best.';

COMMENT ON COLUMN v_recommendations_current.item_id IS 'The shop''s item id.';

COMMENT ON COLUMN v_recommendations_current.score IS 'Model score; falls with rank, comparable within one person only.';

COMMENT ON COLUMN v_recommendations_current.strategy IS 'model; category: popular in the categories of a history that the model cannot read; platform: popular on the platform where the person was last; popular: popular in the shop; held_out: the same, by the draw of `score.held_out_share`.';

COMMENT ON COLUMN v_recommendations_current.reason_code IS 'because_viewed, because_carted, because_bought, popular_in_category, popular_on_platform, popular_now, chosen_by_shop (a pin).';

COMMENT ON COLUMN v_recommendations_current.evidence_item_id IS 'The item of the history without which this one would lose most score.';

COMMENT ON COLUMN v_recommendations_current.evidence_2_item_id IS 'The next one, where its effect is not small beside the first''s.';

COMMENT ON COLUMN v_recommendations_current.evidence_3_item_id IS 'The one after that.';

COMMENT ON COLUMN v_recommendations_current.rule IS 'What a business rule did to the row: pinned, or cap_given_way where nothing else was left; else null.';

COMMENT ON COLUMN v_recommendations_current.model_name IS 'Registered model, or popularity.';

COMMENT ON COLUMN v_recommendations_current.model_version IS 'Version of it.';

COMMENT ON COLUMN v_recommendations_current.title IS 'Latest title the log gave.';

COMMENT ON COLUMN v_recommendations_current.category IS 'Latest category the log gave.';

COMMENT ON COLUMN v_recommendations_current.brand IS 'Latest brand the log gave.';

COMMENT ON COLUMN v_recommendations_current.price IS 'Latest price of one piece. (shop''s currency)';

COMMENT ON COLUMN v_recommendations_current.publish_id IS 'The publication, a row of publish_log.';

CREATE VIEW v_user_scores_current AS
SELECT
  s.row_key,
  s.shop,
  s.dt,
  s.score_name,
  s.user_id,
  s.observed,
  s.score,
  s.band,
  s.decile,
  s.flagged,
  s.contender,
  s.model_version,
  s.reasons,
  s.outcome,
  s.shop || '|' || s.user_id AS user_key,
  c.publish_id
FROM publish_current c
JOIN user_scores s ON s.shop = c.shop AND s.dt = c.dt;

COMMENT ON VIEW v_user_scores_current IS 'Where people stand and what is foretold of them, in the night that publish_current names.';

COMMENT ON COLUMN v_user_scores_current.row_key IS 'shop|dt|score_name|user_id: one unique column for tools that want one.';

COMMENT ON COLUMN v_user_scores_current.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_user_scores_current.dt IS 'The night''s day.';

COMMENT ON COLUMN v_user_scores_current.score_name IS 'recency, frequency or monetary, which are ranks; or what is foretold, such as churn or purchase.';

COMMENT ON COLUMN v_user_scores_current.user_id IS 'The shop''s own id of the person.';

COMMENT ON COLUMN v_user_scores_current.observed IS 'What is ranked: hours since the latest event, visits, or spend, within the history window; null for what is foretold. (hours, visits or shop''s currency)';

COMMENT ON COLUMN v_user_scores_current.score IS 'Of a rank the share of the others who did worse, equals sharing one; of what is foretold its calibrated probability; of coupon_uplift by how much a coupon raises the chance of buying; of fraud no probability, but the share of people who are less conspicuous. (0 to 1)';

COMMENT ON COLUMN v_user_scores_current.band IS 'The rank''s fifth: 1 is worst, 5 best; null for what is foretold.';

COMMENT ON COLUMN v_user_scores_current.decile IS 'Where the probability lies among the people it was calibrated on: 1 is least likely, 10 most; null for ranks.';

COMMENT ON COLUMN v_user_scores_current.flagged IS 'Likely enough that acting costs less than not acting, by the task''s costs of errors; null for ranks.';

COMMENT ON COLUMN v_user_scores_current.contender IS 'What foretells: rule, trees, encoder, combined, anomaly or uplift; null for ranks.';

COMMENT ON COLUMN v_user_scores_current.model_version IS 'Version of the task''s registered model; null for ranks.';

COMMENT ON COLUMN v_user_scores_current.reasons IS 'JSON array: columns of `user_features` that raised the score most, strongest first; null for ranks.';

COMMENT ON COLUMN v_user_scores_current.outcome IS 'Of several outcomes the likeliest, such as next_category''s; else null.';

COMMENT ON COLUMN v_user_scores_current.user_key IS 'shop|user_id: joins facts and scores with v_dim_users.';

COMMENT ON COLUMN v_user_scores_current.publish_id IS 'The publication, a row of publish_log.';

CREATE VIEW v_decisions_current AS
SELECT
  d.row_key,
  d.shop,
  d.dt,
  d.decision,
  d.user_id,
  d.arm,
  d.rank,
  d.offer,
  d.expected_value,
  d.cost,
  d.score_name,
  d.score,
  d.reasons,
  d.shop || '|' || d.user_id AS user_key,
  c.publish_id
FROM publish_current c
JOIN decisions d ON d.shop = c.shop AND d.dt = c.dt;

COMMENT ON VIEW v_decisions_current IS 'Whom to act on, and whom to leave alone to compare with, in the night that publish_current names.';

COMMENT ON COLUMN v_decisions_current.row_key IS 'shop|dt|decision|user_id: one unique column for tools that want one.';

COMMENT ON COLUMN v_decisions_current.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_decisions_current.dt IS 'The night''s day.';

COMMENT ON COLUMN v_decisions_current.decision IS 'coupon, retention, promotion, cart_reminder or fraud_review; docs/conf.md has the settings.';

COMMENT ON COLUMN v_decisions_current.user_id IS 'In the lake the pseudonym, in the warehouse the shop''s own id.';

COMMENT ON COLUMN v_decisions_current.arm IS 'act; or control: do nothing, drawn by a hash, per decision the same people every night.';

COMMENT ON COLUMN v_decisions_current.rank IS '1 is best; both arms are ranked together.';

COMMENT ON COLUMN v_decisions_current.offer IS 'What to send or do; null for the control group.';

COMMENT ON COLUMN v_decisions_current.expected_value IS 'What acting is expected to bring, or to save at most; of a coupon less its cost. (shop''s currency)';

COMMENT ON COLUMN v_decisions_current.cost IS 'Of the offer if it is redeemed; 0 for the control group. (shop''s currency)';

COMMENT ON COLUMN v_decisions_current.score_name IS 'The score of `user_scores` that decided.';

COMMENT ON COLUMN v_decisions_current.score IS 'Its probability. (0 to 1)';

COMMENT ON COLUMN v_decisions_current.reasons IS 'JSON array: the score''s reasons, strongest first.';

COMMENT ON COLUMN v_decisions_current.user_key IS 'shop|user_id: joins facts and scores with v_dim_users.';

COMMENT ON COLUMN v_decisions_current.publish_id IS 'The publication, a row of publish_log.';

CREATE VIEW v_freshness AS
SELECT
  c.shop,
  c.dt,
  c.publish_id,
  l.published_at,
  c.moved_at,
  EXTRACT(epoch FROM (now() AT TIME ZONE 'UTC') - l.published_at) / 3600 AS hours_old,
  l.num_rows,
  l.num_users,
  l.fallback_share,
  l.model_name,
  l.model_version
FROM publish_current c
JOIN publish_log l ON l.publish_id = c.publish_id;

COMMENT ON VIEW v_freshness IS 'Per shop how old the recommendations are that readers see.';

COMMENT ON COLUMN v_freshness.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_freshness.dt IS 'The night''s day.';

COMMENT ON COLUMN v_freshness.publish_id IS 'The publication, a row of publish_log.';

COMMENT ON COLUMN v_freshness.published_at IS 'Commit time. (UTC)';

COMMENT ON COLUMN v_freshness.moved_at IS 'Since when readers see this night. (UTC)';

COMMENT ON COLUMN v_freshness.hours_old IS 'Since the publication, whatever was shown in between. (h)';

COMMENT ON COLUMN v_freshness.num_rows IS 'Rows published. (rows)';

COMMENT ON COLUMN v_freshness.num_users IS 'People covered. (people)';

COMMENT ON COLUMN v_freshness.fallback_share IS 'Share of people served by popularity. (0 to 1)';

COMMENT ON COLUMN v_freshness.model_name IS 'Champion that scored.';

COMMENT ON COLUMN v_freshness.model_version IS 'Its version.';

CREATE VIEW v_fact_recommendations AS
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
  r.evidence_2_item_id,
  r.evidence_3_item_id,
  r.rule,
  r.model_name,
  r.model_version,
  r.shop || '|' || CAST(r.dt AS VARCHAR) || '|' || r.item_id AS item_key,
  r.shop || '|' || r.user_id AS user_key,
  r.shop || '|' || CAST(r.dt AS VARCHAR) AS night_key
FROM recommendations r
JOIN published_nights n ON n.shop = r.shop AND n.dt = r.dt;

COMMENT ON VIEW v_fact_recommendations IS 'Star schema, the facts: every recommended item of every night that the warehouse holds.';

COMMENT ON COLUMN v_fact_recommendations.row_key IS 'shop|dt|surface|user_id|rank: one unique column for tools that want one.';

COMMENT ON COLUMN v_fact_recommendations.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_fact_recommendations.dt IS 'The night''s day.';

COMMENT ON COLUMN v_fact_recommendations.surface IS 'Where it is shown.';

COMMENT ON COLUMN v_fact_recommendations.user_id IS 'In the lake the pseudonym, in the warehouse the shop''s own id.';

COMMENT ON COLUMN v_fact_recommendations.rank IS '1 is best.';

COMMENT ON COLUMN v_fact_recommendations.item_id IS 'The shop''s item id.';

COMMENT ON COLUMN v_fact_recommendations.score IS 'Model score; falls with rank, comparable within one person only.';

COMMENT ON COLUMN v_fact_recommendations.strategy IS 'model; category: popular in the categories of a history that the model cannot read; platform: popular on the platform where the person was last; popular: popular in the shop; held_out: the same, by the draw of `score.held_out_share`.';

COMMENT ON COLUMN v_fact_recommendations.reason_code IS 'because_viewed, because_carted, because_bought, popular_in_category, popular_on_platform, popular_now, chosen_by_shop (a pin).';

COMMENT ON COLUMN v_fact_recommendations.evidence_item_id IS 'The item of the history without which this one would lose most score.';

COMMENT ON COLUMN v_fact_recommendations.evidence_2_item_id IS 'The next one, where its effect is not small beside the first''s.';

COMMENT ON COLUMN v_fact_recommendations.evidence_3_item_id IS 'The one after that.';

COMMENT ON COLUMN v_fact_recommendations.rule IS 'What a business rule did to the row: pinned, or cap_given_way where nothing else was left; else null.';

COMMENT ON COLUMN v_fact_recommendations.model_name IS 'Registered model, or popularity.';

COMMENT ON COLUMN v_fact_recommendations.model_version IS 'Version of it.';

COMMENT ON COLUMN v_fact_recommendations.item_key IS 'shop|dt|item_id: joins v_fact_recommendations with v_dim_items.';

COMMENT ON COLUMN v_fact_recommendations.user_key IS 'shop|user_id: joins facts and scores with v_dim_users.';

COMMENT ON COLUMN v_fact_recommendations.night_key IS 'shop|dt: joins v_fact_recommendations with v_dim_nights.';

CREATE VIEW v_dim_items AS
SELECT
  i.shop || '|' || CAST(i.dt AS VARCHAR) || '|' || i.item_id AS item_key,
  i.shop,
  i.item_id,
  i.dt,
  i.title,
  i.category,
  i.brand,
  i.price,
  i.price_bucket,
  i.first_seen,
  i.last_seen,
  i.num_events,
  i.num_recent,
  i.num_purchases
FROM items i;

COMMENT ON VIEW v_dim_items IS 'Star schema: items with their attributes, as of each night that the warehouse holds.';

COMMENT ON COLUMN v_dim_items.item_key IS 'shop|dt|item_id: joins v_fact_recommendations with v_dim_items.';

COMMENT ON COLUMN v_dim_items.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_dim_items.item_id IS 'The shop''s item id.';

COMMENT ON COLUMN v_dim_items.dt IS 'As of the end of this shop''s day: nothing later can move the row.';

COMMENT ON COLUMN v_dim_items.title IS 'Latest title the log gave.';

COMMENT ON COLUMN v_dim_items.category IS 'Latest category the log gave.';

COMMENT ON COLUMN v_dim_items.brand IS 'Latest brand the log gave.';

COMMENT ON COLUMN v_dim_items.price IS 'Latest price of one piece. (shop''s currency)';

COMMENT ON COLUMN v_dim_items.price_bucket IS 'Decile of the price among priced items, 1 to 10; 0 without a price.';

COMMENT ON COLUMN v_dim_items.first_seen IS 'First event with the item in the window. (UTC)';

COMMENT ON COLUMN v_dim_items.last_seen IS 'Last event with the item in the window. (UTC)';

COMMENT ON COLUMN v_dim_items.num_events IS 'Events of people (not bots) with the item in the window. (events)';

COMMENT ON COLUMN v_dim_items.num_recent IS 'Events in the latest days of `score.popular_days`: what baselines and fallback call popular. (events)';

COMMENT ON COLUMN v_dim_items.num_purchases IS 'Purchase rows in the window. (events)';

CREATE VIEW v_dim_users AS
SELECT
  u.shop || '|' || u.shop_id AS user_key,
  u.shop,
  u.shop_id AS user_id,
  u.id_kind
FROM users u;

COMMENT ON VIEW v_dim_users IS 'Star schema: people by the shop''s own id; a login and a device are two.';

COMMENT ON COLUMN v_dim_users.user_key IS 'shop|user_id: joins facts and scores with v_dim_users.';

COMMENT ON COLUMN v_dim_users.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_dim_users.user_id IS 'The shop''s own id of the person.';

COMMENT ON COLUMN v_dim_users.id_kind IS 'user or device.';

CREATE VIEW v_dim_nights AS
SELECT
  n.shop || '|' || CAST(n.dt AS VARCHAR) AS night_key,
  n.shop,
  n.dt,
  n.publish_id,
  coalesce(c.publish_id = n.publish_id, false) AS is_current,
  l.published_at,
  l.run_id,
  l.num_rows,
  l.num_users,
  l.fallback_share,
  l.model_name,
  l.model_version
FROM published_nights n
JOIN publish_log l ON l.publish_id = n.publish_id
LEFT JOIN publish_current c ON c.shop = n.shop;

COMMENT ON VIEW v_dim_nights IS 'Star schema: the nights that the warehouse holds, with what was published and by which model.';

COMMENT ON COLUMN v_dim_nights.night_key IS 'shop|dt: joins v_fact_recommendations with v_dim_nights.';

COMMENT ON COLUMN v_dim_nights.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_dim_nights.dt IS 'The night''s day.';

COMMENT ON COLUMN v_dim_nights.publish_id IS 'The publication, a row of publish_log.';

COMMENT ON COLUMN v_dim_nights.is_current IS 'Whether readers of the views named current see this night.';

COMMENT ON COLUMN v_dim_nights.published_at IS 'Commit time. (UTC)';

COMMENT ON COLUMN v_dim_nights.run_id IS 'The orchestrator''s run.';

COMMENT ON COLUMN v_dim_nights.num_rows IS 'Rows published. (rows)';

COMMENT ON COLUMN v_dim_nights.num_users IS 'People covered. (people)';

COMMENT ON COLUMN v_dim_nights.fallback_share IS 'Share of people served by popularity. (0 to 1)';

COMMENT ON COLUMN v_dim_nights.model_name IS 'Champion that scored.';

COMMENT ON COLUMN v_dim_nights.model_version IS 'Its version.';

CREATE VIEW v_crm_seen AS
SELECT
  t.shop,
  t.dt,
  t.user_id,
  t.content_hash,
  CASE WHEN c.rolled_from IS NULL THEN t.changed_at WHEN f.user_id IS NULL OR f.content_hash <> t.content_hash THEN c.moved_at WHEN f.changed_at > t.changed_at THEN f.changed_at ELSE t.changed_at END AS changed_at,
  c.moved_at
FROM publish_current c
JOIN crm_states t ON t.shop = c.shop AND t.dt = c.dt
LEFT JOIN crm_states f ON f.shop = c.shop AND f.dt = c.rolled_from AND f.user_id = t.user_id;

COMMENT ON VIEW v_crm_seen IS 'Per person of the current night the content''s hash and since when readers see it.';

COMMENT ON COLUMN v_crm_seen.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_crm_seen.dt IS 'The night''s day.';

COMMENT ON COLUMN v_crm_seen.user_id IS 'The shop''s own id of the person.';

COMMENT ON COLUMN v_crm_seen.content_hash IS 'Hash of what the payload says: items, their attributes, order and reasons.';

COMMENT ON COLUMN v_crm_seen.changed_at IS 'Since when readers see this content; moves only when it does. (UTC)';

COMMENT ON COLUMN v_crm_seen.moved_at IS 'Since when readers see this night. (UTC)';

CREATE VIEW crm_users AS
SELECT
  s.shop || '|' || s.user_id AS row_key,
  s.shop,
  s.dt,
  s.user_id,
  (SELECT CAST(to_json(struct_pack(recommendations := list(struct_pack(surface := r.surface, rank := r.rank, item_id := r.item_id, title := i.title, category := i.category, brand := i.brand, price := i.price, reason_code := r.reason_code) ORDER BY r.surface, r.rank))) AS VARCHAR) FROM recommendations r LEFT JOIN items i ON i.shop = r.shop AND i.dt = r.dt AND i.item_id = r.item_id WHERE r.shop = s.shop AND r.dt = s.dt AND r.user_id = s.user_id) AS payload,
  s.content_hash,
  s.changed_at
FROM v_crm_seen s;

COMMENT ON VIEW crm_users IS 'One row per person of the current night, wide: everything that a CRM tool shows, as JSON.';

COMMENT ON COLUMN crm_users.row_key IS 'shop|user_id: one unique column for tools that want one.';

COMMENT ON COLUMN crm_users.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN crm_users.dt IS 'The night''s day.';

COMMENT ON COLUMN crm_users.user_id IS 'The shop''s own id of the person.';

COMMENT ON COLUMN crm_users.payload IS 'JSON: the recommendations of every surface, best first, with their items.';

COMMENT ON COLUMN crm_users.content_hash IS 'Hash of what the payload says: items, their attributes, order and reasons.';

COMMENT ON COLUMN crm_users.changed_at IS 'Since when readers see this content; moves only when it does. (UTC)';

CREATE VIEW crm_changed AS
SELECT
  u.row_key,
  u.shop,
  u.dt,
  u.user_id,
  u.payload,
  u.content_hash,
  u.changed_at
FROM crm_users u
JOIN publish_current c ON c.shop = u.shop AND c.moved_at = u.changed_at;

COMMENT ON VIEW crm_changed IS 'The rows of crm_users whose content changed when readers were last given another night.';

COMMENT ON COLUMN crm_changed.row_key IS 'shop|user_id: one unique column for tools that want one.';

COMMENT ON COLUMN crm_changed.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN crm_changed.dt IS 'The night''s day.';

COMMENT ON COLUMN crm_changed.user_id IS 'The shop''s own id of the person.';

COMMENT ON COLUMN crm_changed.payload IS 'JSON: the recommendations of every surface, best first, with their items.';

COMMENT ON COLUMN crm_changed.content_hash IS 'Hash of what the payload says: items, their attributes, order and reasons.';

COMMENT ON COLUMN crm_changed.changed_at IS 'Since when readers see this content; moves only when it does. (UTC)';

CREATE VIEW crm_deletions AS
SELECT
  d.shop || '|' || d.user_id AS row_key,
  d.shop,
  d.user_id,
  d.deleted_at
FROM (
  SELECT shop, user_id, max(deleted_at) AS deleted_at FROM (
    SELECT g.shop, g.user_id, g.deleted_at FROM crm_gone g
    UNION ALL
    SELECT c.shop, f.user_id, c.moved_at AS deleted_at
    FROM publish_current c JOIN crm_states f ON f.shop = c.shop AND f.dt = c.rolled_from
  ) e
  GROUP BY shop, user_id
) d
LEFT JOIN v_crm_seen s ON s.shop = d.shop AND s.user_id = d.user_id
WHERE s.user_id IS NULL;

COMMENT ON VIEW crm_deletions IS 'People who had a row in crm_users once and have none now.';

COMMENT ON COLUMN crm_deletions.row_key IS 'shop|user_id: one unique column for tools that want one.';

COMMENT ON COLUMN crm_deletions.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN crm_deletions.user_id IS 'The shop''s own id of the person.';

COMMENT ON COLUMN crm_deletions.deleted_at IS 'Since when readers see no row. (UTC)';

CREATE VIEW v_daily_kpis AS
SELECT
  t.shop,
  t.dt,
  t.platform,
  t.known_days,
  t.num_visitors,
  t.num_new_visitors,
  t.num_returning_visitors,
  t.num_persons,
  t.num_logged_in_persons,
  t.num_sessions,
  t.num_bounces,
  t.num_sessions_with_cart,
  t.num_sessions_with_purchase,
  t.num_events,
  t.num_views,
  t.num_searches,
  t.num_carts,
  t.num_purchases,
  t.num_returns,
  t.num_reviews,
  t.num_coupons,
  t.num_clicks,
  t.num_impressions,
  t.num_uncarts,
  t.num_favourites,
  t.num_cancels,
  t.num_orders,
  t.num_pieces,
  t.revenue,
  t.num_unpriced_purchases,
  t.num_returned_pieces,
  t.returned_value,
  t.num_cancelled_pieces,
  t.cancelled_value,
  t.num_bot_sessions,
  t.num_bot_events,
  CAST(t.num_new_visitors AS DOUBLE PRECISION) / nullif(t.num_visitors, 0) AS new_visitor_share,
  CAST(t.num_logged_in_persons AS DOUBLE PRECISION) / nullif(t.num_persons, 0) AS login_share,
  CAST(t.num_bounces AS DOUBLE PRECISION) / nullif(t.num_sessions, 0) AS bounce_share,
  CAST(t.num_sessions_with_cart AS DOUBLE PRECISION) / nullif(t.num_sessions, 0) AS cart_rate,
  CAST(t.num_sessions_with_purchase AS DOUBLE PRECISION) / nullif(t.num_sessions, 0) AS conversion_rate,
  CAST(t.revenue AS DOUBLE PRECISION) / nullif(t.num_orders, 0) AS average_order_value,
  CAST(t.revenue AS DOUBLE PRECISION) / nullif(t.num_sessions, 0) AS revenue_per_session,
  CAST(t.num_returned_pieces AS DOUBLE PRECISION) / nullif(t.num_pieces, 0) AS return_rate,
  CAST(t.num_bot_sessions AS DOUBLE PRECISION) / nullif(t.num_sessions + t.num_bot_sessions, 0) AS bot_share
FROM daily_kpis t;

COMMENT ON VIEW v_daily_kpis IS 'What a shop asks first about a day.';

COMMENT ON COLUMN v_daily_kpis.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_daily_kpis.dt IS 'The shop''s day on which the sessions start.';

COMMENT ON COLUMN v_daily_kpis.platform IS 'Platform of the session''s first event; (all) for every one.';

COMMENT ON COLUMN v_daily_kpis.known_days IS 'Days before this one that the log covers, at most `marts.lookback_days`: with fewer, less is known of before. (days)';

COMMENT ON COLUMN v_daily_kpis.num_visitors IS 'Distinct visitors. (visitors)';

COMMENT ON COLUMN v_daily_kpis.num_new_visitors IS 'Of them, those without a session in the `marts.lookback_days` before, on whatever platform. (visitors)';

COMMENT ON COLUMN v_daily_kpis.num_returning_visitors IS 'Of them, the others. (visitors)';

COMMENT ON COLUMN v_daily_kpis.num_persons IS 'Distinct people on all their devices, as known at the end of the day. (people)';

COMMENT ON COLUMN v_daily_kpis.num_logged_in_persons IS 'Of them, those with a login on this platform that day. (people)';

COMMENT ON COLUMN v_daily_kpis.num_sessions IS 'Sessions. (sessions)';

COMMENT ON COLUMN v_daily_kpis.num_bounces IS 'Sessions with at most one event, impressions aside. (sessions)';

COMMENT ON COLUMN v_daily_kpis.num_sessions_with_cart IS 'Sessions with an addition to the cart. (sessions)';

COMMENT ON COLUMN v_daily_kpis.num_sessions_with_purchase IS 'Sessions with a purchase. (sessions)';

COMMENT ON COLUMN v_daily_kpis.num_events IS 'Events of any kind. (events)';

COMMENT ON COLUMN v_daily_kpis.num_views IS 'Item views. (events)';

COMMENT ON COLUMN v_daily_kpis.num_searches IS 'Searches. (events)';

COMMENT ON COLUMN v_daily_kpis.num_carts IS 'Additions to the cart. (events)';

COMMENT ON COLUMN v_daily_kpis.num_purchases IS 'Purchase rows. (events)';

COMMENT ON COLUMN v_daily_kpis.num_returns IS 'Return rows. (events)';

COMMENT ON COLUMN v_daily_kpis.num_reviews IS 'Reviews. (events)';

COMMENT ON COLUMN v_daily_kpis.num_coupons IS 'Coupon events. (events)';

COMMENT ON COLUMN v_daily_kpis.num_clicks IS 'Clicks on what was shown. (events)';

COMMENT ON COLUMN v_daily_kpis.num_impressions IS 'Times that something was shown. (events)';

COMMENT ON COLUMN v_daily_kpis.num_uncarts IS 'Removals from the cart. (events)';

COMMENT ON COLUMN v_daily_kpis.num_favourites IS 'Additions to a wish list. (events)';

COMMENT ON COLUMN v_daily_kpis.num_cancels IS 'Orders or parts of them withdrawn. (events)';

COMMENT ON COLUMN v_daily_kpis.num_orders IS 'Distinct orders; a session''s purchases without an order id are one. (orders)';

COMMENT ON COLUMN v_daily_kpis.num_pieces IS 'Pieces bought; an unknown quantity is one. (pieces)';

COMMENT ON COLUMN v_daily_kpis.revenue IS 'Sum of price x quantity over purchases, before cancellations and returns. (shop''s currency)';

COMMENT ON COLUMN v_daily_kpis.num_unpriced_purchases IS 'Purchase rows without a price: no revenue is counted for them. (events)';

COMMENT ON COLUMN v_daily_kpis.num_returned_pieces IS 'Pieces returned that day, whenever they were bought. (pieces)';

COMMENT ON COLUMN v_daily_kpis.returned_value IS 'Sum of price x quantity over returns; without a price nothing. (shop''s currency)';

COMMENT ON COLUMN v_daily_kpis.num_cancelled_pieces IS 'Pieces withdrawn that day, whenever they were ordered. (pieces)';

COMMENT ON COLUMN v_daily_kpis.cancelled_value IS 'Sum of price x quantity over cancellations; without a price nothing. (shop''s currency)';

COMMENT ON COLUMN v_daily_kpis.num_bot_sessions IS 'Sessions of bots, in no other count. (sessions)';

COMMENT ON COLUMN v_daily_kpis.num_bot_events IS 'Events of bots, in no other count. (events)';

COMMENT ON COLUMN v_daily_kpis.new_visitor_share IS 'Share of visitors not seen lately. (0 to 1)';

COMMENT ON COLUMN v_daily_kpis.login_share IS 'Share of people who logged in. (0 to 1)';

COMMENT ON COLUMN v_daily_kpis.bounce_share IS 'Share of sessions that went no further. (0 to 1)';

COMMENT ON COLUMN v_daily_kpis.cart_rate IS 'Share of sessions that fill a cart. (0 to 1)';

COMMENT ON COLUMN v_daily_kpis.conversion_rate IS 'Share of sessions that buy. (0 to 1)';

COMMENT ON COLUMN v_daily_kpis.average_order_value IS 'Revenue of an order. (shop''s currency)';

COMMENT ON COLUMN v_daily_kpis.revenue_per_session IS 'Revenue of a session. (shop''s currency)';

COMMENT ON COLUMN v_daily_kpis.return_rate IS 'Pieces returned per piece bought. (pieces)';

COMMENT ON COLUMN v_daily_kpis.bot_share IS 'Share of all sessions that are bots''. (0 to 1)';

CREATE VIEW v_funnels AS
SELECT
  t.shop,
  t.dt,
  t.platform,
  t.category,
  t.campaign,
  t.num_sessions,
  t.num_viewed,
  t.num_carted,
  t.num_bought,
  t.num_viewed_carted,
  t.num_viewed_carted_bought,
  t.num_lost_after_view,
  t.num_lost_after_cart,
  CAST(t.num_viewed_carted AS DOUBLE PRECISION) / nullif(t.num_viewed, 0) AS cart_rate,
  CAST(t.num_viewed_carted_bought AS DOUBLE PRECISION) / nullif(t.num_viewed_carted, 0) AS checkout_rate,
  CAST(t.num_viewed_carted_bought AS DOUBLE PRECISION) / nullif(t.num_viewed, 0) AS conversion_rate
FROM funnels t;

COMMENT ON VIEW v_funnels IS 'How far sessions get from view over cart to purchase.';

COMMENT ON COLUMN v_funnels.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_funnels.dt IS 'The shop''s day on which the sessions start.';

COMMENT ON COLUMN v_funnels.platform IS 'Platform of the session''s first event; (all) for every one.';

COMMENT ON COLUMN v_funnels.category IS 'Category of the item as of the day, the `marts.top_categories` with most events; (other), (none) where the item has none, (all) for every event, those without an item included.';

COMMENT ON COLUMN v_funnels.campaign IS 'Source of the visit, the day''s `marts.top_campaigns` with most sessions; (other), (none), (all).';

COMMENT ON COLUMN v_funnels.num_sessions IS 'Sessions with an event on an item of the category; with any for (all). (sessions)';

COMMENT ON COLUMN v_funnels.num_viewed IS 'Sessions with a view. (sessions)';

COMMENT ON COLUMN v_funnels.num_carted IS 'Sessions with an addition to the cart, viewed before or not. (sessions)';

COMMENT ON COLUMN v_funnels.num_bought IS 'Sessions with a purchase, whatever came before. (sessions)';

COMMENT ON COLUMN v_funnels.num_viewed_carted IS 'Sessions with a view and later an addition to the cart. (sessions)';

COMMENT ON COLUMN v_funnels.num_viewed_carted_bought IS 'Sessions with a view, later an addition to the cart and later a purchase. (sessions)';

COMMENT ON COLUMN v_funnels.num_lost_after_view IS 'num_viewed less num_viewed_carted. (sessions)';

COMMENT ON COLUMN v_funnels.num_lost_after_cart IS 'num_viewed_carted less num_viewed_carted_bought. (sessions)';

COMMENT ON COLUMN v_funnels.cart_rate IS 'Share of viewing sessions that go on. (0 to 1)';

COMMENT ON COLUMN v_funnels.checkout_rate IS 'Share of those with a cart that go on. (0 to 1)';

COMMENT ON COLUMN v_funnels.conversion_rate IS 'Share of viewing sessions that reach the end. (0 to 1)';

CREATE VIEW v_decision_transitions AS
SELECT
  t.shop,
  t.dt,
  t.platform,
  t.from_kind,
  t.to_kind,
  t.num_transitions,
  t.num_from,
  CAST(t.num_transitions AS DOUBLE PRECISION) / nullif(t.num_from, 0) AS transition_share
FROM decision_transitions t;

COMMENT ON VIEW v_decision_transitions IS 'What people do next within a session.';

COMMENT ON COLUMN v_decision_transitions.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_decision_transitions.dt IS 'The shop''s day on which the sessions start.';

COMMENT ON COLUMN v_decision_transitions.platform IS 'Platform of the session''s first event; (all) for every one.';

COMMENT ON COLUMN v_decision_transitions.from_kind IS 'Kind of an event, among `marts.path_kinds`; or (start).';

COMMENT ON COLUMN v_decision_transitions.to_kind IS 'Kind of the next one; or (end).';

COMMENT ON COLUMN v_decision_transitions.num_transitions IS 'Times that the one followed the other. (transitions)';

COMMENT ON COLUMN v_decision_transitions.num_from IS 'Times that anything followed from_kind. (transitions)';

COMMENT ON COLUMN v_decision_transitions.transition_share IS 'How often from_kind goes on like this. (0 to 1)';

CREATE VIEW v_decision_paths AS
SELECT
  t.shop,
  t.dt,
  t.platform,
  t.path,
  t.num_paths,
  t.num_sessions,
  t.num_bought,
  t.num_all_sessions,
  CAST(t.num_sessions AS DOUBLE PRECISION) / nullif(t.num_all_sessions, 0) AS session_share,
  CAST(t.num_bought AS DOUBLE PRECISION) / nullif(t.num_sessions, 0) AS conversion_rate
FROM decision_paths t;

COMMENT ON VIEW v_decision_paths IS 'The most common ways through a session.';

COMMENT ON COLUMN v_decision_paths.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_decision_paths.dt IS 'The shop''s day on which the sessions start.';

COMMENT ON COLUMN v_decision_paths.platform IS 'Platform of the session''s first event; (all) for every one.';

COMMENT ON COLUMN v_decision_paths.path IS 'Kinds in order, such as view>view>cart>purchase; (none) without an event of `marts.path_kinds`, (other) for all but the `marts.top_paths` of the platform.';

COMMENT ON COLUMN v_decision_paths.num_paths IS 'Different paths in the row: 1, more for (other). (paths)';

COMMENT ON COLUMN v_decision_paths.num_sessions IS 'Sessions that went this way. (sessions)';

COMMENT ON COLUMN v_decision_paths.num_bought IS 'Of them, those with a purchase, also beyond the path''s end. (sessions)';

COMMENT ON COLUMN v_decision_paths.num_all_sessions IS 'Sessions of the platform that day. (sessions)';

COMMENT ON COLUMN v_decision_paths.session_share IS 'Share of the platform''s sessions. (0 to 1)';

COMMENT ON COLUMN v_decision_paths.conversion_rate IS 'Share of them that buy. (0 to 1)';

CREATE VIEW v_decision_times AS
SELECT
  t.shop,
  t.dt,
  t.platform,
  t.known_days,
  t.num_bought_items,
  t.num_viewed_items,
  t.minutes_from_view_p25,
  t.minutes_from_view_median,
  t.minutes_from_view_p75,
  t.minutes_from_view_p90,
  t.num_sessions,
  t.minutes_from_start_p25,
  t.minutes_from_start_median,
  t.minutes_from_start_p75,
  t.minutes_from_start_p90,
  t.num_first_sessions,
  t.sessions_before_p25,
  t.sessions_before_median,
  t.sessions_before_p75,
  t.sessions_before_p90,
  CAST(t.num_viewed_items AS DOUBLE PRECISION) / nullif(t.num_bought_items, 0) AS viewed_share,
  CAST(t.num_first_sessions AS DOUBLE PRECISION) / nullif(t.num_sessions, 0) AS first_session_share
FROM decision_times t;

COMMENT ON VIEW v_decision_times IS 'How long people take to buy.';

COMMENT ON COLUMN v_decision_times.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_decision_times.dt IS 'The shop''s day on which the sessions start.';

COMMENT ON COLUMN v_decision_times.platform IS 'Platform of the session''s first event; (all) for every one.';

COMMENT ON COLUMN v_decision_times.known_days IS 'Days before this one that the log covers, at most `marts.lookback_days`: with fewer, less is known of before. (days)';

COMMENT ON COLUMN v_decision_times.num_bought_items IS 'Different items bought, session by session. (items)';

COMMENT ON COLUMN v_decision_times.num_viewed_items IS 'Of them, those that the person had viewed within `marts.lookback_days` before, in whatever session. (items)';

COMMENT ON COLUMN v_decision_times.minutes_from_view_p25 IS 'Lower quartile of the time from an item''s first such view to its purchase. (minutes)';

COMMENT ON COLUMN v_decision_times.minutes_from_view_median IS 'Median of the time from an item''s first such view to its purchase. (minutes)';

COMMENT ON COLUMN v_decision_times.minutes_from_view_p75 IS 'Upper quartile of the time from an item''s first such view to its purchase. (minutes)';

COMMENT ON COLUMN v_decision_times.minutes_from_view_p90 IS '90th percentile of the time from an item''s first such view to its purchase. (minutes)';

COMMENT ON COLUMN v_decision_times.num_sessions IS 'Sessions with a purchase. (sessions)';

COMMENT ON COLUMN v_decision_times.minutes_from_start_p25 IS 'Lower quartile of the time from a session''s start to its first purchase. (minutes)';

COMMENT ON COLUMN v_decision_times.minutes_from_start_median IS 'Median of the time from a session''s start to its first purchase. (minutes)';

COMMENT ON COLUMN v_decision_times.minutes_from_start_p75 IS 'Upper quartile of the time from a session''s start to its first purchase. (minutes)';

COMMENT ON COLUMN v_decision_times.minutes_from_start_p90 IS '90th percentile of the time from a session''s start to its first purchase. (minutes)';

COMMENT ON COLUMN v_decision_times.num_first_sessions IS 'Of them, those without an earlier session of the person. (sessions)';

COMMENT ON COLUMN v_decision_times.sessions_before_p25 IS 'Lower quartile of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)';

COMMENT ON COLUMN v_decision_times.sessions_before_median IS 'Median of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)';

COMMENT ON COLUMN v_decision_times.sessions_before_p75 IS 'Upper quartile of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)';

COMMENT ON COLUMN v_decision_times.sessions_before_p90 IS '90th percentile of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)';

COMMENT ON COLUMN v_decision_times.viewed_share IS 'Share of items viewed before. (0 to 1)';

COMMENT ON COLUMN v_decision_times.first_session_share IS 'Share bought at once. (0 to 1)';

CREATE VIEW v_cart_abandonment AS
SELECT
  t.shop,
  t.dt,
  t.platform,
  t.category,
  t.num_carts,
  t.num_lines,
  t.num_bought,
  t.num_removed,
  t.num_abandoned,
  t.num_open,
  t.num_recovered,
  t.num_unpriced,
  t.value_abandoned,
  t.value_recovered,
  t.value_left,
  CAST(t.num_abandoned AS DOUBLE PRECISION) / nullif(t.num_bought + t.num_abandoned, 0) AS abandonment_rate,
  CAST(t.num_recovered AS DOUBLE PRECISION) / nullif(t.num_abandoned, 0) AS recovery_rate
FROM cart_abandonment t;

COMMENT ON VIEW v_cart_abandonment IS 'What became of the items that people put into carts.';

COMMENT ON COLUMN v_cart_abandonment.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_cart_abandonment.dt IS 'The shop''s day on which the sessions start.';

COMMENT ON COLUMN v_cart_abandonment.platform IS 'Platform of the session''s first event; (all) for every one.';

COMMENT ON COLUMN v_cart_abandonment.category IS 'Category of the item as of the day, the `marts.top_categories` with most events; (other), (none) where the item has none, (all) for every event, those without an item included.';

COMMENT ON COLUMN v_cart_abandonment.num_carts IS 'Sessions that put an item into the cart. (sessions)';

COMMENT ON COLUMN v_cart_abandonment.num_lines IS 'Items put into carts, once per session; the sum of the next four. (items)';

COMMENT ON COLUMN v_cart_abandonment.num_bought IS 'Bought by the same person within `marts.cart_hours` and `marts.cart_sessions`. (items)';

COMMENT ON COLUMN v_cart_abandonment.num_removed IS 'Taken out again in the same session, and not bought. (items)';

COMMENT ON COLUMN v_cart_abandonment.num_abandoned IS 'Left in the cart, and not bought in that time. (items)';

COMMENT ON COLUMN v_cart_abandonment.num_open IS 'Left in the cart while that time is not over; none once it is. (items)';

COMMENT ON COLUMN v_cart_abandonment.num_recovered IS 'Abandoned, but bought within `marts.recovery_days`, as far as is known. (items)';

COMMENT ON COLUMN v_cart_abandonment.num_unpriced IS 'Abandoned without a known price: missing from the values. (items)';

COMMENT ON COLUMN v_cart_abandonment.value_abandoned IS 'Price x quantity of abandoned items. (shop''s currency)';

COMMENT ON COLUMN v_cart_abandonment.value_recovered IS 'Price x quantity of the recovered ones, as they lay in the cart. (shop''s currency)';

COMMENT ON COLUMN v_cart_abandonment.value_left IS 'value_abandoned less value_recovered. (shop''s currency)';

COMMENT ON COLUMN v_cart_abandonment.abandonment_rate IS 'Share of decided items that were left. (0 to 1)';

COMMENT ON COLUMN v_cart_abandonment.recovery_rate IS 'Share of left items bought later. (0 to 1)';

CREATE VIEW v_realised AS
SELECT
  t.shop,
  t.dt,
  t.origin,
  t.surface,
  t.strategy,
  t.model_name,
  t.model_version,
  t.segment,
  t.list,
  t.k,
  t.window_days,
  t.num_lists,
  t.num_active,
  t.num_hits,
  t.ndcg_sum,
  t.ndcg_squares,
  t.ndcg_gain_squares,
  t.num_buyers,
  t.num_purchases,
  t.purchases_squares,
  t.num_listed_purchases,
  t.revenue,
  t.revenue_squares,
  t.listed_revenue,
  t.num_unpriced,
  CAST(t.num_hits AS DOUBLE PRECISION) / nullif(t.num_active, 0) AS hit_rate,
  CAST(t.ndcg_sum AS DOUBLE PRECISION) / nullif(t.num_active, 0) AS ndcg,
  CAST(t.num_buyers AS DOUBLE PRECISION) / nullif(t.num_lists, 0) AS buyer_share,
  CAST(t.num_listed_purchases AS DOUBLE PRECISION) / nullif(t.num_purchases, 0) AS listed_purchase_share,
  CAST(t.listed_revenue AS DOUBLE PRECISION) / nullif(t.revenue, 0) AS listed_revenue_share,
  CAST(t.revenue AS DOUBLE PRECISION) / nullif(t.num_lists, 0) AS revenue_per_list
FROM realised t;

COMMENT ON VIEW v_realised IS 'What people did after a night''s lists could be seen, counted per group of people.';

COMMENT ON COLUMN v_realised.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_realised.dt IS 'The night whose lists are judged.';

COMMENT ON COLUMN v_realised.origin IS 'published: readers could see the lists; replayed: `make backtest` made them afterwards from what was known then.';

COMMENT ON COLUMN v_realised.surface IS 'Where the lists were to be shown.';

COMMENT ON COLUMN v_realised.strategy IS 'Strategy of the list''s first item; held_out: drawn to see no model.';

COMMENT ON COLUMN v_realised.model_name IS 'Registered model, or popularity.';

COMMENT ON COLUMN v_realised.model_version IS 'Version of it.';

COMMENT ON COLUMN v_realised.segment IS '(all), or people by the length of their history or by the platform of their latest entry; platforms add up to (all), and so do lengths.';

COMMENT ON COLUMN v_realised.list IS 'shown: the night''s list; popular: the control, what was popular then, ranked for the same people under the same exclusions.';

COMMENT ON COLUMN v_realised.k IS 'How much of each list counts. (places)';

COMMENT ON COLUMN v_realised.window_days IS 'How long people were watched. (days)';

COMMENT ON COLUMN v_realised.num_lists IS 'Lists of the group. (lists)';

COMMENT ON COLUMN v_realised.num_active IS 'Of them, those whose person touched an item in the window. (lists)';

COMMENT ON COLUMN v_realised.num_hits IS 'Active lists with a touched item among the first k. (lists)';

COMMENT ON COLUMN v_realised.ndcg_sum IS 'Sum over active lists of NDCG at k; a touched item is relevant.';

COMMENT ON COLUMN v_realised.ndcg_squares IS 'Sum of its squares, for intervals.';

COMMENT ON COLUMN v_realised.ndcg_gain_squares IS 'Sum of the squares of NDCG less the control''s, for intervals.';

COMMENT ON COLUMN v_realised.num_buyers IS 'Lists whose person bought anything. (lists)';

COMMENT ON COLUMN v_realised.num_purchases IS 'Purchase rows of these people, of whatever item. (events)';

COMMENT ON COLUMN v_realised.purchases_squares IS 'Sum over lists of its squares, for intervals.';

COMMENT ON COLUMN v_realised.num_listed_purchases IS 'Of them, those of an item among the first k. (events)';

COMMENT ON COLUMN v_realised.revenue IS 'Sum of price x quantity over purchases, before returns. (shop''s currency)';

COMMENT ON COLUMN v_realised.revenue_squares IS 'Sum over lists of its squares, for intervals.';

COMMENT ON COLUMN v_realised.listed_revenue IS 'Of it, that of items among the first k. (shop''s currency)';

COMMENT ON COLUMN v_realised.num_unpriced IS 'Purchase rows without a price: no revenue is counted for them. (events)';

COMMENT ON COLUMN v_realised.hit_rate IS 'Share of active lists that held what was touched. (0 to 1)';

COMMENT ON COLUMN v_realised.ndcg IS 'Mean NDCG of active lists. (0 to 1)';

COMMENT ON COLUMN v_realised.buyer_share IS 'Share of lists whose person bought. (0 to 1)';

COMMENT ON COLUMN v_realised.listed_purchase_share IS 'Share of purchases that the lists held. (0 to 1)';

COMMENT ON COLUMN v_realised.listed_revenue_share IS 'Share of revenue that the lists held. (0 to 1)';

COMMENT ON COLUMN v_realised.revenue_per_list IS 'Revenue of a person with a list. (shop''s currency)';

CREATE VIEW v_realised_scores AS
SELECT
  t.shop,
  t.dt,
  t.score_name,
  t.contender,
  t.model_version,
  t.segment,
  t.window_days,
  t.num_foretold,
  t.num_people,
  t.num_positives,
  t.foretold_sum,
  t.auroc,
  t.average_precision,
  t.log_loss,
  t.ece,
  t.ece_by_chance,
  t.ece_by_chance_high,
  t.lift_first_decile,
  CAST(t.foretold_sum AS DOUBLE PRECISION) / nullif(t.num_people, 0) AS mean_foretold,
  CAST(t.num_positives AS DOUBLE PRECISION) / nullif(t.num_people, 0) AS observed_rate
FROM realised_scores t;

COMMENT ON VIEW v_realised_scores IS 'How good a night''s scores were, once what they foretold was over: one row per score, model and group of people.';

COMMENT ON COLUMN v_realised_scores.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_realised_scores.dt IS 'The night that foretold.';

COMMENT ON COLUMN v_realised_scores.score_name IS 'The task, such as churn or purchase.';

COMMENT ON COLUMN v_realised_scores.contender IS 'What foretold: rule, trees, encoder or combined.';

COMMENT ON COLUMN v_realised_scores.model_version IS 'Version of the task''s registered model.';

COMMENT ON COLUMN v_realised_scores.segment IS '(all); platform: of the latest event; activity: visits in the last 28 days; or a group of the task''s own.';

COMMENT ON COLUMN v_realised_scores.window_days IS 'How long people were watched. (days)';

COMMENT ON COLUMN v_realised_scores.num_foretold IS 'People with the score. (people)';

COMMENT ON COLUMN v_realised_scores.num_people IS 'Of them, those whose question has an answer: the numbers below are theirs. (people)';

COMMENT ON COLUMN v_realised_scores.num_positives IS 'Of these, those for whom it came true. (people)';

COMMENT ON COLUMN v_realised_scores.foretold_sum IS 'Sum of their probabilities: how many were expected. (people)';

COMMENT ON COLUMN v_realised_scores.auroc IS 'Chance that one for whom it came true had the higher score; null with one outcome. (0 to 1)';

COMMENT ON COLUMN v_realised_scores.average_precision IS 'Mean precision over those for whom it came true; null without any. (0 to 1)';

COMMENT ON COLUMN v_realised_scores.log_loss IS 'Mean of minus the logarithm of what was given to what happened. (nats)';

COMMENT ON COLUMN v_realised_scores.ece IS 'Expected calibration error over ten groups of equally many people. (0 to 1)';

COMMENT ON COLUMN v_realised_scores.ece_by_chance IS 'Its mean on as many people, were every probability right. (0 to 1)';

COMMENT ON COLUMN v_realised_scores.ece_by_chance_high IS 'What one such draw in forty would be above. (0 to 1)';

COMMENT ON COLUMN v_realised_scores.lift_first_decile IS 'How often it came true among the highest tenth, over that among everybody.';

COMMENT ON COLUMN v_realised_scores.mean_foretold IS 'Mean probability. (0 to 1)';

COMMENT ON COLUMN v_realised_scores.observed_rate IS 'Share of those for whom it came true. (0 to 1)';

CREATE VIEW v_realised_calibration AS
SELECT
  t.shop,
  t.dt,
  t.score_name,
  t.contender,
  t.model_version,
  t.bin,
  t.num_people,
  t.num_positives,
  t.foretold_sum,
  CAST(t.foretold_sum AS DOUBLE PRECISION) / nullif(t.num_people, 0) AS mean_foretold,
  CAST(t.num_positives AS DOUBLE PRECISION) / nullif(t.num_people, 0) AS observed_rate
FROM realised_calibration t;

COMMENT ON VIEW v_realised_calibration IS 'People of a night in groups of like probability: what was foretold of them, and what happened.';

COMMENT ON COLUMN v_realised_calibration.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_realised_calibration.dt IS 'The night that foretold.';

COMMENT ON COLUMN v_realised_calibration.score_name IS 'The task, such as churn or purchase.';

COMMENT ON COLUMN v_realised_calibration.contender IS 'What foretold: rule, trees, encoder or combined.';

COMMENT ON COLUMN v_realised_calibration.model_version IS 'Version of the task''s registered model.';

COMMENT ON COLUMN v_realised_calibration.bin IS '1 is least likely; ties can leave fewer than ten.';

COMMENT ON COLUMN v_realised_calibration.num_people IS 'People of the group. (people)';

COMMENT ON COLUMN v_realised_calibration.num_positives IS 'Of them, those for whom it came true. (people)';

COMMENT ON COLUMN v_realised_calibration.foretold_sum IS 'Sum of their probabilities: how many were expected. (people)';

COMMENT ON COLUMN v_realised_calibration.mean_foretold IS 'Mean probability. (0 to 1)';

COMMENT ON COLUMN v_realised_calibration.observed_rate IS 'Share of those for whom it came true. (0 to 1)';

CREATE VIEW v_realised_decisions AS
SELECT
  t.shop,
  t.dt,
  t.decision,
  t.arm,
  t.score_name,
  t.outcome,
  t.window_days,
  t.num_people,
  t.num_answered,
  t.num_positives,
  t.revenue,
  t.revenue_squares,
  t.margin,
  t.expected_value,
  t.cost,
  t.outcome_difference,
  t.outcome_difference_low,
  t.outcome_difference_high,
  t.revenue_difference,
  t.revenue_difference_low,
  t.revenue_difference_high,
  t.realised_value,
  t.realised_value_low,
  t.realised_value_high,
  CAST(t.num_positives AS DOUBLE PRECISION) / nullif(t.num_answered, 0) AS outcome_rate,
  CAST(t.revenue AS DOUBLE PRECISION) / nullif(t.num_people, 0) AS revenue_per_person,
  CAST(t.expected_value AS DOUBLE PRECISION) / nullif(t.num_people, 0) AS expected_value_per_person
FROM realised_decisions t;

COMMENT ON VIEW v_realised_decisions IS 'What became of those a night acted on, and of those it left alone to compare with: one row per decision and arm.';

COMMENT ON COLUMN v_realised_decisions.shop IS 'Name of the shop: one warehouse serves several.';

COMMENT ON COLUMN v_realised_decisions.dt IS 'The night that decided.';

COMMENT ON COLUMN v_realised_decisions.decision IS 'As in `decisions`.';

COMMENT ON COLUMN v_realised_decisions.arm IS 'act or control.';

COMMENT ON COLUMN v_realised_decisions.score_name IS 'The score that decided.';

COMMENT ON COLUMN v_realised_decisions.outcome IS 'Column of `labels` that acting is meant to move; null where none is.';

COMMENT ON COLUMN v_realised_decisions.window_days IS 'Days over which purchases count; an outcome may take longer. (days)';

COMMENT ON COLUMN v_realised_decisions.num_people IS 'People of the arm of whom anything is known since. (people)';

COMMENT ON COLUMN v_realised_decisions.num_answered IS 'Of them, those for whom the outcome is known. (people)';

COMMENT ON COLUMN v_realised_decisions.num_positives IS 'Of these, those for whom it is true. (people)';

COMMENT ON COLUMN v_realised_decisions.revenue IS 'Sum of price x quantity over their purchases in the window, before returns. (shop''s currency)';

COMMENT ON COLUMN v_realised_decisions.revenue_squares IS 'Sum over people of its squares, for intervals.';

COMMENT ON COLUMN v_realised_decisions.margin IS 'Share of a price that was left to the shop, as settings had it. (0 to 1)';

COMMENT ON COLUMN v_realised_decisions.expected_value IS 'Sum of what acting was expected to bring; of the control group, what it would have. (shop''s currency)';

COMMENT ON COLUMN v_realised_decisions.cost IS 'Sum of the offers'' cost, as though everybody redeemed theirs. (shop''s currency)';

COMMENT ON COLUMN v_realised_decisions.outcome_difference IS 'A person acted on less one left alone: share with the outcome; null of control or few. (-1 to 1)';

COMMENT ON COLUMN v_realised_decisions.outcome_difference_low IS 'Lower bound of its 95 % interval, by the normal approximation (Welch). (-1 to 1)';

COMMENT ON COLUMN v_realised_decisions.outcome_difference_high IS 'Upper bound of its 95 % interval, by the normal approximation (Welch). (-1 to 1)';

COMMENT ON COLUMN v_realised_decisions.revenue_difference IS 'A person acted on less one left alone: revenue; null of control or few. (shop''s currency)';

COMMENT ON COLUMN v_realised_decisions.revenue_difference_low IS 'Lower bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)';

COMMENT ON COLUMN v_realised_decisions.revenue_difference_high IS 'Upper bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)';

COMMENT ON COLUMN v_realised_decisions.realised_value IS 'Margin on the difference in revenue, less the mean cost: per person acted on. (shop''s currency)';

COMMENT ON COLUMN v_realised_decisions.realised_value_low IS 'Lower bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)';

COMMENT ON COLUMN v_realised_decisions.realised_value_high IS 'Upper bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)';

COMMENT ON COLUMN v_realised_decisions.outcome_rate IS 'Share with the outcome. (0 to 1)';

COMMENT ON COLUMN v_realised_decisions.revenue_per_person IS 'Mean revenue. (shop''s currency)';

COMMENT ON COLUMN v_realised_decisions.expected_value_per_person IS 'Mean expected value. (shop''s currency)';
