CREATE TABLE IF NOT EXISTS recommendations (
  row_key VARCHAR NOT NULL COMMENT 'shop|dt|surface|user_id|rank: one unique column for tools that want one.',
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The night''s day.',
  surface VARCHAR NOT NULL COMMENT 'Where it is shown.',
  user_id VARCHAR NOT NULL COMMENT 'In the lake the pseudonym, in the warehouse the shop''s own id.',
  rank INTEGER NOT NULL COMMENT '1 is best.',
  item_id VARCHAR NOT NULL COMMENT 'The shop''s item id.',
  score DOUBLE NOT NULL COMMENT 'Model score; falls with rank, comparable within one person only.',
  strategy VARCHAR NOT NULL COMMENT 'model; category: popular in the categories of a history that the model cannot read; platform: popular on the platform where the person was last; popular: popular in the shop; held_out: the same, by the draw of `score.held_out_share`.',
  reason_code VARCHAR NOT NULL COMMENT 'because_viewed, because_carted, because_bought, popular_in_category, popular_on_platform, popular_now, chosen_by_shop (a pin).',
  evidence_item_id VARCHAR COMMENT 'The item of the history without which this one would lose most score.',
  evidence_2_item_id VARCHAR COMMENT 'The next one, where its effect is not small beside the first''s.',
  evidence_3_item_id VARCHAR COMMENT 'The one after that.',
  rule VARCHAR COMMENT 'What a business rule did to the row: pinned, or cap_given_way where nothing else was left; else null.',
  model_name VARCHAR NOT NULL COMMENT 'Registered model, or popularity.',
  model_version VARCHAR NOT NULL COMMENT 'Version of it.',
  PRIMARY KEY (shop, dt, surface, user_id, rank)
) CLUSTER BY (shop, dt) COMMENT = 'One recommended item for one person on one surface.';

CREATE TABLE IF NOT EXISTS user_scores (
  row_key VARCHAR NOT NULL COMMENT 'shop|dt|score_name|user_id: one unique column for tools that want one.',
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The night''s day.',
  score_name VARCHAR NOT NULL COMMENT 'recency, frequency or monetary, which are ranks; or what is foretold, such as churn or purchase.',
  user_id VARCHAR NOT NULL COMMENT 'The shop''s own id of the person.',
  observed DOUBLE COMMENT 'What is ranked: hours since the latest event, visits, or spend, within the history window; null for what is foretold. (hours, visits or shop''s currency)',
  score DOUBLE NOT NULL COMMENT 'Of a rank the share of the others who did worse, equals sharing one; of what is foretold its calibrated probability; of coupon_uplift by how much a coupon raises the chance of buying; of fraud no probability, but the share of people who are less conspicuous. (0 to 1)',
  band INTEGER COMMENT 'The rank''s fifth: 1 is worst, 5 best; null for what is foretold.',
  decile INTEGER COMMENT 'Where the probability lies among the people it was calibrated on: 1 is least likely, 10 most; null for ranks.',
  flagged BOOLEAN COMMENT 'Likely enough that acting costs less than not acting, by the task''s costs of errors; null for ranks.',
  contender VARCHAR COMMENT 'What foretells: rule, trees, encoder, combined, anomaly or uplift; null for ranks.',
  model_version VARCHAR COMMENT 'Version of the task''s registered model; null for ranks.',
  reasons VARCHAR COMMENT 'JSON array: columns of `user_features` that raised the score most, strongest first; null for ranks.',
  outcome VARCHAR COMMENT 'Of several outcomes the likeliest, such as next_category''s; else null.',
  PRIMARY KEY (shop, dt, score_name, user_id)
) CLUSTER BY (shop, dt) COMMENT = 'One score of one person as of a night: where they stand among everybody, or what is foretold of them.';

CREATE TABLE IF NOT EXISTS decisions (
  row_key VARCHAR NOT NULL COMMENT 'shop|dt|decision|user_id: one unique column for tools that want one.',
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The night''s day.',
  decision VARCHAR NOT NULL COMMENT 'coupon, retention, promotion, cart_reminder or fraud_review; docs/conf.md has the settings.',
  user_id VARCHAR NOT NULL COMMENT 'In the lake the pseudonym, in the warehouse the shop''s own id.',
  arm VARCHAR NOT NULL COMMENT 'act; or control: do nothing, drawn by a hash, per decision the same people every night.',
  rank INTEGER NOT NULL COMMENT '1 is best; both arms are ranked together.',
  offer VARCHAR COMMENT 'What to send or do; null for the control group.',
  expected_value DOUBLE NOT NULL COMMENT 'What acting is expected to bring, or to save at most; of a coupon less its cost. (shop''s currency)',
  cost DOUBLE NOT NULL COMMENT 'Of the offer if it is redeemed; 0 for the control group. (shop''s currency)',
  score_name VARCHAR NOT NULL COMMENT 'The score of `user_scores` that decided.',
  score DOUBLE NOT NULL COMMENT 'Its probability. (0 to 1)',
  reasons VARCHAR NOT NULL COMMENT 'JSON array: the score''s reasons, strongest first.',
  PRIMARY KEY (shop, dt, decision, user_id)
) CLUSTER BY (shop, dt) COMMENT = 'One person whom a decision of the night concerns: to be acted on, or kept aside to see what acting does.';

CREATE TABLE IF NOT EXISTS items (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  item_id VARCHAR NOT NULL COMMENT 'The shop''s item id.',
  dt DATE NOT NULL COMMENT 'As of the end of this shop''s day: nothing later can move the row.',
  title VARCHAR COMMENT 'Latest title the log gave.',
  category VARCHAR COMMENT 'Latest category the log gave.',
  brand VARCHAR COMMENT 'Latest brand the log gave.',
  price DOUBLE COMMENT 'Latest price of one piece. (shop''s currency)',
  price_bucket INTEGER NOT NULL COMMENT 'Decile of the price among priced items, 1 to 10; 0 without a price.',
  first_seen TIMESTAMP_NTZ(6) NOT NULL COMMENT 'First event with the item in the window. (UTC)',
  last_seen TIMESTAMP_NTZ(6) NOT NULL COMMENT 'Last event with the item in the window. (UTC)',
  num_events BIGINT NOT NULL COMMENT 'Events of people (not bots) with the item in the window. (events)',
  num_recent BIGINT NOT NULL COMMENT 'Events in the latest days of `score.popular_days`: what baselines and fallback call popular. (events)',
  num_purchases BIGINT NOT NULL COMMENT 'Purchase rows in the window. (events)',
  PRIMARY KEY (shop, dt, item_id)
) COMMENT = 'One item as of a published night.';

CREATE TABLE IF NOT EXISTS daily_kpis (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The shop''s day on which the sessions start.',
  platform VARCHAR NOT NULL COMMENT 'Platform of the session''s first event; (all) for every one.',
  known_days INTEGER NOT NULL COMMENT 'Days before this one that the log covers, at most `marts.lookback_days`: with fewer, less is known of before. (days)',
  num_visitors BIGINT NOT NULL COMMENT 'Distinct visitors. (visitors)',
  num_new_visitors BIGINT NOT NULL COMMENT 'Of them, those without a session in the `marts.lookback_days` before, on whatever platform. (visitors)',
  num_returning_visitors BIGINT NOT NULL COMMENT 'Of them, the others. (visitors)',
  num_persons BIGINT NOT NULL COMMENT 'Distinct people on all their devices, as known at the end of the day. (people)',
  num_logged_in_persons BIGINT NOT NULL COMMENT 'Of them, those with a login on this platform that day. (people)',
  num_sessions BIGINT NOT NULL COMMENT 'Sessions. (sessions)',
  num_bounces BIGINT NOT NULL COMMENT 'Sessions with at most one event, impressions aside. (sessions)',
  num_sessions_with_cart BIGINT NOT NULL COMMENT 'Sessions with an addition to the cart. (sessions)',
  num_sessions_with_purchase BIGINT NOT NULL COMMENT 'Sessions with a purchase. (sessions)',
  num_events BIGINT NOT NULL COMMENT 'Events of any kind. (events)',
  num_views BIGINT NOT NULL COMMENT 'Item views. (events)',
  num_searches BIGINT NOT NULL COMMENT 'Searches. (events)',
  num_carts BIGINT NOT NULL COMMENT 'Additions to the cart. (events)',
  num_purchases BIGINT NOT NULL COMMENT 'Purchase rows. (events)',
  num_returns BIGINT NOT NULL COMMENT 'Return rows. (events)',
  num_reviews BIGINT NOT NULL COMMENT 'Reviews. (events)',
  num_coupons BIGINT NOT NULL COMMENT 'Coupon events. (events)',
  num_clicks BIGINT NOT NULL COMMENT 'Clicks on what was shown. (events)',
  num_impressions BIGINT NOT NULL COMMENT 'Times that something was shown. (events)',
  num_uncarts BIGINT NOT NULL COMMENT 'Removals from the cart. (events)',
  num_favourites BIGINT NOT NULL COMMENT 'Additions to a wish list. (events)',
  num_cancels BIGINT NOT NULL COMMENT 'Orders or parts of them withdrawn. (events)',
  num_orders BIGINT NOT NULL COMMENT 'Distinct orders; a session''s purchases without an order id are one. (orders)',
  num_pieces BIGINT NOT NULL COMMENT 'Pieces bought; an unknown quantity is one. (pieces)',
  revenue DOUBLE NOT NULL COMMENT 'Sum of price x quantity over purchases, before cancellations and returns. (shop''s currency)',
  num_unpriced_purchases BIGINT NOT NULL COMMENT 'Purchase rows without a price: no revenue is counted for them. (events)',
  num_returned_pieces BIGINT NOT NULL COMMENT 'Pieces returned that day, whenever they were bought. (pieces)',
  returned_value DOUBLE NOT NULL COMMENT 'Sum of price x quantity over returns; without a price nothing. (shop''s currency)',
  num_cancelled_pieces BIGINT NOT NULL COMMENT 'Pieces withdrawn that day, whenever they were ordered. (pieces)',
  cancelled_value DOUBLE NOT NULL COMMENT 'Sum of price x quantity over cancellations; without a price nothing. (shop''s currency)',
  num_bot_sessions BIGINT NOT NULL COMMENT 'Sessions of bots, in no other count. (sessions)',
  num_bot_events BIGINT NOT NULL COMMENT 'Events of bots, in no other count. (events)',
  PRIMARY KEY (shop, dt, platform)
) COMMENT = 'What a shop asks first about a day.';

CREATE TABLE IF NOT EXISTS funnels (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The shop''s day on which the sessions start.',
  platform VARCHAR NOT NULL COMMENT 'Platform of the session''s first event; (all) for every one.',
  category VARCHAR NOT NULL COMMENT 'Category of the item as of the day, the `marts.top_categories` with most events; (other), (none) where the item has none, (all) for every event, those without an item included.',
  campaign VARCHAR NOT NULL COMMENT 'Source of the visit, the day''s `marts.top_campaigns` with most sessions; (other), (none), (all).',
  num_sessions BIGINT NOT NULL COMMENT 'Sessions with an event on an item of the category; with any for (all). (sessions)',
  num_viewed BIGINT NOT NULL COMMENT 'Sessions with a view. (sessions)',
  num_carted BIGINT NOT NULL COMMENT 'Sessions with an addition to the cart, viewed before or not. (sessions)',
  num_bought BIGINT NOT NULL COMMENT 'Sessions with a purchase, whatever came before. (sessions)',
  num_viewed_carted BIGINT NOT NULL COMMENT 'Sessions with a view and later an addition to the cart. (sessions)',
  num_viewed_carted_bought BIGINT NOT NULL COMMENT 'Sessions with a view, later an addition to the cart and later a purchase. (sessions)',
  num_lost_after_view BIGINT NOT NULL COMMENT 'num_viewed less num_viewed_carted. (sessions)',
  num_lost_after_cart BIGINT NOT NULL COMMENT 'num_viewed_carted less num_viewed_carted_bought. (sessions)',
  PRIMARY KEY (shop, dt, platform, category, campaign)
) COMMENT = 'How far sessions get from view over cart to purchase.';

CREATE TABLE IF NOT EXISTS decision_transitions (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The shop''s day on which the sessions start.',
  platform VARCHAR NOT NULL COMMENT 'Platform of the session''s first event; (all) for every one.',
  from_kind VARCHAR NOT NULL COMMENT 'Kind of an event, among `marts.path_kinds`; or (start).',
  to_kind VARCHAR NOT NULL COMMENT 'Kind of the next one; or (end).',
  num_transitions BIGINT NOT NULL COMMENT 'Times that the one followed the other. (transitions)',
  num_from BIGINT NOT NULL COMMENT 'Times that anything followed from_kind. (transitions)',
  PRIMARY KEY (shop, dt, platform, from_kind, to_kind)
) COMMENT = 'What people do next within a session.';

CREATE TABLE IF NOT EXISTS decision_paths (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The shop''s day on which the sessions start.',
  platform VARCHAR NOT NULL COMMENT 'Platform of the session''s first event; (all) for every one.',
  path VARCHAR NOT NULL COMMENT 'Kinds in order, such as view>view>cart>purchase; (none) without an event of `marts.path_kinds`, (other) for all but the `marts.top_paths` of the platform.',
  num_paths BIGINT NOT NULL COMMENT 'Different paths in the row: 1, more for (other). (paths)',
  num_sessions BIGINT NOT NULL COMMENT 'Sessions that went this way. (sessions)',
  num_bought BIGINT NOT NULL COMMENT 'Of them, those with a purchase, also beyond the path''s end. (sessions)',
  num_all_sessions BIGINT NOT NULL COMMENT 'Sessions of the platform that day. (sessions)',
  PRIMARY KEY (shop, dt, platform, path)
) COMMENT = 'The most common ways through a session.';

CREATE TABLE IF NOT EXISTS decision_times (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The shop''s day on which the sessions start.',
  platform VARCHAR NOT NULL COMMENT 'Platform of the session''s first event; (all) for every one.',
  known_days INTEGER NOT NULL COMMENT 'Days before this one that the log covers, at most `marts.lookback_days`: with fewer, less is known of before. (days)',
  num_bought_items BIGINT NOT NULL COMMENT 'Different items bought, session by session. (items)',
  num_viewed_items BIGINT NOT NULL COMMENT 'Of them, those that the person had viewed within `marts.lookback_days` before, in whatever session. (items)',
  minutes_from_view_p25 DOUBLE COMMENT 'Lower quartile of the time from an item''s first such view to its purchase. (minutes)',
  minutes_from_view_median DOUBLE COMMENT 'Median of the time from an item''s first such view to its purchase. (minutes)',
  minutes_from_view_p75 DOUBLE COMMENT 'Upper quartile of the time from an item''s first such view to its purchase. (minutes)',
  minutes_from_view_p90 DOUBLE COMMENT '90th percentile of the time from an item''s first such view to its purchase. (minutes)',
  num_sessions BIGINT NOT NULL COMMENT 'Sessions with a purchase. (sessions)',
  minutes_from_start_p25 DOUBLE COMMENT 'Lower quartile of the time from a session''s start to its first purchase. (minutes)',
  minutes_from_start_median DOUBLE COMMENT 'Median of the time from a session''s start to its first purchase. (minutes)',
  minutes_from_start_p75 DOUBLE COMMENT 'Upper quartile of the time from a session''s start to its first purchase. (minutes)',
  minutes_from_start_p90 DOUBLE COMMENT '90th percentile of the time from a session''s start to its first purchase. (minutes)',
  num_first_sessions BIGINT NOT NULL COMMENT 'Of them, those without an earlier session of the person. (sessions)',
  sessions_before_p25 DOUBLE COMMENT 'Lower quartile of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)',
  sessions_before_median DOUBLE COMMENT 'Median of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)',
  sessions_before_p75 DOUBLE COMMENT 'Upper quartile of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)',
  sessions_before_p90 DOUBLE COMMENT '90th percentile of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)',
  PRIMARY KEY (shop, dt, platform)
) COMMENT = 'How long people take to buy.';

CREATE TABLE IF NOT EXISTS cart_abandonment (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The shop''s day on which the sessions start.',
  platform VARCHAR NOT NULL COMMENT 'Platform of the session''s first event; (all) for every one.',
  category VARCHAR NOT NULL COMMENT 'Category of the item as of the day, the `marts.top_categories` with most events; (other), (none) where the item has none, (all) for every event, those without an item included.',
  num_carts BIGINT NOT NULL COMMENT 'Sessions that put an item into the cart. (sessions)',
  num_lines BIGINT NOT NULL COMMENT 'Items put into carts, once per session; the sum of the next four. (items)',
  num_bought BIGINT NOT NULL COMMENT 'Bought by the same person within `marts.cart_hours` and `marts.cart_sessions`. (items)',
  num_removed BIGINT NOT NULL COMMENT 'Taken out again in the same session, and not bought. (items)',
  num_abandoned BIGINT NOT NULL COMMENT 'Left in the cart, and not bought in that time. (items)',
  num_open BIGINT NOT NULL COMMENT 'Left in the cart while that time is not over; none once it is. (items)',
  num_recovered BIGINT NOT NULL COMMENT 'Abandoned, but bought within `marts.recovery_days`, as far as is known. (items)',
  num_unpriced BIGINT NOT NULL COMMENT 'Abandoned without a known price: missing from the values. (items)',
  value_abandoned DOUBLE NOT NULL COMMENT 'Price x quantity of abandoned items. (shop''s currency)',
  value_recovered DOUBLE NOT NULL COMMENT 'Price x quantity of the recovered ones, as they lay in the cart. (shop''s currency)',
  value_left DOUBLE NOT NULL COMMENT 'value_abandoned less value_recovered. (shop''s currency)',
  PRIMARY KEY (shop, dt, platform, category)
) COMMENT = 'What became of the items that people put into carts.';

CREATE TABLE IF NOT EXISTS realised (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The night whose lists are judged.',
  origin VARCHAR NOT NULL COMMENT 'published: readers could see the lists; replayed: `make backtest` made them afterwards from what was known then.',
  surface VARCHAR NOT NULL COMMENT 'Where the lists were to be shown.',
  strategy VARCHAR NOT NULL COMMENT 'Strategy of the list''s first item; held_out: drawn to see no model.',
  model_name VARCHAR NOT NULL COMMENT 'Registered model, or popularity.',
  model_version VARCHAR NOT NULL COMMENT 'Version of it.',
  segment VARCHAR NOT NULL COMMENT '(all), or people by the length of their history or by the platform of their latest entry; platforms add up to (all), and so do lengths.',
  list VARCHAR NOT NULL COMMENT 'shown: the night''s list; popular: the control, what was popular then, ranked for the same people under the same exclusions.',
  k INTEGER NOT NULL COMMENT 'How much of each list counts. (places)',
  window_days INTEGER NOT NULL COMMENT 'How long people were watched. (days)',
  num_lists BIGINT NOT NULL COMMENT 'Lists of the group. (lists)',
  num_active BIGINT NOT NULL COMMENT 'Of them, those whose person touched an item in the window. (lists)',
  num_hits BIGINT NOT NULL COMMENT 'Active lists with a touched item among the first k. (lists)',
  ndcg_sum DOUBLE NOT NULL COMMENT 'Sum over active lists of NDCG at k; a touched item is relevant.',
  ndcg_squares DOUBLE NOT NULL COMMENT 'Sum of its squares, for intervals.',
  ndcg_gain_squares DOUBLE NOT NULL COMMENT 'Sum of the squares of NDCG less the control''s, for intervals.',
  num_buyers BIGINT NOT NULL COMMENT 'Lists whose person bought anything. (lists)',
  num_purchases BIGINT NOT NULL COMMENT 'Purchase rows of these people, of whatever item. (events)',
  purchases_squares DOUBLE NOT NULL COMMENT 'Sum over lists of its squares, for intervals.',
  num_listed_purchases BIGINT NOT NULL COMMENT 'Of them, those of an item among the first k. (events)',
  revenue DOUBLE NOT NULL COMMENT 'Sum of price x quantity over purchases, before returns. (shop''s currency)',
  revenue_squares DOUBLE NOT NULL COMMENT 'Sum over lists of its squares, for intervals.',
  listed_revenue DOUBLE NOT NULL COMMENT 'Of it, that of items among the first k. (shop''s currency)',
  num_unpriced BIGINT NOT NULL COMMENT 'Purchase rows without a price: no revenue is counted for them. (events)',
  PRIMARY KEY (shop, dt, origin, surface, strategy, model_name, model_version, segment, list, k)
) COMMENT = 'What people did after a night''s lists could be seen, counted per group of people.';

CREATE TABLE IF NOT EXISTS realised_scores (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The night that foretold.',
  score_name VARCHAR NOT NULL COMMENT 'The task, such as churn or purchase.',
  contender VARCHAR NOT NULL COMMENT 'What foretold: rule, trees, encoder or combined.',
  model_version VARCHAR NOT NULL COMMENT 'Version of the task''s registered model.',
  segment VARCHAR NOT NULL COMMENT '(all); platform: of the latest event; activity: visits in the last 28 days; or a group of the task''s own.',
  window_days INTEGER NOT NULL COMMENT 'How long people were watched. (days)',
  num_foretold BIGINT NOT NULL COMMENT 'People with the score. (people)',
  num_people BIGINT NOT NULL COMMENT 'Of them, those whose question has an answer: the numbers below are theirs. (people)',
  num_positives BIGINT NOT NULL COMMENT 'Of these, those for whom it came true. (people)',
  foretold_sum DOUBLE NOT NULL COMMENT 'Sum of their probabilities: how many were expected. (people)',
  auroc DOUBLE COMMENT 'Chance that one for whom it came true had the higher score; null with one outcome. (0 to 1)',
  average_precision DOUBLE COMMENT 'Mean precision over those for whom it came true; null without any. (0 to 1)',
  log_loss DOUBLE COMMENT 'Mean of minus the logarithm of what was given to what happened. (nats)',
  ece DOUBLE COMMENT 'Expected calibration error over ten groups of equally many people. (0 to 1)',
  ece_by_chance DOUBLE COMMENT 'Its mean on as many people, were every probability right. (0 to 1)',
  ece_by_chance_high DOUBLE COMMENT 'What one such draw in forty would be above. (0 to 1)',
  lift_first_decile DOUBLE COMMENT 'How often it came true among the highest tenth, over that among everybody.',
  PRIMARY KEY (shop, dt, score_name, model_version, segment)
) COMMENT = 'How good a night''s scores were, once what they foretold was over: one row per score, model and group of people.';

CREATE TABLE IF NOT EXISTS realised_calibration (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The night that foretold.',
  score_name VARCHAR NOT NULL COMMENT 'The task, such as churn or purchase.',
  contender VARCHAR NOT NULL COMMENT 'What foretold: rule, trees, encoder or combined.',
  model_version VARCHAR NOT NULL COMMENT 'Version of the task''s registered model.',
  bin INTEGER NOT NULL COMMENT '1 is least likely; ties can leave fewer than ten.',
  num_people BIGINT NOT NULL COMMENT 'People of the group. (people)',
  num_positives BIGINT NOT NULL COMMENT 'Of them, those for whom it came true. (people)',
  foretold_sum DOUBLE NOT NULL COMMENT 'Sum of their probabilities: how many were expected. (people)',
  PRIMARY KEY (shop, dt, score_name, model_version, bin)
) COMMENT = 'People of a night in groups of like probability: what was foretold of them, and what happened.';

CREATE TABLE IF NOT EXISTS realised_decisions (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The night that decided.',
  decision VARCHAR NOT NULL COMMENT 'As in `decisions`.',
  arm VARCHAR NOT NULL COMMENT 'act or control.',
  score_name VARCHAR NOT NULL COMMENT 'The score that decided.',
  outcome VARCHAR COMMENT 'Column of `labels` that acting is meant to move; null where none is.',
  window_days INTEGER NOT NULL COMMENT 'Days over which purchases count; an outcome may take longer. (days)',
  num_people BIGINT NOT NULL COMMENT 'People of the arm of whom anything is known since. (people)',
  num_answered BIGINT NOT NULL COMMENT 'Of them, those for whom the outcome is known. (people)',
  num_positives BIGINT NOT NULL COMMENT 'Of these, those for whom it is true. (people)',
  revenue DOUBLE NOT NULL COMMENT 'Sum of price x quantity over their purchases in the window, before returns. (shop''s currency)',
  revenue_squares DOUBLE NOT NULL COMMENT 'Sum over people of its squares, for intervals.',
  margin DOUBLE NOT NULL COMMENT 'Share of a price that was left to the shop, as settings had it. (0 to 1)',
  expected_value DOUBLE NOT NULL COMMENT 'Sum of what acting was expected to bring; of the control group, what it would have. (shop''s currency)',
  cost DOUBLE NOT NULL COMMENT 'Sum of the offers'' cost, as though everybody redeemed theirs. (shop''s currency)',
  outcome_difference DOUBLE COMMENT 'A person acted on less one left alone: share with the outcome; null of control or few. (-1 to 1)',
  outcome_difference_low DOUBLE COMMENT 'Lower bound of its 95 % interval, by the normal approximation (Welch). (-1 to 1)',
  outcome_difference_high DOUBLE COMMENT 'Upper bound of its 95 % interval, by the normal approximation (Welch). (-1 to 1)',
  revenue_difference DOUBLE COMMENT 'A person acted on less one left alone: revenue; null of control or few. (shop''s currency)',
  revenue_difference_low DOUBLE COMMENT 'Lower bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)',
  revenue_difference_high DOUBLE COMMENT 'Upper bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)',
  realised_value DOUBLE COMMENT 'Margin on the difference in revenue, less the mean cost: per person acted on. (shop''s currency)',
  realised_value_low DOUBLE COMMENT 'Lower bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)',
  realised_value_high DOUBLE COMMENT 'Upper bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)',
  PRIMARY KEY (shop, dt, decision, arm)
) COMMENT = 'What became of those a night acted on, and of those it left alone to compare with: one row per decision and arm.';

CREATE TABLE IF NOT EXISTS users (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  pseudonym VARCHAR NOT NULL COMMENT 'What lake, models and reports hold.',
  shop_id VARCHAR NOT NULL COMMENT 'The shop''s own user or device id.',
  id_kind VARCHAR NOT NULL COMMENT 'user or device.',
  PRIMARY KEY (shop, pseudonym)
) COMMENT = 'The only place that maps pseudonyms back to the shop''s ids.';

CREATE TABLE IF NOT EXISTS publish_log (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The night''s day.',
  partition_name VARCHAR NOT NULL COMMENT 'The night''s partition in the lake: shop/table/dt=DAY.',
  publish_id VARCHAR NOT NULL COMMENT 'Unique name of this entry.',
  action VARCHAR NOT NULL COMMENT 'published, or rolled_back: readers were pointed at a night that was there already.',
  published_at TIMESTAMP_NTZ(6) NOT NULL COMMENT 'Commit time. (UTC)',
  run_id VARCHAR NOT NULL COMMENT 'The orchestrator''s run.',
  content_hash VARCHAR NOT NULL COMMENT 'Hash of the published rows, independent of their order.',
  inputs VARCHAR NOT NULL COMMENT 'JSON: each partition that was read, with the hash of its rows.',
  num_rows BIGINT NOT NULL COMMENT 'Rows published. (rows)',
  num_users BIGINT NOT NULL COMMENT 'People covered. (people)',
  fallback_share DOUBLE NOT NULL COMMENT 'Share of people served by popularity. (0 to 1)',
  model_name VARCHAR NOT NULL COMMENT 'Champion that scored.',
  model_version VARCHAR NOT NULL COMMENT 'Its version.',
  audits VARCHAR NOT NULL COMMENT 'JSON: each audit with what it saw.',
  num_bytes BIGINT NOT NULL COMMENT 'Bytes of the files that were loaded. (bytes)',
  seconds DOUBLE NOT NULL COMMENT 'Stage, audit and commit. (s)',
  previous_publish_id VARCHAR COMMENT 'The publication that readers saw before; null for the first.',
  restored_publish_id VARCHAR COMMENT 'The publication that a rollback shows again; null for others.',
  PRIMARY KEY (publish_id)
) COMMENT = 'One move of what readers see, append-only: a publication of a night, or a rollback to one.';

CREATE TABLE IF NOT EXISTS publish_current (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The night that v_recommendations_current shows.',
  publish_id VARCHAR NOT NULL COMMENT 'Its row in publish_log.',
  moved_at TIMESTAMP_NTZ(6) NOT NULL COMMENT 'Since when readers see it. (UTC)',
  rolled_from DATE COMMENT 'After a rollback, the night that readers saw before it.',
  PRIMARY KEY (shop)
) COMMENT = 'Which night readers see: one row per shop, moved by publishing and by a rollback.';

CREATE TABLE IF NOT EXISTS published_nights (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The night''s day.',
  publish_id VARCHAR NOT NULL COMMENT 'The publication that its rows are of.',
  PRIMARY KEY (shop, dt)
) COMMENT = 'Nights whose rows the warehouse holds: what a rollback can show.';

CREATE TABLE IF NOT EXISTS published_marts (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  table_name VARCHAR NOT NULL COMMENT 'Table by day.',
  dt DATE NOT NULL COMMENT 'Its day.',
  content_hash VARCHAR NOT NULL COMMENT 'Hash of the day''s rows in the lake.',
  num_rows BIGINT NOT NULL COMMENT 'Rows of the day; 0 where nobody came. (rows)',
  PRIMARY KEY (shop, table_name, dt)
) COMMENT = 'Which content of each day readers see, of the analysis tables and of what is realised; they keep every day.';

CREATE TABLE IF NOT EXISTS crm_states (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The night''s day.',
  user_id VARCHAR NOT NULL COMMENT 'The shop''s own id of the person.',
  content_hash BIGINT NOT NULL COMMENT 'Hash of items, their attributes, order and reasons.',
  changed_at TIMESTAMP_NTZ(6) NOT NULL COMMENT 'Since when readers saw this content. (UTC)',
  PRIMARY KEY (shop, dt, user_id)
) CLUSTER BY (shop, dt) COMMENT = 'What a person''s row in crm_users said in a night, and since when readers saw it; read crm_users instead.';

CREATE TABLE IF NOT EXISTS crm_gone (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  user_id VARCHAR NOT NULL COMMENT 'The shop''s own id of the person.',
  deleted_at TIMESTAMP_NTZ(6) NOT NULL COMMENT 'Since when readers see no row. (UTC)',
  PRIMARY KEY (shop, user_id)
) COMMENT = 'People who had a row in crm_users and lost it; read crm_deletions instead.';

CREATE TABLE IF NOT EXISTS promotions (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The night''s day.',
  decision_id VARCHAR NOT NULL COMMENT 'Unique name of the decision; a re-run of the same decision keeps it.',
  decided_at TIMESTAMP_NTZ(6) NOT NULL COMMENT 'When. (UTC)',
  model_name VARCHAR NOT NULL COMMENT 'Registered model.',
  candidate_version VARCHAR COMMENT 'Version under trial; null when none was trained.',
  champion_version VARCHAR COMMENT 'Champion before the decision; null when there was none.',
  decision VARCHAR NOT NULL COMMENT 'promoted, kept or none.',
  reason VARCHAR NOT NULL COMMENT 'The rule''s sentence with the numbers.',
  metrics VARCHAR NOT NULL COMMENT 'JSON: metrics of candidate, champion and baselines on the same rows.',
  rule VARCHAR NOT NULL COMMENT 'JSON: the rule as configured.',
  PRIMARY KEY (decision_id)
) COMMENT = 'One decision on a candidate model, append-only.';

CREATE TABLE IF NOT EXISTS data_quality (
  shop VARCHAR NOT NULL COMMENT 'Name of the shop: one warehouse serves several.',
  dt DATE NOT NULL COMMENT 'The night''s day.',
  table_name VARCHAR NOT NULL COMMENT 'Table that was checked.',
  expectation VARCHAR NOT NULL COMMENT 'Name of the expectation.',
  severity VARCHAR NOT NULL COMMENT 'stop or warn.',
  success BOOLEAN NOT NULL COMMENT 'Whether it held.',
  observed VARCHAR NOT NULL COMMENT 'What was seen; never a value of a person''s column.',
  PRIMARY KEY (shop, dt, table_name, expectation)
) COMMENT = 'One expectation''s verdict on one partition, append-only.';

CREATE TABLE IF NOT EXISTS warehouse_schema (
  fingerprint VARCHAR NOT NULL COMMENT 'SHA-256 of the statements that made it.'
) COMMENT = 'One row: what the definitions of this warehouse were made from.';

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

CREATE VIEW v_recommendations_current (
  row_key COMMENT 'shop|dt|surface|user_id|rank: one unique column for tools that want one.',
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The night''s day.',
  surface COMMENT 'Where it is shown.',
  user_id COMMENT 'In the lake the pseudonym, in the warehouse the shop''s own id.',
  rank COMMENT '1 is best.',
  item_id COMMENT 'The shop''s item id.',
  score COMMENT 'Model score; falls with rank, comparable within one person only.',
  strategy COMMENT 'model; category: popular in the categories of a history that the model cannot read; platform: popular on the platform where the person was last; popular: popular in the shop; held_out: the same, by the draw of `score.held_out_share`.',
  reason_code COMMENT 'because_viewed, because_carted, because_bought, popular_in_category, popular_on_platform, popular_now, chosen_by_shop (a pin).',
  evidence_item_id COMMENT 'The item of the history without which this one would lose most score.',
  evidence_2_item_id COMMENT 'The next one, where its effect is not small beside the first''s.',
  evidence_3_item_id COMMENT 'The one after that.',
  rule COMMENT 'What a business rule did to the row: pinned, or cap_given_way where nothing else was left; else null.',
  model_name COMMENT 'Registered model, or popularity.',
  model_version COMMENT 'Version of it.',
  title COMMENT 'Latest title the log gave.',
  category COMMENT 'Latest category the log gave.',
  brand COMMENT 'Latest brand the log gave.',
  price COMMENT 'Latest price of one piece. (shop''s currency)',
  publish_id COMMENT 'The publication, a row of publish_log.'
) COMMENT = 'The recommendations of the night that publish_current names, with their items.' AS
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

CREATE VIEW v_user_scores_current (
  row_key COMMENT 'shop|dt|score_name|user_id: one unique column for tools that want one.',
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The night''s day.',
  score_name COMMENT 'recency, frequency or monetary, which are ranks; or what is foretold, such as churn or purchase.',
  user_id COMMENT 'The shop''s own id of the person.',
  observed COMMENT 'What is ranked: hours since the latest event, visits, or spend, within the history window; null for what is foretold. (hours, visits or shop''s currency)',
  score COMMENT 'Of a rank the share of the others who did worse, equals sharing one; of what is foretold its calibrated probability; of coupon_uplift by how much a coupon raises the chance of buying; of fraud no probability, but the share of people who are less conspicuous. (0 to 1)',
  band COMMENT 'The rank''s fifth: 1 is worst, 5 best; null for what is foretold.',
  decile COMMENT 'Where the probability lies among the people it was calibrated on: 1 is least likely, 10 most; null for ranks.',
  flagged COMMENT 'Likely enough that acting costs less than not acting, by the task''s costs of errors; null for ranks.',
  contender COMMENT 'What foretells: rule, trees, encoder, combined, anomaly or uplift; null for ranks.',
  model_version COMMENT 'Version of the task''s registered model; null for ranks.',
  reasons COMMENT 'JSON array: columns of `user_features` that raised the score most, strongest first; null for ranks.',
  outcome COMMENT 'Of several outcomes the likeliest, such as next_category''s; else null.',
  user_key COMMENT 'shop|user_id: joins facts and scores with v_dim_users.',
  publish_id COMMENT 'The publication, a row of publish_log.'
) COMMENT = 'Where people stand and what is foretold of them, in the night that publish_current names.' AS
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

CREATE VIEW v_decisions_current (
  row_key COMMENT 'shop|dt|decision|user_id: one unique column for tools that want one.',
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The night''s day.',
  decision COMMENT 'coupon, retention, promotion, cart_reminder or fraud_review; docs/conf.md has the settings.',
  user_id COMMENT 'In the lake the pseudonym, in the warehouse the shop''s own id.',
  arm COMMENT 'act; or control: do nothing, drawn by a hash, per decision the same people every night.',
  rank COMMENT '1 is best; both arms are ranked together.',
  offer COMMENT 'What to send or do; null for the control group.',
  expected_value COMMENT 'What acting is expected to bring, or to save at most; of a coupon less its cost. (shop''s currency)',
  cost COMMENT 'Of the offer if it is redeemed; 0 for the control group. (shop''s currency)',
  score_name COMMENT 'The score of `user_scores` that decided.',
  score COMMENT 'Its probability. (0 to 1)',
  reasons COMMENT 'JSON array: the score''s reasons, strongest first.',
  user_key COMMENT 'shop|user_id: joins facts and scores with v_dim_users.',
  publish_id COMMENT 'The publication, a row of publish_log.'
) COMMENT = 'Whom to act on, and whom to leave alone to compare with, in the night that publish_current names.' AS
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

CREATE VIEW v_freshness (
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The night''s day.',
  publish_id COMMENT 'The publication, a row of publish_log.',
  published_at COMMENT 'Commit time. (UTC)',
  moved_at COMMENT 'Since when readers see this night. (UTC)',
  hours_old COMMENT 'Since the publication, whatever was shown in between. (h)',
  num_rows COMMENT 'Rows published. (rows)',
  num_users COMMENT 'People covered. (people)',
  fallback_share COMMENT 'Share of people served by popularity. (0 to 1)',
  model_name COMMENT 'Champion that scored.',
  model_version COMMENT 'Its version.'
) COMMENT = 'Per shop how old the recommendations are that readers see.' AS
SELECT
  c.shop,
  c.dt,
  c.publish_id,
  l.published_at,
  c.moved_at,
  DATEDIFF('second', l.published_at, SYSDATE()) / 3600 AS hours_old,
  l.num_rows,
  l.num_users,
  l.fallback_share,
  l.model_name,
  l.model_version
FROM publish_current c
JOIN publish_log l ON l.publish_id = c.publish_id;

CREATE VIEW v_fact_recommendations (
  row_key COMMENT 'shop|dt|surface|user_id|rank: one unique column for tools that want one.',
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The night''s day.',
  surface COMMENT 'Where it is shown.',
  user_id COMMENT 'In the lake the pseudonym, in the warehouse the shop''s own id.',
  rank COMMENT '1 is best.',
  item_id COMMENT 'The shop''s item id.',
  score COMMENT 'Model score; falls with rank, comparable within one person only.',
  strategy COMMENT 'model; category: popular in the categories of a history that the model cannot read; platform: popular on the platform where the person was last; popular: popular in the shop; held_out: the same, by the draw of `score.held_out_share`.',
  reason_code COMMENT 'because_viewed, because_carted, because_bought, popular_in_category, popular_on_platform, popular_now, chosen_by_shop (a pin).',
  evidence_item_id COMMENT 'The item of the history without which this one would lose most score.',
  evidence_2_item_id COMMENT 'The next one, where its effect is not small beside the first''s.',
  evidence_3_item_id COMMENT 'The one after that.',
  rule COMMENT 'What a business rule did to the row: pinned, or cap_given_way where nothing else was left; else null.',
  model_name COMMENT 'Registered model, or popularity.',
  model_version COMMENT 'Version of it.',
  item_key COMMENT 'shop|dt|item_id: joins v_fact_recommendations with v_dim_items.',
  user_key COMMENT 'shop|user_id: joins facts and scores with v_dim_users.',
  night_key COMMENT 'shop|dt: joins v_fact_recommendations with v_dim_nights.'
) COMMENT = 'Star schema, the facts: every recommended item of every night that the warehouse holds.' AS
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

CREATE VIEW v_dim_items (
  item_key COMMENT 'shop|dt|item_id: joins v_fact_recommendations with v_dim_items.',
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  item_id COMMENT 'The shop''s item id.',
  dt COMMENT 'As of the end of this shop''s day: nothing later can move the row.',
  title COMMENT 'Latest title the log gave.',
  category COMMENT 'Latest category the log gave.',
  brand COMMENT 'Latest brand the log gave.',
  price COMMENT 'Latest price of one piece. (shop''s currency)',
  price_bucket COMMENT 'Decile of the price among priced items, 1 to 10; 0 without a price.',
  first_seen COMMENT 'First event with the item in the window. (UTC)',
  last_seen COMMENT 'Last event with the item in the window. (UTC)',
  num_events COMMENT 'Events of people (not bots) with the item in the window. (events)',
  num_recent COMMENT 'Events in the latest days of `score.popular_days`: what baselines and fallback call popular. (events)',
  num_purchases COMMENT 'Purchase rows in the window. (events)'
) COMMENT = 'Star schema: items with their attributes, as of each night that the warehouse holds.' AS
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

CREATE VIEW v_dim_users (
  user_key COMMENT 'shop|user_id: joins facts and scores with v_dim_users.',
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  user_id COMMENT 'The shop''s own id of the person.',
  id_kind COMMENT 'user or device.'
) COMMENT = 'Star schema: people by the shop''s own id; a login and a device are two.' AS
SELECT
  u.shop || '|' || u.shop_id AS user_key,
  u.shop,
  u.shop_id AS user_id,
  u.id_kind
FROM users u;

CREATE VIEW v_dim_nights (
  night_key COMMENT 'shop|dt: joins v_fact_recommendations with v_dim_nights.',
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The night''s day.',
  publish_id COMMENT 'The publication, a row of publish_log.',
  is_current COMMENT 'Whether readers of the views named current see this night.',
  published_at COMMENT 'Commit time. (UTC)',
  run_id COMMENT 'The orchestrator''s run.',
  num_rows COMMENT 'Rows published. (rows)',
  num_users COMMENT 'People covered. (people)',
  fallback_share COMMENT 'Share of people served by popularity. (0 to 1)',
  model_name COMMENT 'Champion that scored.',
  model_version COMMENT 'Its version.'
) COMMENT = 'Star schema: the nights that the warehouse holds, with what was published and by which model.' AS
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

CREATE VIEW v_crm_seen (
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The night''s day.',
  user_id COMMENT 'The shop''s own id of the person.',
  content_hash COMMENT 'Hash of what the payload says: items, their attributes, order and reasons.',
  changed_at COMMENT 'Since when readers see this content; moves only when it does. (UTC)',
  moved_at COMMENT 'Since when readers see this night. (UTC)'
) COMMENT = 'Per person of the current night the content''s hash and since when readers see it.' AS
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

CREATE VIEW crm_users (
  row_key COMMENT 'shop|user_id: one unique column for tools that want one.',
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The night''s day.',
  user_id COMMENT 'The shop''s own id of the person.',
  payload COMMENT 'JSON: the recommendations of every surface, best first, with their items.',
  content_hash COMMENT 'Hash of what the payload says: items, their attributes, order and reasons.',
  changed_at COMMENT 'Since when readers see this content; moves only when it does. (UTC)'
) COMMENT = 'One row per person of the current night, wide: everything that a CRM tool shows, as JSON.' AS
SELECT
  s.shop || '|' || s.user_id AS row_key,
  s.shop,
  s.dt,
  s.user_id,
  p.payload,
  s.content_hash,
  s.changed_at
FROM v_crm_seen s
JOIN (SELECT r.shop, r.dt, r.user_id, TO_JSON(OBJECT_CONSTRUCT('recommendations', ARRAY_AGG(OBJECT_CONSTRUCT_KEEP_NULL('surface', r.surface, 'rank', r.rank, 'item_id', r.item_id, 'title', i.title, 'category', i.category, 'brand', i.brand, 'price', i.price, 'reason_code', r.reason_code)) WITHIN GROUP (ORDER BY r.surface, r.rank))) AS payload FROM recommendations r LEFT JOIN items i ON i.shop = r.shop AND i.dt = r.dt AND i.item_id = r.item_id GROUP BY r.shop, r.dt, r.user_id) p ON p.shop = s.shop AND p.dt = s.dt AND p.user_id = s.user_id;

CREATE VIEW crm_changed (
  row_key COMMENT 'shop|user_id: one unique column for tools that want one.',
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The night''s day.',
  user_id COMMENT 'The shop''s own id of the person.',
  payload COMMENT 'JSON: the recommendations of every surface, best first, with their items.',
  content_hash COMMENT 'Hash of what the payload says: items, their attributes, order and reasons.',
  changed_at COMMENT 'Since when readers see this content; moves only when it does. (UTC)'
) COMMENT = 'The rows of crm_users whose content changed when readers were last given another night.' AS
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

CREATE VIEW crm_deletions (
  row_key COMMENT 'shop|user_id: one unique column for tools that want one.',
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  user_id COMMENT 'The shop''s own id of the person.',
  deleted_at COMMENT 'Since when readers see no row. (UTC)'
) COMMENT = 'People who had a row in crm_users once and have none now.' AS
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

CREATE VIEW v_daily_kpis (
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The shop''s day on which the sessions start.',
  platform COMMENT 'Platform of the session''s first event; (all) for every one.',
  known_days COMMENT 'Days before this one that the log covers, at most `marts.lookback_days`: with fewer, less is known of before. (days)',
  num_visitors COMMENT 'Distinct visitors. (visitors)',
  num_new_visitors COMMENT 'Of them, those without a session in the `marts.lookback_days` before, on whatever platform. (visitors)',
  num_returning_visitors COMMENT 'Of them, the others. (visitors)',
  num_persons COMMENT 'Distinct people on all their devices, as known at the end of the day. (people)',
  num_logged_in_persons COMMENT 'Of them, those with a login on this platform that day. (people)',
  num_sessions COMMENT 'Sessions. (sessions)',
  num_bounces COMMENT 'Sessions with at most one event, impressions aside. (sessions)',
  num_sessions_with_cart COMMENT 'Sessions with an addition to the cart. (sessions)',
  num_sessions_with_purchase COMMENT 'Sessions with a purchase. (sessions)',
  num_events COMMENT 'Events of any kind. (events)',
  num_views COMMENT 'Item views. (events)',
  num_searches COMMENT 'Searches. (events)',
  num_carts COMMENT 'Additions to the cart. (events)',
  num_purchases COMMENT 'Purchase rows. (events)',
  num_returns COMMENT 'Return rows. (events)',
  num_reviews COMMENT 'Reviews. (events)',
  num_coupons COMMENT 'Coupon events. (events)',
  num_clicks COMMENT 'Clicks on what was shown. (events)',
  num_impressions COMMENT 'Times that something was shown. (events)',
  num_uncarts COMMENT 'Removals from the cart. (events)',
  num_favourites COMMENT 'Additions to a wish list. (events)',
  num_cancels COMMENT 'Orders or parts of them withdrawn. (events)',
  num_orders COMMENT 'Distinct orders; a session''s purchases without an order id are one. (orders)',
  num_pieces COMMENT 'Pieces bought; an unknown quantity is one. (pieces)',
  revenue COMMENT 'Sum of price x quantity over purchases, before cancellations and returns. (shop''s currency)',
  num_unpriced_purchases COMMENT 'Purchase rows without a price: no revenue is counted for them. (events)',
  num_returned_pieces COMMENT 'Pieces returned that day, whenever they were bought. (pieces)',
  returned_value COMMENT 'Sum of price x quantity over returns; without a price nothing. (shop''s currency)',
  num_cancelled_pieces COMMENT 'Pieces withdrawn that day, whenever they were ordered. (pieces)',
  cancelled_value COMMENT 'Sum of price x quantity over cancellations; without a price nothing. (shop''s currency)',
  num_bot_sessions COMMENT 'Sessions of bots, in no other count. (sessions)',
  num_bot_events COMMENT 'Events of bots, in no other count. (events)',
  new_visitor_share COMMENT 'Share of visitors not seen lately. (0 to 1)',
  login_share COMMENT 'Share of people who logged in. (0 to 1)',
  bounce_share COMMENT 'Share of sessions that went no further. (0 to 1)',
  cart_rate COMMENT 'Share of sessions that fill a cart. (0 to 1)',
  conversion_rate COMMENT 'Share of sessions that buy. (0 to 1)',
  average_order_value COMMENT 'Revenue of an order. (shop''s currency)',
  revenue_per_session COMMENT 'Revenue of a session. (shop''s currency)',
  return_rate COMMENT 'Pieces returned per piece bought. (pieces)',
  bot_share COMMENT 'Share of all sessions that are bots''. (0 to 1)'
) COMMENT = 'What a shop asks first about a day.' AS
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

CREATE VIEW v_funnels (
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The shop''s day on which the sessions start.',
  platform COMMENT 'Platform of the session''s first event; (all) for every one.',
  category COMMENT 'Category of the item as of the day, the `marts.top_categories` with most events; (other), (none) where the item has none, (all) for every event, those without an item included.',
  campaign COMMENT 'Source of the visit, the day''s `marts.top_campaigns` with most sessions; (other), (none), (all).',
  num_sessions COMMENT 'Sessions with an event on an item of the category; with any for (all). (sessions)',
  num_viewed COMMENT 'Sessions with a view. (sessions)',
  num_carted COMMENT 'Sessions with an addition to the cart, viewed before or not. (sessions)',
  num_bought COMMENT 'Sessions with a purchase, whatever came before. (sessions)',
  num_viewed_carted COMMENT 'Sessions with a view and later an addition to the cart. (sessions)',
  num_viewed_carted_bought COMMENT 'Sessions with a view, later an addition to the cart and later a purchase. (sessions)',
  num_lost_after_view COMMENT 'num_viewed less num_viewed_carted. (sessions)',
  num_lost_after_cart COMMENT 'num_viewed_carted less num_viewed_carted_bought. (sessions)',
  cart_rate COMMENT 'Share of viewing sessions that go on. (0 to 1)',
  checkout_rate COMMENT 'Share of those with a cart that go on. (0 to 1)',
  conversion_rate COMMENT 'Share of viewing sessions that reach the end. (0 to 1)'
) COMMENT = 'How far sessions get from view over cart to purchase.' AS
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

CREATE VIEW v_decision_transitions (
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The shop''s day on which the sessions start.',
  platform COMMENT 'Platform of the session''s first event; (all) for every one.',
  from_kind COMMENT 'Kind of an event, among `marts.path_kinds`; or (start).',
  to_kind COMMENT 'Kind of the next one; or (end).',
  num_transitions COMMENT 'Times that the one followed the other. (transitions)',
  num_from COMMENT 'Times that anything followed from_kind. (transitions)',
  transition_share COMMENT 'How often from_kind goes on like this. (0 to 1)'
) COMMENT = 'What people do next within a session.' AS
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

CREATE VIEW v_decision_paths (
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The shop''s day on which the sessions start.',
  platform COMMENT 'Platform of the session''s first event; (all) for every one.',
  path COMMENT 'Kinds in order, such as view>view>cart>purchase; (none) without an event of `marts.path_kinds`, (other) for all but the `marts.top_paths` of the platform.',
  num_paths COMMENT 'Different paths in the row: 1, more for (other). (paths)',
  num_sessions COMMENT 'Sessions that went this way. (sessions)',
  num_bought COMMENT 'Of them, those with a purchase, also beyond the path''s end. (sessions)',
  num_all_sessions COMMENT 'Sessions of the platform that day. (sessions)',
  session_share COMMENT 'Share of the platform''s sessions. (0 to 1)',
  conversion_rate COMMENT 'Share of them that buy. (0 to 1)'
) COMMENT = 'The most common ways through a session.' AS
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

CREATE VIEW v_decision_times (
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The shop''s day on which the sessions start.',
  platform COMMENT 'Platform of the session''s first event; (all) for every one.',
  known_days COMMENT 'Days before this one that the log covers, at most `marts.lookback_days`: with fewer, less is known of before. (days)',
  num_bought_items COMMENT 'Different items bought, session by session. (items)',
  num_viewed_items COMMENT 'Of them, those that the person had viewed within `marts.lookback_days` before, in whatever session. (items)',
  minutes_from_view_p25 COMMENT 'Lower quartile of the time from an item''s first such view to its purchase. (minutes)',
  minutes_from_view_median COMMENT 'Median of the time from an item''s first such view to its purchase. (minutes)',
  minutes_from_view_p75 COMMENT 'Upper quartile of the time from an item''s first such view to its purchase. (minutes)',
  minutes_from_view_p90 COMMENT '90th percentile of the time from an item''s first such view to its purchase. (minutes)',
  num_sessions COMMENT 'Sessions with a purchase. (sessions)',
  minutes_from_start_p25 COMMENT 'Lower quartile of the time from a session''s start to its first purchase. (minutes)',
  minutes_from_start_median COMMENT 'Median of the time from a session''s start to its first purchase. (minutes)',
  minutes_from_start_p75 COMMENT 'Upper quartile of the time from a session''s start to its first purchase. (minutes)',
  minutes_from_start_p90 COMMENT '90th percentile of the time from a session''s start to its first purchase. (minutes)',
  num_first_sessions COMMENT 'Of them, those without an earlier session of the person. (sessions)',
  sessions_before_p25 COMMENT 'Lower quartile of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)',
  sessions_before_median COMMENT 'Median of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)',
  sessions_before_p75 COMMENT 'Upper quartile of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)',
  sessions_before_p90 COMMENT '90th percentile of the number of the person''s earlier sessions within `marts.lookback_days`. (sessions)',
  viewed_share COMMENT 'Share of items viewed before. (0 to 1)',
  first_session_share COMMENT 'Share bought at once. (0 to 1)'
) COMMENT = 'How long people take to buy.' AS
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

CREATE VIEW v_cart_abandonment (
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The shop''s day on which the sessions start.',
  platform COMMENT 'Platform of the session''s first event; (all) for every one.',
  category COMMENT 'Category of the item as of the day, the `marts.top_categories` with most events; (other), (none) where the item has none, (all) for every event, those without an item included.',
  num_carts COMMENT 'Sessions that put an item into the cart. (sessions)',
  num_lines COMMENT 'Items put into carts, once per session; the sum of the next four. (items)',
  num_bought COMMENT 'Bought by the same person within `marts.cart_hours` and `marts.cart_sessions`. (items)',
  num_removed COMMENT 'Taken out again in the same session, and not bought. (items)',
  num_abandoned COMMENT 'Left in the cart, and not bought in that time. (items)',
  num_open COMMENT 'Left in the cart while that time is not over; none once it is. (items)',
  num_recovered COMMENT 'Abandoned, but bought within `marts.recovery_days`, as far as is known. (items)',
  num_unpriced COMMENT 'Abandoned without a known price: missing from the values. (items)',
  value_abandoned COMMENT 'Price x quantity of abandoned items. (shop''s currency)',
  value_recovered COMMENT 'Price x quantity of the recovered ones, as they lay in the cart. (shop''s currency)',
  value_left COMMENT 'value_abandoned less value_recovered. (shop''s currency)',
  abandonment_rate COMMENT 'Share of decided items that were left. (0 to 1)',
  recovery_rate COMMENT 'Share of left items bought later. (0 to 1)'
) COMMENT = 'What became of the items that people put into carts.' AS
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

CREATE VIEW v_realised (
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The night whose lists are judged.',
  origin COMMENT 'published: readers could see the lists; replayed: `make backtest` made them afterwards from what was known then.',
  surface COMMENT 'Where the lists were to be shown.',
  strategy COMMENT 'Strategy of the list''s first item; held_out: drawn to see no model.',
  model_name COMMENT 'Registered model, or popularity.',
  model_version COMMENT 'Version of it.',
  segment COMMENT '(all), or people by the length of their history or by the platform of their latest entry; platforms add up to (all), and so do lengths.',
  list COMMENT 'shown: the night''s list; popular: the control, what was popular then, ranked for the same people under the same exclusions.',
  k COMMENT 'How much of each list counts. (places)',
  window_days COMMENT 'How long people were watched. (days)',
  num_lists COMMENT 'Lists of the group. (lists)',
  num_active COMMENT 'Of them, those whose person touched an item in the window. (lists)',
  num_hits COMMENT 'Active lists with a touched item among the first k. (lists)',
  ndcg_sum COMMENT 'Sum over active lists of NDCG at k; a touched item is relevant.',
  ndcg_squares COMMENT 'Sum of its squares, for intervals.',
  ndcg_gain_squares COMMENT 'Sum of the squares of NDCG less the control''s, for intervals.',
  num_buyers COMMENT 'Lists whose person bought anything. (lists)',
  num_purchases COMMENT 'Purchase rows of these people, of whatever item. (events)',
  purchases_squares COMMENT 'Sum over lists of its squares, for intervals.',
  num_listed_purchases COMMENT 'Of them, those of an item among the first k. (events)',
  revenue COMMENT 'Sum of price x quantity over purchases, before returns. (shop''s currency)',
  revenue_squares COMMENT 'Sum over lists of its squares, for intervals.',
  listed_revenue COMMENT 'Of it, that of items among the first k. (shop''s currency)',
  num_unpriced COMMENT 'Purchase rows without a price: no revenue is counted for them. (events)',
  hit_rate COMMENT 'Share of active lists that held what was touched. (0 to 1)',
  ndcg COMMENT 'Mean NDCG of active lists. (0 to 1)',
  buyer_share COMMENT 'Share of lists whose person bought. (0 to 1)',
  listed_purchase_share COMMENT 'Share of purchases that the lists held. (0 to 1)',
  listed_revenue_share COMMENT 'Share of revenue that the lists held. (0 to 1)',
  revenue_per_list COMMENT 'Revenue of a person with a list. (shop''s currency)'
) COMMENT = 'What people did after a night''s lists could be seen, counted per group of people.' AS
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

CREATE VIEW v_realised_scores (
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The night that foretold.',
  score_name COMMENT 'The task, such as churn or purchase.',
  contender COMMENT 'What foretold: rule, trees, encoder or combined.',
  model_version COMMENT 'Version of the task''s registered model.',
  segment COMMENT '(all); platform: of the latest event; activity: visits in the last 28 days; or a group of the task''s own.',
  window_days COMMENT 'How long people were watched. (days)',
  num_foretold COMMENT 'People with the score. (people)',
  num_people COMMENT 'Of them, those whose question has an answer: the numbers below are theirs. (people)',
  num_positives COMMENT 'Of these, those for whom it came true. (people)',
  foretold_sum COMMENT 'Sum of their probabilities: how many were expected. (people)',
  auroc COMMENT 'Chance that one for whom it came true had the higher score; null with one outcome. (0 to 1)',
  average_precision COMMENT 'Mean precision over those for whom it came true; null without any. (0 to 1)',
  log_loss COMMENT 'Mean of minus the logarithm of what was given to what happened. (nats)',
  ece COMMENT 'Expected calibration error over ten groups of equally many people. (0 to 1)',
  ece_by_chance COMMENT 'Its mean on as many people, were every probability right. (0 to 1)',
  ece_by_chance_high COMMENT 'What one such draw in forty would be above. (0 to 1)',
  lift_first_decile COMMENT 'How often it came true among the highest tenth, over that among everybody.',
  mean_foretold COMMENT 'Mean probability. (0 to 1)',
  observed_rate COMMENT 'Share of those for whom it came true. (0 to 1)'
) COMMENT = 'How good a night''s scores were, once what they foretold was over: one row per score, model and group of people.' AS
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

CREATE VIEW v_realised_calibration (
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The night that foretold.',
  score_name COMMENT 'The task, such as churn or purchase.',
  contender COMMENT 'What foretold: rule, trees, encoder or combined.',
  model_version COMMENT 'Version of the task''s registered model.',
  bin COMMENT '1 is least likely; ties can leave fewer than ten.',
  num_people COMMENT 'People of the group. (people)',
  num_positives COMMENT 'Of them, those for whom it came true. (people)',
  foretold_sum COMMENT 'Sum of their probabilities: how many were expected. (people)',
  mean_foretold COMMENT 'Mean probability. (0 to 1)',
  observed_rate COMMENT 'Share of those for whom it came true. (0 to 1)'
) COMMENT = 'People of a night in groups of like probability: what was foretold of them, and what happened.' AS
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

CREATE VIEW v_realised_decisions (
  shop COMMENT 'Name of the shop: one warehouse serves several.',
  dt COMMENT 'The night that decided.',
  decision COMMENT 'As in `decisions`.',
  arm COMMENT 'act or control.',
  score_name COMMENT 'The score that decided.',
  outcome COMMENT 'Column of `labels` that acting is meant to move; null where none is.',
  window_days COMMENT 'Days over which purchases count; an outcome may take longer. (days)',
  num_people COMMENT 'People of the arm of whom anything is known since. (people)',
  num_answered COMMENT 'Of them, those for whom the outcome is known. (people)',
  num_positives COMMENT 'Of these, those for whom it is true. (people)',
  revenue COMMENT 'Sum of price x quantity over their purchases in the window, before returns. (shop''s currency)',
  revenue_squares COMMENT 'Sum over people of its squares, for intervals.',
  margin COMMENT 'Share of a price that was left to the shop, as settings had it. (0 to 1)',
  expected_value COMMENT 'Sum of what acting was expected to bring; of the control group, what it would have. (shop''s currency)',
  cost COMMENT 'Sum of the offers'' cost, as though everybody redeemed theirs. (shop''s currency)',
  outcome_difference COMMENT 'A person acted on less one left alone: share with the outcome; null of control or few. (-1 to 1)',
  outcome_difference_low COMMENT 'Lower bound of its 95 % interval, by the normal approximation (Welch). (-1 to 1)',
  outcome_difference_high COMMENT 'Upper bound of its 95 % interval, by the normal approximation (Welch). (-1 to 1)',
  revenue_difference COMMENT 'A person acted on less one left alone: revenue; null of control or few. (shop''s currency)',
  revenue_difference_low COMMENT 'Lower bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)',
  revenue_difference_high COMMENT 'Upper bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)',
  realised_value COMMENT 'Margin on the difference in revenue, less the mean cost: per person acted on. (shop''s currency)',
  realised_value_low COMMENT 'Lower bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)',
  realised_value_high COMMENT 'Upper bound of its 95 % interval, by the normal approximation (Welch). (shop''s currency)',
  outcome_rate COMMENT 'Share with the outcome. (0 to 1)',
  revenue_per_person COMMENT 'Mean revenue. (shop''s currency)',
  expected_value_per_person COMMENT 'Mean expected value. (shop''s currency)'
) COMMENT = 'What became of those a night acted on, and of those it left alone to compare with: one row per decision and arm.' AS
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
