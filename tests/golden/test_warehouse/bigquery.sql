CREATE TABLE IF NOT EXISTS recommendations (
  row_key STRING NOT NULL OPTIONS (description = 'shop|dt|surface|user_id|rank: one unique column for tools that want one.'),
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The night\'s day.'),
  surface STRING NOT NULL OPTIONS (description = 'Where it is shown.'),
  user_id STRING NOT NULL OPTIONS (description = 'In the lake the pseudonym, in the warehouse the shop\'s own id.'),
  rank INT64 NOT NULL OPTIONS (description = '1 is best.'),
  item_id STRING NOT NULL OPTIONS (description = 'The shop\'s item id.'),
  score FLOAT64 NOT NULL OPTIONS (description = 'Model score; falls with rank, comparable within one person only.'),
  strategy STRING NOT NULL OPTIONS (description = 'model; category: popular in the categories of a history that the model cannot read; platform: popular on the platform where the person was last; popular: popular in the shop; held_out: the same, by the draw of `score.held_out_share`.'),
  reason_code STRING NOT NULL OPTIONS (description = 'because_viewed, because_carted, because_bought, popular_in_category, popular_on_platform, popular_now, chosen_by_shop (a pin).'),
  evidence_item_id STRING OPTIONS (description = 'The item of the history without which this one would lose most score.'),
  evidence_2_item_id STRING OPTIONS (description = 'The next one, where its effect is not small beside the first\'s.'),
  evidence_3_item_id STRING OPTIONS (description = 'The one after that.'),
  rule STRING OPTIONS (description = 'What a business rule did to the row: pinned, or cap_given_way where nothing else was left; else null.'),
  model_name STRING NOT NULL OPTIONS (description = 'Registered model, or popularity.'),
  model_version STRING NOT NULL OPTIONS (description = 'Version of it.'),
  PRIMARY KEY (shop, dt, surface, user_id, rank) NOT ENFORCED
) PARTITION BY dt CLUSTER BY shop, user_id OPTIONS (description = 'One recommended item for one person on one surface.');

CREATE TABLE IF NOT EXISTS user_scores (
  row_key STRING NOT NULL OPTIONS (description = 'shop|dt|score_name|user_id: one unique column for tools that want one.'),
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The night\'s day.'),
  score_name STRING NOT NULL OPTIONS (description = 'recency, frequency or monetary, which are ranks; or what is foretold, such as churn or purchase.'),
  user_id STRING NOT NULL OPTIONS (description = 'The shop\'s own id of the person.'),
  observed FLOAT64 OPTIONS (description = 'What is ranked: hours since the latest event, visits, or spend, within the history window; null for what is foretold. (hours, visits or shop\'s currency)'),
  score FLOAT64 NOT NULL OPTIONS (description = 'Of a rank the share of the others who did worse, equals sharing one; of what is foretold its calibrated probability; of coupon_uplift by how much a coupon raises the chance of buying; of fraud no probability, but the share of people who are less conspicuous. (0 to 1)'),
  band INT64 OPTIONS (description = 'The rank\'s fifth: 1 is worst, 5 best; null for what is foretold.'),
  decile INT64 OPTIONS (description = 'Where the probability lies among the people it was calibrated on: 1 is least likely, 10 most; null for ranks.'),
  flagged BOOL OPTIONS (description = 'Likely enough that acting costs less than not acting, by the task\'s costs of errors; null for ranks.'),
  contender STRING OPTIONS (description = 'What foretells: rule, trees, encoder, combined, anomaly or uplift; null for ranks.'),
  model_version STRING OPTIONS (description = 'Version of the task\'s registered model; null for ranks.'),
  reasons STRING OPTIONS (description = 'JSON array: columns of `user_features` that raised the score most, strongest first; null for ranks.'),
  outcome STRING OPTIONS (description = 'Of several outcomes the likeliest, such as next_category\'s; else null.'),
  PRIMARY KEY (shop, dt, score_name, user_id) NOT ENFORCED
) PARTITION BY dt CLUSTER BY shop, user_id OPTIONS (description = 'One score of one person as of a night: where they stand among everybody, or what is foretold of them.');

CREATE TABLE IF NOT EXISTS decisions (
  row_key STRING NOT NULL OPTIONS (description = 'shop|dt|decision|user_id: one unique column for tools that want one.'),
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The night\'s day.'),
  decision STRING NOT NULL OPTIONS (description = 'coupon, retention, promotion, cart_reminder or fraud_review; docs/conf.md has the settings.'),
  user_id STRING NOT NULL OPTIONS (description = 'In the lake the pseudonym, in the warehouse the shop\'s own id.'),
  arm STRING NOT NULL OPTIONS (description = 'act; or control: do nothing, drawn by a hash, per decision the same people every night.'),
  rank INT64 NOT NULL OPTIONS (description = '1 is best; both arms are ranked together.'),
  offer STRING OPTIONS (description = 'What to send or do; null for the control group.'),
  expected_value FLOAT64 NOT NULL OPTIONS (description = 'What acting is expected to bring, or to save at most; of a coupon less its cost. (shop\'s currency)'),
  cost FLOAT64 NOT NULL OPTIONS (description = 'Of the offer if it is redeemed; 0 for the control group. (shop\'s currency)'),
  score_name STRING NOT NULL OPTIONS (description = 'The score of `user_scores` that decided.'),
  score FLOAT64 NOT NULL OPTIONS (description = 'Its probability. (0 to 1)'),
  reasons STRING NOT NULL OPTIONS (description = 'JSON array: the score\'s reasons, strongest first.'),
  PRIMARY KEY (shop, dt, decision, user_id) NOT ENFORCED
) PARTITION BY dt CLUSTER BY shop, user_id OPTIONS (description = 'One person whom a decision of the night concerns: to be acted on, or kept aside to see what acting does.');

CREATE TABLE IF NOT EXISTS items (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  item_id STRING NOT NULL OPTIONS (description = 'The shop\'s item id.'),
  dt DATE NOT NULL OPTIONS (description = 'As of the end of this shop\'s day: nothing later can move the row.'),
  title STRING OPTIONS (description = 'Latest title the log gave.'),
  category STRING OPTIONS (description = 'Latest category the log gave.'),
  brand STRING OPTIONS (description = 'Latest brand the log gave.'),
  price FLOAT64 OPTIONS (description = 'Latest price of one piece. (shop\'s currency)'),
  price_bucket INT64 NOT NULL OPTIONS (description = 'Decile of the price among priced items, 1 to 10; 0 without a price.'),
  first_seen DATETIME NOT NULL OPTIONS (description = 'First event with the item in the window. (UTC)'),
  last_seen DATETIME NOT NULL OPTIONS (description = 'Last event with the item in the window. (UTC)'),
  num_events INT64 NOT NULL OPTIONS (description = 'Events of people (not bots) with the item in the window. (events)'),
  num_recent INT64 NOT NULL OPTIONS (description = 'Events in the latest days of `score.popular_days`: what baselines and fallback call popular. (events)'),
  num_purchases INT64 NOT NULL OPTIONS (description = 'Purchase rows in the window. (events)'),
  PRIMARY KEY (shop, dt, item_id) NOT ENFORCED
) OPTIONS (description = 'One item as of a published night.');

CREATE TABLE IF NOT EXISTS daily_kpis (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The shop\'s day on which the sessions start.'),
  platform STRING NOT NULL OPTIONS (description = 'Platform of the session\'s first event; (all) for every one.'),
  known_days INT64 NOT NULL OPTIONS (description = 'Days before this one that the log covers, at most `marts.lookback_days`: with fewer, less is known of before. (days)'),
  num_visitors INT64 NOT NULL OPTIONS (description = 'Distinct visitors. (visitors)'),
  num_new_visitors INT64 NOT NULL OPTIONS (description = 'Of them, those without a session in the `marts.lookback_days` before, on whatever platform. (visitors)'),
  num_returning_visitors INT64 NOT NULL OPTIONS (description = 'Of them, the others. (visitors)'),
  num_persons INT64 NOT NULL OPTIONS (description = 'Distinct people on all their devices, as known at the end of the day. (people)'),
  num_logged_in_persons INT64 NOT NULL OPTIONS (description = 'Of them, those with a login on this platform that day. (people)'),
  num_sessions INT64 NOT NULL OPTIONS (description = 'Sessions. (sessions)'),
  num_bounces INT64 NOT NULL OPTIONS (description = 'Sessions with at most one event, impressions aside. (sessions)'),
  num_sessions_with_cart INT64 NOT NULL OPTIONS (description = 'Sessions with an addition to the cart. (sessions)'),
  num_sessions_with_purchase INT64 NOT NULL OPTIONS (description = 'Sessions with a purchase. (sessions)'),
  num_events INT64 NOT NULL OPTIONS (description = 'Events of any kind. (events)'),
  num_views INT64 NOT NULL OPTIONS (description = 'Item views. (events)'),
  num_searches INT64 NOT NULL OPTIONS (description = 'Searches. (events)'),
  num_carts INT64 NOT NULL OPTIONS (description = 'Additions to the cart. (events)'),
  num_purchases INT64 NOT NULL OPTIONS (description = 'Purchase rows. (events)'),
  num_returns INT64 NOT NULL OPTIONS (description = 'Return rows. (events)'),
  num_reviews INT64 NOT NULL OPTIONS (description = 'Reviews. (events)'),
  num_coupons INT64 NOT NULL OPTIONS (description = 'Coupon events. (events)'),
  num_clicks INT64 NOT NULL OPTIONS (description = 'Clicks on what was shown. (events)'),
  num_impressions INT64 NOT NULL OPTIONS (description = 'Times that something was shown. (events)'),
  num_uncarts INT64 NOT NULL OPTIONS (description = 'Removals from the cart. (events)'),
  num_favourites INT64 NOT NULL OPTIONS (description = 'Additions to a wish list. (events)'),
  num_cancels INT64 NOT NULL OPTIONS (description = 'Orders or parts of them withdrawn. (events)'),
  num_orders INT64 NOT NULL OPTIONS (description = 'Distinct orders; a session\'s purchases without an order id are one. (orders)'),
  num_pieces INT64 NOT NULL OPTIONS (description = 'Pieces bought; an unknown quantity is one. (pieces)'),
  revenue FLOAT64 NOT NULL OPTIONS (description = 'Sum of price x quantity over purchases, before cancellations and returns. (shop\'s currency)'),
  num_unpriced_purchases INT64 NOT NULL OPTIONS (description = 'Purchase rows without a price: no revenue is counted for them. (events)'),
  num_returned_pieces INT64 NOT NULL OPTIONS (description = 'Pieces returned that day, whenever they were bought. (pieces)'),
  returned_value FLOAT64 NOT NULL OPTIONS (description = 'Sum of price x quantity over returns; without a price nothing. (shop\'s currency)'),
  num_cancelled_pieces INT64 NOT NULL OPTIONS (description = 'Pieces withdrawn that day, whenever they were ordered. (pieces)'),
  cancelled_value FLOAT64 NOT NULL OPTIONS (description = 'Sum of price x quantity over cancellations; without a price nothing. (shop\'s currency)'),
  num_bot_sessions INT64 NOT NULL OPTIONS (description = 'Sessions of bots, in no other count. (sessions)'),
  num_bot_events INT64 NOT NULL OPTIONS (description = 'Events of bots, in no other count. (events)'),
  PRIMARY KEY (shop, dt, platform) NOT ENFORCED
) OPTIONS (description = 'What a shop asks first about a day.');

CREATE TABLE IF NOT EXISTS funnels (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The shop\'s day on which the sessions start.'),
  platform STRING NOT NULL OPTIONS (description = 'Platform of the session\'s first event; (all) for every one.'),
  category STRING NOT NULL OPTIONS (description = 'Category of the item as of the day, the `marts.top_categories` with most events; (other), (none) where the item has none, (all) for every event, those without an item included.'),
  campaign STRING NOT NULL OPTIONS (description = 'Source of the visit, the day\'s `marts.top_campaigns` with most sessions; (other), (none), (all).'),
  num_sessions INT64 NOT NULL OPTIONS (description = 'Sessions with an event on an item of the category; with any for (all). (sessions)'),
  num_viewed INT64 NOT NULL OPTIONS (description = 'Sessions with a view. (sessions)'),
  num_carted INT64 NOT NULL OPTIONS (description = 'Sessions with an addition to the cart, viewed before or not. (sessions)'),
  num_bought INT64 NOT NULL OPTIONS (description = 'Sessions with a purchase, whatever came before. (sessions)'),
  num_viewed_carted INT64 NOT NULL OPTIONS (description = 'Sessions with a view and later an addition to the cart. (sessions)'),
  num_viewed_carted_bought INT64 NOT NULL OPTIONS (description = 'Sessions with a view, later an addition to the cart and later a purchase. (sessions)'),
  num_lost_after_view INT64 NOT NULL OPTIONS (description = 'num_viewed less num_viewed_carted. (sessions)'),
  num_lost_after_cart INT64 NOT NULL OPTIONS (description = 'num_viewed_carted less num_viewed_carted_bought. (sessions)'),
  PRIMARY KEY (shop, dt, platform, category, campaign) NOT ENFORCED
) OPTIONS (description = 'How far sessions get from view over cart to purchase.');

CREATE TABLE IF NOT EXISTS decision_transitions (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The shop\'s day on which the sessions start.'),
  platform STRING NOT NULL OPTIONS (description = 'Platform of the session\'s first event; (all) for every one.'),
  from_kind STRING NOT NULL OPTIONS (description = 'Kind of an event, among `marts.path_kinds`; or (start).'),
  to_kind STRING NOT NULL OPTIONS (description = 'Kind of the next one; or (end).'),
  num_transitions INT64 NOT NULL OPTIONS (description = 'Times that the one followed the other. (transitions)'),
  num_from INT64 NOT NULL OPTIONS (description = 'Times that anything followed from_kind. (transitions)'),
  PRIMARY KEY (shop, dt, platform, from_kind, to_kind) NOT ENFORCED
) OPTIONS (description = 'What people do next within a session.');

CREATE TABLE IF NOT EXISTS decision_paths (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The shop\'s day on which the sessions start.'),
  platform STRING NOT NULL OPTIONS (description = 'Platform of the session\'s first event; (all) for every one.'),
  path STRING NOT NULL OPTIONS (description = 'Kinds in order, such as view>view>cart>purchase; (none) without an event of `marts.path_kinds`, (other) for all but the `marts.top_paths` of the platform.'),
  num_paths INT64 NOT NULL OPTIONS (description = 'Different paths in the row: 1, more for (other). (paths)'),
  num_sessions INT64 NOT NULL OPTIONS (description = 'Sessions that went this way. (sessions)'),
  num_bought INT64 NOT NULL OPTIONS (description = 'Of them, those with a purchase, also beyond the path\'s end. (sessions)'),
  num_all_sessions INT64 NOT NULL OPTIONS (description = 'Sessions of the platform that day. (sessions)'),
  PRIMARY KEY (shop, dt, platform, path) NOT ENFORCED
) OPTIONS (description = 'The most common ways through a session.');

CREATE TABLE IF NOT EXISTS decision_times (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The shop\'s day on which the sessions start.'),
  platform STRING NOT NULL OPTIONS (description = 'Platform of the session\'s first event; (all) for every one.'),
  known_days INT64 NOT NULL OPTIONS (description = 'Days before this one that the log covers, at most `marts.lookback_days`: with fewer, less is known of before. (days)'),
  num_bought_items INT64 NOT NULL OPTIONS (description = 'Different items bought, session by session. (items)'),
  num_viewed_items INT64 NOT NULL OPTIONS (description = 'Of them, those that the person had viewed within `marts.lookback_days` before, in whatever session. (items)'),
  minutes_from_view_p25 FLOAT64 OPTIONS (description = 'Lower quartile of the time from an item\'s first such view to its purchase. (minutes)'),
  minutes_from_view_median FLOAT64 OPTIONS (description = 'Median of the time from an item\'s first such view to its purchase. (minutes)'),
  minutes_from_view_p75 FLOAT64 OPTIONS (description = 'Upper quartile of the time from an item\'s first such view to its purchase. (minutes)'),
  minutes_from_view_p90 FLOAT64 OPTIONS (description = '90th percentile of the time from an item\'s first such view to its purchase. (minutes)'),
  num_sessions INT64 NOT NULL OPTIONS (description = 'Sessions with a purchase. (sessions)'),
  minutes_from_start_p25 FLOAT64 OPTIONS (description = 'Lower quartile of the time from a session\'s start to its first purchase. (minutes)'),
  minutes_from_start_median FLOAT64 OPTIONS (description = 'Median of the time from a session\'s start to its first purchase. (minutes)'),
  minutes_from_start_p75 FLOAT64 OPTIONS (description = 'Upper quartile of the time from a session\'s start to its first purchase. (minutes)'),
  minutes_from_start_p90 FLOAT64 OPTIONS (description = '90th percentile of the time from a session\'s start to its first purchase. (minutes)'),
  num_first_sessions INT64 NOT NULL OPTIONS (description = 'Of them, those without an earlier session of the person. (sessions)'),
  sessions_before_p25 FLOAT64 OPTIONS (description = 'Lower quartile of the number of the person\'s earlier sessions within `marts.lookback_days`. (sessions)'),
  sessions_before_median FLOAT64 OPTIONS (description = 'Median of the number of the person\'s earlier sessions within `marts.lookback_days`. (sessions)'),
  sessions_before_p75 FLOAT64 OPTIONS (description = 'Upper quartile of the number of the person\'s earlier sessions within `marts.lookback_days`. (sessions)'),
  sessions_before_p90 FLOAT64 OPTIONS (description = '90th percentile of the number of the person\'s earlier sessions within `marts.lookback_days`. (sessions)'),
  PRIMARY KEY (shop, dt, platform) NOT ENFORCED
) OPTIONS (description = 'How long people take to buy.');

CREATE TABLE IF NOT EXISTS cart_abandonment (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The shop\'s day on which the sessions start.'),
  platform STRING NOT NULL OPTIONS (description = 'Platform of the session\'s first event; (all) for every one.'),
  category STRING NOT NULL OPTIONS (description = 'Category of the item as of the day, the `marts.top_categories` with most events; (other), (none) where the item has none, (all) for every event, those without an item included.'),
  num_carts INT64 NOT NULL OPTIONS (description = 'Sessions that put an item into the cart. (sessions)'),
  num_lines INT64 NOT NULL OPTIONS (description = 'Items put into carts, once per session; the sum of the next four. (items)'),
  num_bought INT64 NOT NULL OPTIONS (description = 'Bought by the same person within `marts.cart_hours` and `marts.cart_sessions`. (items)'),
  num_removed INT64 NOT NULL OPTIONS (description = 'Taken out again in the same session, and not bought. (items)'),
  num_abandoned INT64 NOT NULL OPTIONS (description = 'Left in the cart, and not bought in that time. (items)'),
  num_open INT64 NOT NULL OPTIONS (description = 'Left in the cart while that time is not over; none once it is. (items)'),
  num_recovered INT64 NOT NULL OPTIONS (description = 'Abandoned, but bought within `marts.recovery_days`, as far as is known. (items)'),
  num_unpriced INT64 NOT NULL OPTIONS (description = 'Abandoned without a known price: missing from the values. (items)'),
  value_abandoned FLOAT64 NOT NULL OPTIONS (description = 'Price x quantity of abandoned items. (shop\'s currency)'),
  value_recovered FLOAT64 NOT NULL OPTIONS (description = 'Price x quantity of the recovered ones, as they lay in the cart. (shop\'s currency)'),
  value_left FLOAT64 NOT NULL OPTIONS (description = 'value_abandoned less value_recovered. (shop\'s currency)'),
  PRIMARY KEY (shop, dt, platform, category) NOT ENFORCED
) OPTIONS (description = 'What became of the items that people put into carts.');

CREATE TABLE IF NOT EXISTS realised (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The night whose lists are judged.'),
  origin STRING NOT NULL OPTIONS (description = 'published: readers could see the lists; replayed: `make backtest` made them afterwards from what was known then.'),
  surface STRING NOT NULL OPTIONS (description = 'Where the lists were to be shown.'),
  strategy STRING NOT NULL OPTIONS (description = 'Strategy of the list\'s first item; held_out: drawn to see no model.'),
  model_name STRING NOT NULL OPTIONS (description = 'Registered model, or popularity.'),
  model_version STRING NOT NULL OPTIONS (description = 'Version of it.'),
  segment STRING NOT NULL OPTIONS (description = '(all), or people by the length of their history or by the platform of their latest entry; platforms add up to (all), and so do lengths.'),
  list STRING NOT NULL OPTIONS (description = 'shown: the night\'s list; popular: the control, what was popular then, ranked for the same people under the same exclusions.'),
  k INT64 NOT NULL OPTIONS (description = 'How much of each list counts. (places)'),
  window_days INT64 NOT NULL OPTIONS (description = 'How long people were watched. (days)'),
  num_lists INT64 NOT NULL OPTIONS (description = 'Lists of the group. (lists)'),
  num_active INT64 NOT NULL OPTIONS (description = 'Of them, those whose person touched an item in the window. (lists)'),
  num_hits INT64 NOT NULL OPTIONS (description = 'Active lists with a touched item among the first k. (lists)'),
  ndcg_sum FLOAT64 NOT NULL OPTIONS (description = 'Sum over active lists of NDCG at k; a touched item is relevant.'),
  ndcg_squares FLOAT64 NOT NULL OPTIONS (description = 'Sum of its squares, for intervals.'),
  ndcg_gain_squares FLOAT64 NOT NULL OPTIONS (description = 'Sum of the squares of NDCG less the control\'s, for intervals.'),
  num_buyers INT64 NOT NULL OPTIONS (description = 'Lists whose person bought anything. (lists)'),
  num_purchases INT64 NOT NULL OPTIONS (description = 'Purchase rows of these people, of whatever item. (events)'),
  purchases_squares FLOAT64 NOT NULL OPTIONS (description = 'Sum over lists of its squares, for intervals.'),
  num_listed_purchases INT64 NOT NULL OPTIONS (description = 'Of them, those of an item among the first k. (events)'),
  revenue FLOAT64 NOT NULL OPTIONS (description = 'Sum of price x quantity over purchases, before returns. (shop\'s currency)'),
  revenue_squares FLOAT64 NOT NULL OPTIONS (description = 'Sum over lists of its squares, for intervals.'),
  listed_revenue FLOAT64 NOT NULL OPTIONS (description = 'Of it, that of items among the first k. (shop\'s currency)'),
  num_unpriced INT64 NOT NULL OPTIONS (description = 'Purchase rows without a price: no revenue is counted for them. (events)'),
  PRIMARY KEY (shop, dt, origin, surface, strategy, model_name, model_version, segment, list, k) NOT ENFORCED
) OPTIONS (description = 'What people did after a night\'s lists could be seen, counted per group of people.');

CREATE TABLE IF NOT EXISTS realised_scores (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The night that foretold.'),
  score_name STRING NOT NULL OPTIONS (description = 'The task, such as churn or purchase.'),
  contender STRING NOT NULL OPTIONS (description = 'What foretold: rule, trees, encoder or combined.'),
  model_version STRING NOT NULL OPTIONS (description = 'Version of the task\'s registered model.'),
  segment STRING NOT NULL OPTIONS (description = '(all); platform: of the latest event; activity: visits in the last 28 days; or a group of the task\'s own.'),
  window_days INT64 NOT NULL OPTIONS (description = 'How long people were watched. (days)'),
  num_foretold INT64 NOT NULL OPTIONS (description = 'People with the score. (people)'),
  num_people INT64 NOT NULL OPTIONS (description = 'Of them, those whose question has an answer: the numbers below are theirs. (people)'),
  num_positives INT64 NOT NULL OPTIONS (description = 'Of these, those for whom it came true. (people)'),
  foretold_sum FLOAT64 NOT NULL OPTIONS (description = 'Sum of their probabilities: how many were expected. (people)'),
  auroc FLOAT64 OPTIONS (description = 'Chance that one for whom it came true had the higher score; null with one outcome. (0 to 1)'),
  average_precision FLOAT64 OPTIONS (description = 'Mean precision over those for whom it came true; null without any. (0 to 1)'),
  log_loss FLOAT64 OPTIONS (description = 'Mean of minus the logarithm of what was given to what happened. (nats)'),
  ece FLOAT64 OPTIONS (description = 'Expected calibration error over ten groups of equally many people. (0 to 1)'),
  ece_by_chance FLOAT64 OPTIONS (description = 'Its mean on as many people, were every probability right. (0 to 1)'),
  ece_by_chance_high FLOAT64 OPTIONS (description = 'What one such draw in forty would be above. (0 to 1)'),
  lift_first_decile FLOAT64 OPTIONS (description = 'How often it came true among the highest tenth, over that among everybody.'),
  PRIMARY KEY (shop, dt, score_name, model_version, segment) NOT ENFORCED
) OPTIONS (description = 'How good a night\'s scores were, once what they foretold was over: one row per score, model and group of people.');

CREATE TABLE IF NOT EXISTS realised_calibration (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The night that foretold.'),
  score_name STRING NOT NULL OPTIONS (description = 'The task, such as churn or purchase.'),
  contender STRING NOT NULL OPTIONS (description = 'What foretold: rule, trees, encoder or combined.'),
  model_version STRING NOT NULL OPTIONS (description = 'Version of the task\'s registered model.'),
  bin INT64 NOT NULL OPTIONS (description = '1 is least likely; ties can leave fewer than ten.'),
  num_people INT64 NOT NULL OPTIONS (description = 'People of the group. (people)'),
  num_positives INT64 NOT NULL OPTIONS (description = 'Of them, those for whom it came true. (people)'),
  foretold_sum FLOAT64 NOT NULL OPTIONS (description = 'Sum of their probabilities: how many were expected. (people)'),
  PRIMARY KEY (shop, dt, score_name, model_version, bin) NOT ENFORCED
) OPTIONS (description = 'People of a night in groups of like probability: what was foretold of them, and what happened.');

CREATE TABLE IF NOT EXISTS realised_decisions (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The night that decided.'),
  decision STRING NOT NULL OPTIONS (description = 'As in `decisions`.'),
  arm STRING NOT NULL OPTIONS (description = 'act or control.'),
  score_name STRING NOT NULL OPTIONS (description = 'The score that decided.'),
  outcome STRING OPTIONS (description = 'Column of `labels` that acting is meant to move; null where none is.'),
  window_days INT64 NOT NULL OPTIONS (description = 'Days over which purchases count; an outcome may take longer. (days)'),
  num_people INT64 NOT NULL OPTIONS (description = 'People of the arm of whom anything is known since. (people)'),
  num_answered INT64 NOT NULL OPTIONS (description = 'Of them, those for whom the outcome is known. (people)'),
  num_positives INT64 NOT NULL OPTIONS (description = 'Of these, those for whom it is true. (people)'),
  revenue FLOAT64 NOT NULL OPTIONS (description = 'Sum of price x quantity over their purchases in the window, before returns. (shop\'s currency)'),
  revenue_squares FLOAT64 NOT NULL OPTIONS (description = 'Sum over people of its squares, for intervals.'),
  margin FLOAT64 NOT NULL OPTIONS (description = 'Share of a price that was left to the shop, as settings had it. (0 to 1)'),
  expected_value FLOAT64 NOT NULL OPTIONS (description = 'Sum of what acting was expected to bring; of the control group, what it would have. (shop\'s currency)'),
  cost FLOAT64 NOT NULL OPTIONS (description = 'Sum of the offers\' cost, as though everybody redeemed theirs. (shop\'s currency)'),
  outcome_difference FLOAT64 OPTIONS (description = 'A person acted on less one left alone: share with the outcome; null of control or few. (-1 to 1)'),
  outcome_difference_low FLOAT64 OPTIONS (description = 'Lower bound of its 95 % interval, by the normal approximation (Welch). (-1 to 1)'),
  outcome_difference_high FLOAT64 OPTIONS (description = 'Upper bound of its 95 % interval, by the normal approximation (Welch). (-1 to 1)'),
  revenue_difference FLOAT64 OPTIONS (description = 'A person acted on less one left alone: revenue; null of control or few. (shop\'s currency)'),
  revenue_difference_low FLOAT64 OPTIONS (description = 'Lower bound of its 95 % interval, by the normal approximation (Welch). (shop\'s currency)'),
  revenue_difference_high FLOAT64 OPTIONS (description = 'Upper bound of its 95 % interval, by the normal approximation (Welch). (shop\'s currency)'),
  realised_value FLOAT64 OPTIONS (description = 'Margin on the difference in revenue, less the mean cost: per person acted on. (shop\'s currency)'),
  realised_value_low FLOAT64 OPTIONS (description = 'Lower bound of its 95 % interval, by the normal approximation (Welch). (shop\'s currency)'),
  realised_value_high FLOAT64 OPTIONS (description = 'Upper bound of its 95 % interval, by the normal approximation (Welch). (shop\'s currency)'),
  PRIMARY KEY (shop, dt, decision, arm) NOT ENFORCED
) OPTIONS (description = 'What became of those a night acted on, and of those it left alone to compare with: one row per decision and arm.');

CREATE TABLE IF NOT EXISTS users (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  pseudonym STRING NOT NULL OPTIONS (description = 'What lake, models and reports hold.'),
  shop_id STRING NOT NULL OPTIONS (description = 'The shop\'s own user or device id.'),
  id_kind STRING NOT NULL OPTIONS (description = 'user or device.'),
  PRIMARY KEY (shop, pseudonym) NOT ENFORCED
) OPTIONS (description = 'The only place that maps pseudonyms back to the shop\'s ids.');

CREATE TABLE IF NOT EXISTS publish_log (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The night\'s day.'),
  partition_name STRING NOT NULL OPTIONS (description = 'The night\'s partition in the lake: shop/table/dt=DAY.'),
  publish_id STRING NOT NULL OPTIONS (description = 'Unique name of this entry.'),
  action STRING NOT NULL OPTIONS (description = 'published, or rolled_back: readers were pointed at a night that was there already.'),
  published_at DATETIME NOT NULL OPTIONS (description = 'Commit time. (UTC)'),
  run_id STRING NOT NULL OPTIONS (description = 'The orchestrator\'s run.'),
  content_hash STRING NOT NULL OPTIONS (description = 'Hash of the published rows, independent of their order.'),
  inputs STRING NOT NULL OPTIONS (description = 'JSON: each partition that was read, with the hash of its rows.'),
  num_rows INT64 NOT NULL OPTIONS (description = 'Rows published. (rows)'),
  num_users INT64 NOT NULL OPTIONS (description = 'People covered. (people)'),
  fallback_share FLOAT64 NOT NULL OPTIONS (description = 'Share of people served by popularity. (0 to 1)'),
  model_name STRING NOT NULL OPTIONS (description = 'Champion that scored.'),
  model_version STRING NOT NULL OPTIONS (description = 'Its version.'),
  audits STRING NOT NULL OPTIONS (description = 'JSON: each audit with what it saw.'),
  num_bytes INT64 NOT NULL OPTIONS (description = 'Bytes of the files that were loaded. (bytes)'),
  seconds FLOAT64 NOT NULL OPTIONS (description = 'Stage, audit and commit. (s)'),
  previous_publish_id STRING OPTIONS (description = 'The publication that readers saw before; null for the first.'),
  restored_publish_id STRING OPTIONS (description = 'The publication that a rollback shows again; null for others.'),
  PRIMARY KEY (publish_id) NOT ENFORCED
) OPTIONS (description = 'One move of what readers see, append-only: a publication of a night, or a rollback to one.');

CREATE TABLE IF NOT EXISTS publish_current (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The night that v_recommendations_current shows.'),
  publish_id STRING NOT NULL OPTIONS (description = 'Its row in publish_log.'),
  moved_at DATETIME NOT NULL OPTIONS (description = 'Since when readers see it. (UTC)'),
  rolled_from DATE OPTIONS (description = 'After a rollback, the night that readers saw before it.'),
  PRIMARY KEY (shop) NOT ENFORCED
) OPTIONS (description = 'Which night readers see: one row per shop, moved by publishing and by a rollback.');

CREATE TABLE IF NOT EXISTS published_nights (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The night\'s day.'),
  publish_id STRING NOT NULL OPTIONS (description = 'The publication that its rows are of.'),
  PRIMARY KEY (shop, dt) NOT ENFORCED
) OPTIONS (description = 'Nights whose rows the warehouse holds: what a rollback can show.');

CREATE TABLE IF NOT EXISTS published_marts (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  table_name STRING NOT NULL OPTIONS (description = 'Table by day.'),
  dt DATE NOT NULL OPTIONS (description = 'Its day.'),
  content_hash STRING NOT NULL OPTIONS (description = 'Hash of the day\'s rows in the lake.'),
  num_rows INT64 NOT NULL OPTIONS (description = 'Rows of the day; 0 where nobody came. (rows)'),
  PRIMARY KEY (shop, table_name, dt) NOT ENFORCED
) OPTIONS (description = 'Which content of each day readers see, of the analysis tables and of what is realised; they keep every day.');

CREATE TABLE IF NOT EXISTS crm_states (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The night\'s day.'),
  user_id STRING NOT NULL OPTIONS (description = 'The shop\'s own id of the person.'),
  content_hash INT64 NOT NULL OPTIONS (description = 'Hash of items, their attributes, order and reasons.'),
  changed_at DATETIME NOT NULL OPTIONS (description = 'Since when readers saw this content. (UTC)'),
  PRIMARY KEY (shop, dt, user_id) NOT ENFORCED
) PARTITION BY dt CLUSTER BY shop, user_id OPTIONS (description = 'What a person\'s row in crm_users said in a night, and since when readers saw it; read crm_users instead.');

CREATE TABLE IF NOT EXISTS crm_gone (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  user_id STRING NOT NULL OPTIONS (description = 'The shop\'s own id of the person.'),
  deleted_at DATETIME NOT NULL OPTIONS (description = 'Since when readers see no row. (UTC)'),
  PRIMARY KEY (shop, user_id) NOT ENFORCED
) OPTIONS (description = 'People who had a row in crm_users and lost it; read crm_deletions instead.');

CREATE TABLE IF NOT EXISTS promotions (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The night\'s day.'),
  decision_id STRING NOT NULL OPTIONS (description = 'Unique name of the decision; a re-run of the same decision keeps it.'),
  decided_at DATETIME NOT NULL OPTIONS (description = 'When. (UTC)'),
  model_name STRING NOT NULL OPTIONS (description = 'Registered model.'),
  candidate_version STRING OPTIONS (description = 'Version under trial; null when none was trained.'),
  champion_version STRING OPTIONS (description = 'Champion before the decision; null when there was none.'),
  decision STRING NOT NULL OPTIONS (description = 'promoted, kept or none.'),
  reason STRING NOT NULL OPTIONS (description = 'The rule\'s sentence with the numbers.'),
  metrics STRING NOT NULL OPTIONS (description = 'JSON: metrics of candidate, champion and baselines on the same rows.'),
  rule STRING NOT NULL OPTIONS (description = 'JSON: the rule as configured.'),
  PRIMARY KEY (decision_id) NOT ENFORCED
) OPTIONS (description = 'One decision on a candidate model, append-only.');

CREATE TABLE IF NOT EXISTS data_quality (
  shop STRING NOT NULL OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt DATE NOT NULL OPTIONS (description = 'The night\'s day.'),
  table_name STRING NOT NULL OPTIONS (description = 'Table that was checked.'),
  expectation STRING NOT NULL OPTIONS (description = 'Name of the expectation.'),
  severity STRING NOT NULL OPTIONS (description = 'stop or warn.'),
  success BOOL NOT NULL OPTIONS (description = 'Whether it held.'),
  observed STRING NOT NULL OPTIONS (description = 'What was seen; never a value of a person\'s column.'),
  PRIMARY KEY (shop, dt, table_name, expectation) NOT ENFORCED
) OPTIONS (description = 'One expectation\'s verdict on one partition, append-only.');

CREATE TABLE IF NOT EXISTS warehouse_schema (
  fingerprint STRING NOT NULL OPTIONS (description = 'SHA-256 of the statements that made it.')
) OPTIONS (description = 'One row: what the definitions of this warehouse were made from.');

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
  row_key OPTIONS (description = 'shop|dt|surface|user_id|rank: one unique column for tools that want one.'),
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The night\'s day.'),
  surface OPTIONS (description = 'Where it is shown.'),
  user_id OPTIONS (description = 'In the lake the pseudonym, in the warehouse the shop\'s own id.'),
  rank OPTIONS (description = '1 is best.'),
  item_id OPTIONS (description = 'The shop\'s item id.'),
  score OPTIONS (description = 'Model score; falls with rank, comparable within one person only.'),
  strategy OPTIONS (description = 'model; category: popular in the categories of a history that the model cannot read; platform: popular on the platform where the person was last; popular: popular in the shop; held_out: the same, by the draw of `score.held_out_share`.'),
  reason_code OPTIONS (description = 'because_viewed, because_carted, because_bought, popular_in_category, popular_on_platform, popular_now, chosen_by_shop (a pin).'),
  evidence_item_id OPTIONS (description = 'The item of the history without which this one would lose most score.'),
  evidence_2_item_id OPTIONS (description = 'The next one, where its effect is not small beside the first\'s.'),
  evidence_3_item_id OPTIONS (description = 'The one after that.'),
  rule OPTIONS (description = 'What a business rule did to the row: pinned, or cap_given_way where nothing else was left; else null.'),
  model_name OPTIONS (description = 'Registered model, or popularity.'),
  model_version OPTIONS (description = 'Version of it.'),
  title OPTIONS (description = 'Latest title the log gave.'),
  category OPTIONS (description = 'Latest category the log gave.'),
  brand OPTIONS (description = 'Latest brand the log gave.'),
  price OPTIONS (description = 'Latest price of one piece. (shop\'s currency)'),
  publish_id OPTIONS (description = 'The publication, a row of publish_log.')
) OPTIONS (description = 'The recommendations of the night that publish_current names, with their items.') AS
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
  row_key OPTIONS (description = 'shop|dt|score_name|user_id: one unique column for tools that want one.'),
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The night\'s day.'),
  score_name OPTIONS (description = 'recency, frequency or monetary, which are ranks; or what is foretold, such as churn or purchase.'),
  user_id OPTIONS (description = 'The shop\'s own id of the person.'),
  observed OPTIONS (description = 'What is ranked: hours since the latest event, visits, or spend, within the history window; null for what is foretold. (hours, visits or shop\'s currency)'),
  score OPTIONS (description = 'Of a rank the share of the others who did worse, equals sharing one; of what is foretold its calibrated probability; of coupon_uplift by how much a coupon raises the chance of buying; of fraud no probability, but the share of people who are less conspicuous. (0 to 1)'),
  band OPTIONS (description = 'The rank\'s fifth: 1 is worst, 5 best; null for what is foretold.'),
  decile OPTIONS (description = 'Where the probability lies among the people it was calibrated on: 1 is least likely, 10 most; null for ranks.'),
  flagged OPTIONS (description = 'Likely enough that acting costs less than not acting, by the task\'s costs of errors; null for ranks.'),
  contender OPTIONS (description = 'What foretells: rule, trees, encoder, combined, anomaly or uplift; null for ranks.'),
  model_version OPTIONS (description = 'Version of the task\'s registered model; null for ranks.'),
  reasons OPTIONS (description = 'JSON array: columns of `user_features` that raised the score most, strongest first; null for ranks.'),
  outcome OPTIONS (description = 'Of several outcomes the likeliest, such as next_category\'s; else null.'),
  user_key OPTIONS (description = 'shop|user_id: joins facts and scores with v_dim_users.'),
  publish_id OPTIONS (description = 'The publication, a row of publish_log.')
) OPTIONS (description = 'Where people stand and what is foretold of them, in the night that publish_current names.') AS
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
  row_key OPTIONS (description = 'shop|dt|decision|user_id: one unique column for tools that want one.'),
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The night\'s day.'),
  decision OPTIONS (description = 'coupon, retention, promotion, cart_reminder or fraud_review; docs/conf.md has the settings.'),
  user_id OPTIONS (description = 'In the lake the pseudonym, in the warehouse the shop\'s own id.'),
  arm OPTIONS (description = 'act; or control: do nothing, drawn by a hash, per decision the same people every night.'),
  rank OPTIONS (description = '1 is best; both arms are ranked together.'),
  offer OPTIONS (description = 'What to send or do; null for the control group.'),
  expected_value OPTIONS (description = 'What acting is expected to bring, or to save at most; of a coupon less its cost. (shop\'s currency)'),
  cost OPTIONS (description = 'Of the offer if it is redeemed; 0 for the control group. (shop\'s currency)'),
  score_name OPTIONS (description = 'The score of `user_scores` that decided.'),
  score OPTIONS (description = 'Its probability. (0 to 1)'),
  reasons OPTIONS (description = 'JSON array: the score\'s reasons, strongest first.'),
  user_key OPTIONS (description = 'shop|user_id: joins facts and scores with v_dim_users.'),
  publish_id OPTIONS (description = 'The publication, a row of publish_log.')
) OPTIONS (description = 'Whom to act on, and whom to leave alone to compare with, in the night that publish_current names.') AS
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
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The night\'s day.'),
  publish_id OPTIONS (description = 'The publication, a row of publish_log.'),
  published_at OPTIONS (description = 'Commit time. (UTC)'),
  moved_at OPTIONS (description = 'Since when readers see this night. (UTC)'),
  hours_old OPTIONS (description = 'Since the publication, whatever was shown in between. (h)'),
  num_rows OPTIONS (description = 'Rows published. (rows)'),
  num_users OPTIONS (description = 'People covered. (people)'),
  fallback_share OPTIONS (description = 'Share of people served by popularity. (0 to 1)'),
  model_name OPTIONS (description = 'Champion that scored.'),
  model_version OPTIONS (description = 'Its version.')
) OPTIONS (description = 'Per shop how old the recommendations are that readers see.') AS
SELECT
  c.shop,
  c.dt,
  c.publish_id,
  l.published_at,
  c.moved_at,
  DATETIME_DIFF(CURRENT_DATETIME('UTC'), l.published_at, SECOND) / 3600 AS hours_old,
  l.num_rows,
  l.num_users,
  l.fallback_share,
  l.model_name,
  l.model_version
FROM publish_current c
JOIN publish_log l ON l.publish_id = c.publish_id;

CREATE VIEW v_fact_recommendations (
  row_key OPTIONS (description = 'shop|dt|surface|user_id|rank: one unique column for tools that want one.'),
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The night\'s day.'),
  surface OPTIONS (description = 'Where it is shown.'),
  user_id OPTIONS (description = 'In the lake the pseudonym, in the warehouse the shop\'s own id.'),
  rank OPTIONS (description = '1 is best.'),
  item_id OPTIONS (description = 'The shop\'s item id.'),
  score OPTIONS (description = 'Model score; falls with rank, comparable within one person only.'),
  strategy OPTIONS (description = 'model; category: popular in the categories of a history that the model cannot read; platform: popular on the platform where the person was last; popular: popular in the shop; held_out: the same, by the draw of `score.held_out_share`.'),
  reason_code OPTIONS (description = 'because_viewed, because_carted, because_bought, popular_in_category, popular_on_platform, popular_now, chosen_by_shop (a pin).'),
  evidence_item_id OPTIONS (description = 'The item of the history without which this one would lose most score.'),
  evidence_2_item_id OPTIONS (description = 'The next one, where its effect is not small beside the first\'s.'),
  evidence_3_item_id OPTIONS (description = 'The one after that.'),
  rule OPTIONS (description = 'What a business rule did to the row: pinned, or cap_given_way where nothing else was left; else null.'),
  model_name OPTIONS (description = 'Registered model, or popularity.'),
  model_version OPTIONS (description = 'Version of it.'),
  item_key OPTIONS (description = 'shop|dt|item_id: joins v_fact_recommendations with v_dim_items.'),
  user_key OPTIONS (description = 'shop|user_id: joins facts and scores with v_dim_users.'),
  night_key OPTIONS (description = 'shop|dt: joins v_fact_recommendations with v_dim_nights.')
) OPTIONS (description = 'Star schema, the facts: every recommended item of every night that the warehouse holds.') AS
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
  r.shop || '|' || CAST(r.dt AS STRING) || '|' || r.item_id AS item_key,
  r.shop || '|' || r.user_id AS user_key,
  r.shop || '|' || CAST(r.dt AS STRING) AS night_key
FROM recommendations r
JOIN published_nights n ON n.shop = r.shop AND n.dt = r.dt;

CREATE VIEW v_dim_items (
  item_key OPTIONS (description = 'shop|dt|item_id: joins v_fact_recommendations with v_dim_items.'),
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  item_id OPTIONS (description = 'The shop\'s item id.'),
  dt OPTIONS (description = 'As of the end of this shop\'s day: nothing later can move the row.'),
  title OPTIONS (description = 'Latest title the log gave.'),
  category OPTIONS (description = 'Latest category the log gave.'),
  brand OPTIONS (description = 'Latest brand the log gave.'),
  price OPTIONS (description = 'Latest price of one piece. (shop\'s currency)'),
  price_bucket OPTIONS (description = 'Decile of the price among priced items, 1 to 10; 0 without a price.'),
  first_seen OPTIONS (description = 'First event with the item in the window. (UTC)'),
  last_seen OPTIONS (description = 'Last event with the item in the window. (UTC)'),
  num_events OPTIONS (description = 'Events of people (not bots) with the item in the window. (events)'),
  num_recent OPTIONS (description = 'Events in the latest days of `score.popular_days`: what baselines and fallback call popular. (events)'),
  num_purchases OPTIONS (description = 'Purchase rows in the window. (events)')
) OPTIONS (description = 'Star schema: items with their attributes, as of each night that the warehouse holds.') AS
SELECT
  i.shop || '|' || CAST(i.dt AS STRING) || '|' || i.item_id AS item_key,
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
  user_key OPTIONS (description = 'shop|user_id: joins facts and scores with v_dim_users.'),
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  user_id OPTIONS (description = 'The shop\'s own id of the person.'),
  id_kind OPTIONS (description = 'user or device.')
) OPTIONS (description = 'Star schema: people by the shop\'s own id; a login and a device are two.') AS
SELECT
  u.shop || '|' || u.shop_id AS user_key,
  u.shop,
  u.shop_id AS user_id,
  u.id_kind
FROM users u;

CREATE VIEW v_dim_nights (
  night_key OPTIONS (description = 'shop|dt: joins v_fact_recommendations with v_dim_nights.'),
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The night\'s day.'),
  publish_id OPTIONS (description = 'The publication, a row of publish_log.'),
  is_current OPTIONS (description = 'Whether readers of the views named current see this night.'),
  published_at OPTIONS (description = 'Commit time. (UTC)'),
  run_id OPTIONS (description = 'The orchestrator\'s run.'),
  num_rows OPTIONS (description = 'Rows published. (rows)'),
  num_users OPTIONS (description = 'People covered. (people)'),
  fallback_share OPTIONS (description = 'Share of people served by popularity. (0 to 1)'),
  model_name OPTIONS (description = 'Champion that scored.'),
  model_version OPTIONS (description = 'Its version.')
) OPTIONS (description = 'Star schema: the nights that the warehouse holds, with what was published and by which model.') AS
SELECT
  n.shop || '|' || CAST(n.dt AS STRING) AS night_key,
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
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The night\'s day.'),
  user_id OPTIONS (description = 'The shop\'s own id of the person.'),
  content_hash OPTIONS (description = 'Hash of what the payload says: items, their attributes, order and reasons.'),
  changed_at OPTIONS (description = 'Since when readers see this content; moves only when it does. (UTC)'),
  moved_at OPTIONS (description = 'Since when readers see this night. (UTC)')
) OPTIONS (description = 'Per person of the current night the content\'s hash and since when readers see it.') AS
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
  row_key OPTIONS (description = 'shop|user_id: one unique column for tools that want one.'),
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The night\'s day.'),
  user_id OPTIONS (description = 'The shop\'s own id of the person.'),
  payload OPTIONS (description = 'JSON: the recommendations of every surface, best first, with their items.'),
  content_hash OPTIONS (description = 'Hash of what the payload says: items, their attributes, order and reasons.'),
  changed_at OPTIONS (description = 'Since when readers see this content; moves only when it does. (UTC)')
) OPTIONS (description = 'One row per person of the current night, wide: everything that a CRM tool shows, as JSON.') AS
SELECT
  s.shop || '|' || s.user_id AS row_key,
  s.shop,
  s.dt,
  s.user_id,
  p.payload,
  s.content_hash,
  s.changed_at
FROM v_crm_seen s
JOIN (SELECT r.shop, r.dt, r.user_id, TO_JSON_STRING(STRUCT(ARRAY_AGG(STRUCT(r.surface AS surface, r.rank AS rank, r.item_id AS item_id, i.title AS title, i.category AS category, i.brand AS brand, i.price AS price, r.reason_code AS reason_code) ORDER BY r.surface, r.rank) AS recommendations)) AS payload FROM recommendations r LEFT JOIN items i ON i.shop = r.shop AND i.dt = r.dt AND i.item_id = r.item_id GROUP BY r.shop, r.dt, r.user_id) p ON p.shop = s.shop AND p.dt = s.dt AND p.user_id = s.user_id;

CREATE VIEW crm_changed (
  row_key OPTIONS (description = 'shop|user_id: one unique column for tools that want one.'),
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The night\'s day.'),
  user_id OPTIONS (description = 'The shop\'s own id of the person.'),
  payload OPTIONS (description = 'JSON: the recommendations of every surface, best first, with their items.'),
  content_hash OPTIONS (description = 'Hash of what the payload says: items, their attributes, order and reasons.'),
  changed_at OPTIONS (description = 'Since when readers see this content; moves only when it does. (UTC)')
) OPTIONS (description = 'The rows of crm_users whose content changed when readers were last given another night.') AS
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
  row_key OPTIONS (description = 'shop|user_id: one unique column for tools that want one.'),
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  user_id OPTIONS (description = 'The shop\'s own id of the person.'),
  deleted_at OPTIONS (description = 'Since when readers see no row. (UTC)')
) OPTIONS (description = 'People who had a row in crm_users once and have none now.') AS
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
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The shop\'s day on which the sessions start.'),
  platform OPTIONS (description = 'Platform of the session\'s first event; (all) for every one.'),
  known_days OPTIONS (description = 'Days before this one that the log covers, at most `marts.lookback_days`: with fewer, less is known of before. (days)'),
  num_visitors OPTIONS (description = 'Distinct visitors. (visitors)'),
  num_new_visitors OPTIONS (description = 'Of them, those without a session in the `marts.lookback_days` before, on whatever platform. (visitors)'),
  num_returning_visitors OPTIONS (description = 'Of them, the others. (visitors)'),
  num_persons OPTIONS (description = 'Distinct people on all their devices, as known at the end of the day. (people)'),
  num_logged_in_persons OPTIONS (description = 'Of them, those with a login on this platform that day. (people)'),
  num_sessions OPTIONS (description = 'Sessions. (sessions)'),
  num_bounces OPTIONS (description = 'Sessions with at most one event, impressions aside. (sessions)'),
  num_sessions_with_cart OPTIONS (description = 'Sessions with an addition to the cart. (sessions)'),
  num_sessions_with_purchase OPTIONS (description = 'Sessions with a purchase. (sessions)'),
  num_events OPTIONS (description = 'Events of any kind. (events)'),
  num_views OPTIONS (description = 'Item views. (events)'),
  num_searches OPTIONS (description = 'Searches. (events)'),
  num_carts OPTIONS (description = 'Additions to the cart. (events)'),
  num_purchases OPTIONS (description = 'Purchase rows. (events)'),
  num_returns OPTIONS (description = 'Return rows. (events)'),
  num_reviews OPTIONS (description = 'Reviews. (events)'),
  num_coupons OPTIONS (description = 'Coupon events. (events)'),
  num_clicks OPTIONS (description = 'Clicks on what was shown. (events)'),
  num_impressions OPTIONS (description = 'Times that something was shown. (events)'),
  num_uncarts OPTIONS (description = 'Removals from the cart. (events)'),
  num_favourites OPTIONS (description = 'Additions to a wish list. (events)'),
  num_cancels OPTIONS (description = 'Orders or parts of them withdrawn. (events)'),
  num_orders OPTIONS (description = 'Distinct orders; a session\'s purchases without an order id are one. (orders)'),
  num_pieces OPTIONS (description = 'Pieces bought; an unknown quantity is one. (pieces)'),
  revenue OPTIONS (description = 'Sum of price x quantity over purchases, before cancellations and returns. (shop\'s currency)'),
  num_unpriced_purchases OPTIONS (description = 'Purchase rows without a price: no revenue is counted for them. (events)'),
  num_returned_pieces OPTIONS (description = 'Pieces returned that day, whenever they were bought. (pieces)'),
  returned_value OPTIONS (description = 'Sum of price x quantity over returns; without a price nothing. (shop\'s currency)'),
  num_cancelled_pieces OPTIONS (description = 'Pieces withdrawn that day, whenever they were ordered. (pieces)'),
  cancelled_value OPTIONS (description = 'Sum of price x quantity over cancellations; without a price nothing. (shop\'s currency)'),
  num_bot_sessions OPTIONS (description = 'Sessions of bots, in no other count. (sessions)'),
  num_bot_events OPTIONS (description = 'Events of bots, in no other count. (events)'),
  new_visitor_share OPTIONS (description = 'Share of visitors not seen lately. (0 to 1)'),
  login_share OPTIONS (description = 'Share of people who logged in. (0 to 1)'),
  bounce_share OPTIONS (description = 'Share of sessions that went no further. (0 to 1)'),
  cart_rate OPTIONS (description = 'Share of sessions that fill a cart. (0 to 1)'),
  conversion_rate OPTIONS (description = 'Share of sessions that buy. (0 to 1)'),
  average_order_value OPTIONS (description = 'Revenue of an order. (shop\'s currency)'),
  revenue_per_session OPTIONS (description = 'Revenue of a session. (shop\'s currency)'),
  return_rate OPTIONS (description = 'Pieces returned per piece bought. (pieces)'),
  bot_share OPTIONS (description = 'Share of all sessions that are bots\'. (0 to 1)')
) OPTIONS (description = 'What a shop asks first about a day.') AS
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
  CAST(t.num_new_visitors AS FLOAT64) / nullif(t.num_visitors, 0) AS new_visitor_share,
  CAST(t.num_logged_in_persons AS FLOAT64) / nullif(t.num_persons, 0) AS login_share,
  CAST(t.num_bounces AS FLOAT64) / nullif(t.num_sessions, 0) AS bounce_share,
  CAST(t.num_sessions_with_cart AS FLOAT64) / nullif(t.num_sessions, 0) AS cart_rate,
  CAST(t.num_sessions_with_purchase AS FLOAT64) / nullif(t.num_sessions, 0) AS conversion_rate,
  CAST(t.revenue AS FLOAT64) / nullif(t.num_orders, 0) AS average_order_value,
  CAST(t.revenue AS FLOAT64) / nullif(t.num_sessions, 0) AS revenue_per_session,
  CAST(t.num_returned_pieces AS FLOAT64) / nullif(t.num_pieces, 0) AS return_rate,
  CAST(t.num_bot_sessions AS FLOAT64) / nullif(t.num_sessions + t.num_bot_sessions, 0) AS bot_share
FROM daily_kpis t;

CREATE VIEW v_funnels (
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The shop\'s day on which the sessions start.'),
  platform OPTIONS (description = 'Platform of the session\'s first event; (all) for every one.'),
  category OPTIONS (description = 'Category of the item as of the day, the `marts.top_categories` with most events; (other), (none) where the item has none, (all) for every event, those without an item included.'),
  campaign OPTIONS (description = 'Source of the visit, the day\'s `marts.top_campaigns` with most sessions; (other), (none), (all).'),
  num_sessions OPTIONS (description = 'Sessions with an event on an item of the category; with any for (all). (sessions)'),
  num_viewed OPTIONS (description = 'Sessions with a view. (sessions)'),
  num_carted OPTIONS (description = 'Sessions with an addition to the cart, viewed before or not. (sessions)'),
  num_bought OPTIONS (description = 'Sessions with a purchase, whatever came before. (sessions)'),
  num_viewed_carted OPTIONS (description = 'Sessions with a view and later an addition to the cart. (sessions)'),
  num_viewed_carted_bought OPTIONS (description = 'Sessions with a view, later an addition to the cart and later a purchase. (sessions)'),
  num_lost_after_view OPTIONS (description = 'num_viewed less num_viewed_carted. (sessions)'),
  num_lost_after_cart OPTIONS (description = 'num_viewed_carted less num_viewed_carted_bought. (sessions)'),
  cart_rate OPTIONS (description = 'Share of viewing sessions that go on. (0 to 1)'),
  checkout_rate OPTIONS (description = 'Share of those with a cart that go on. (0 to 1)'),
  conversion_rate OPTIONS (description = 'Share of viewing sessions that reach the end. (0 to 1)')
) OPTIONS (description = 'How far sessions get from view over cart to purchase.') AS
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
  CAST(t.num_viewed_carted AS FLOAT64) / nullif(t.num_viewed, 0) AS cart_rate,
  CAST(t.num_viewed_carted_bought AS FLOAT64) / nullif(t.num_viewed_carted, 0) AS checkout_rate,
  CAST(t.num_viewed_carted_bought AS FLOAT64) / nullif(t.num_viewed, 0) AS conversion_rate
FROM funnels t;

CREATE VIEW v_decision_transitions (
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The shop\'s day on which the sessions start.'),
  platform OPTIONS (description = 'Platform of the session\'s first event; (all) for every one.'),
  from_kind OPTIONS (description = 'Kind of an event, among `marts.path_kinds`; or (start).'),
  to_kind OPTIONS (description = 'Kind of the next one; or (end).'),
  num_transitions OPTIONS (description = 'Times that the one followed the other. (transitions)'),
  num_from OPTIONS (description = 'Times that anything followed from_kind. (transitions)'),
  transition_share OPTIONS (description = 'How often from_kind goes on like this. (0 to 1)')
) OPTIONS (description = 'What people do next within a session.') AS
SELECT
  t.shop,
  t.dt,
  t.platform,
  t.from_kind,
  t.to_kind,
  t.num_transitions,
  t.num_from,
  CAST(t.num_transitions AS FLOAT64) / nullif(t.num_from, 0) AS transition_share
FROM decision_transitions t;

CREATE VIEW v_decision_paths (
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The shop\'s day on which the sessions start.'),
  platform OPTIONS (description = 'Platform of the session\'s first event; (all) for every one.'),
  path OPTIONS (description = 'Kinds in order, such as view>view>cart>purchase; (none) without an event of `marts.path_kinds`, (other) for all but the `marts.top_paths` of the platform.'),
  num_paths OPTIONS (description = 'Different paths in the row: 1, more for (other). (paths)'),
  num_sessions OPTIONS (description = 'Sessions that went this way. (sessions)'),
  num_bought OPTIONS (description = 'Of them, those with a purchase, also beyond the path\'s end. (sessions)'),
  num_all_sessions OPTIONS (description = 'Sessions of the platform that day. (sessions)'),
  session_share OPTIONS (description = 'Share of the platform\'s sessions. (0 to 1)'),
  conversion_rate OPTIONS (description = 'Share of them that buy. (0 to 1)')
) OPTIONS (description = 'The most common ways through a session.') AS
SELECT
  t.shop,
  t.dt,
  t.platform,
  t.path,
  t.num_paths,
  t.num_sessions,
  t.num_bought,
  t.num_all_sessions,
  CAST(t.num_sessions AS FLOAT64) / nullif(t.num_all_sessions, 0) AS session_share,
  CAST(t.num_bought AS FLOAT64) / nullif(t.num_sessions, 0) AS conversion_rate
FROM decision_paths t;

CREATE VIEW v_decision_times (
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The shop\'s day on which the sessions start.'),
  platform OPTIONS (description = 'Platform of the session\'s first event; (all) for every one.'),
  known_days OPTIONS (description = 'Days before this one that the log covers, at most `marts.lookback_days`: with fewer, less is known of before. (days)'),
  num_bought_items OPTIONS (description = 'Different items bought, session by session. (items)'),
  num_viewed_items OPTIONS (description = 'Of them, those that the person had viewed within `marts.lookback_days` before, in whatever session. (items)'),
  minutes_from_view_p25 OPTIONS (description = 'Lower quartile of the time from an item\'s first such view to its purchase. (minutes)'),
  minutes_from_view_median OPTIONS (description = 'Median of the time from an item\'s first such view to its purchase. (minutes)'),
  minutes_from_view_p75 OPTIONS (description = 'Upper quartile of the time from an item\'s first such view to its purchase. (minutes)'),
  minutes_from_view_p90 OPTIONS (description = '90th percentile of the time from an item\'s first such view to its purchase. (minutes)'),
  num_sessions OPTIONS (description = 'Sessions with a purchase. (sessions)'),
  minutes_from_start_p25 OPTIONS (description = 'Lower quartile of the time from a session\'s start to its first purchase. (minutes)'),
  minutes_from_start_median OPTIONS (description = 'Median of the time from a session\'s start to its first purchase. (minutes)'),
  minutes_from_start_p75 OPTIONS (description = 'Upper quartile of the time from a session\'s start to its first purchase. (minutes)'),
  minutes_from_start_p90 OPTIONS (description = '90th percentile of the time from a session\'s start to its first purchase. (minutes)'),
  num_first_sessions OPTIONS (description = 'Of them, those without an earlier session of the person. (sessions)'),
  sessions_before_p25 OPTIONS (description = 'Lower quartile of the number of the person\'s earlier sessions within `marts.lookback_days`. (sessions)'),
  sessions_before_median OPTIONS (description = 'Median of the number of the person\'s earlier sessions within `marts.lookback_days`. (sessions)'),
  sessions_before_p75 OPTIONS (description = 'Upper quartile of the number of the person\'s earlier sessions within `marts.lookback_days`. (sessions)'),
  sessions_before_p90 OPTIONS (description = '90th percentile of the number of the person\'s earlier sessions within `marts.lookback_days`. (sessions)'),
  viewed_share OPTIONS (description = 'Share of items viewed before. (0 to 1)'),
  first_session_share OPTIONS (description = 'Share bought at once. (0 to 1)')
) OPTIONS (description = 'How long people take to buy.') AS
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
  CAST(t.num_viewed_items AS FLOAT64) / nullif(t.num_bought_items, 0) AS viewed_share,
  CAST(t.num_first_sessions AS FLOAT64) / nullif(t.num_sessions, 0) AS first_session_share
FROM decision_times t;

CREATE VIEW v_cart_abandonment (
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The shop\'s day on which the sessions start.'),
  platform OPTIONS (description = 'Platform of the session\'s first event; (all) for every one.'),
  category OPTIONS (description = 'Category of the item as of the day, the `marts.top_categories` with most events; (other), (none) where the item has none, (all) for every event, those without an item included.'),
  num_carts OPTIONS (description = 'Sessions that put an item into the cart. (sessions)'),
  num_lines OPTIONS (description = 'Items put into carts, once per session; the sum of the next four. (items)'),
  num_bought OPTIONS (description = 'Bought by the same person within `marts.cart_hours` and `marts.cart_sessions`. (items)'),
  num_removed OPTIONS (description = 'Taken out again in the same session, and not bought. (items)'),
  num_abandoned OPTIONS (description = 'Left in the cart, and not bought in that time. (items)'),
  num_open OPTIONS (description = 'Left in the cart while that time is not over; none once it is. (items)'),
  num_recovered OPTIONS (description = 'Abandoned, but bought within `marts.recovery_days`, as far as is known. (items)'),
  num_unpriced OPTIONS (description = 'Abandoned without a known price: missing from the values. (items)'),
  value_abandoned OPTIONS (description = 'Price x quantity of abandoned items. (shop\'s currency)'),
  value_recovered OPTIONS (description = 'Price x quantity of the recovered ones, as they lay in the cart. (shop\'s currency)'),
  value_left OPTIONS (description = 'value_abandoned less value_recovered. (shop\'s currency)'),
  abandonment_rate OPTIONS (description = 'Share of decided items that were left. (0 to 1)'),
  recovery_rate OPTIONS (description = 'Share of left items bought later. (0 to 1)')
) OPTIONS (description = 'What became of the items that people put into carts.') AS
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
  CAST(t.num_abandoned AS FLOAT64) / nullif(t.num_bought + t.num_abandoned, 0) AS abandonment_rate,
  CAST(t.num_recovered AS FLOAT64) / nullif(t.num_abandoned, 0) AS recovery_rate
FROM cart_abandonment t;

CREATE VIEW v_realised (
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The night whose lists are judged.'),
  origin OPTIONS (description = 'published: readers could see the lists; replayed: `make backtest` made them afterwards from what was known then.'),
  surface OPTIONS (description = 'Where the lists were to be shown.'),
  strategy OPTIONS (description = 'Strategy of the list\'s first item; held_out: drawn to see no model.'),
  model_name OPTIONS (description = 'Registered model, or popularity.'),
  model_version OPTIONS (description = 'Version of it.'),
  segment OPTIONS (description = '(all), or people by the length of their history or by the platform of their latest entry; platforms add up to (all), and so do lengths.'),
  list OPTIONS (description = 'shown: the night\'s list; popular: the control, what was popular then, ranked for the same people under the same exclusions.'),
  k OPTIONS (description = 'How much of each list counts. (places)'),
  window_days OPTIONS (description = 'How long people were watched. (days)'),
  num_lists OPTIONS (description = 'Lists of the group. (lists)'),
  num_active OPTIONS (description = 'Of them, those whose person touched an item in the window. (lists)'),
  num_hits OPTIONS (description = 'Active lists with a touched item among the first k. (lists)'),
  ndcg_sum OPTIONS (description = 'Sum over active lists of NDCG at k; a touched item is relevant.'),
  ndcg_squares OPTIONS (description = 'Sum of its squares, for intervals.'),
  ndcg_gain_squares OPTIONS (description = 'Sum of the squares of NDCG less the control\'s, for intervals.'),
  num_buyers OPTIONS (description = 'Lists whose person bought anything. (lists)'),
  num_purchases OPTIONS (description = 'Purchase rows of these people, of whatever item. (events)'),
  purchases_squares OPTIONS (description = 'Sum over lists of its squares, for intervals.'),
  num_listed_purchases OPTIONS (description = 'Of them, those of an item among the first k. (events)'),
  revenue OPTIONS (description = 'Sum of price x quantity over purchases, before returns. (shop\'s currency)'),
  revenue_squares OPTIONS (description = 'Sum over lists of its squares, for intervals.'),
  listed_revenue OPTIONS (description = 'Of it, that of items among the first k. (shop\'s currency)'),
  num_unpriced OPTIONS (description = 'Purchase rows without a price: no revenue is counted for them. (events)'),
  hit_rate OPTIONS (description = 'Share of active lists that held what was touched. (0 to 1)'),
  ndcg OPTIONS (description = 'Mean NDCG of active lists. (0 to 1)'),
  buyer_share OPTIONS (description = 'Share of lists whose person bought. (0 to 1)'),
  listed_purchase_share OPTIONS (description = 'Share of purchases that the lists held. (0 to 1)'),
  listed_revenue_share OPTIONS (description = 'Share of revenue that the lists held. (0 to 1)'),
  revenue_per_list OPTIONS (description = 'Revenue of a person with a list. (shop\'s currency)')
) OPTIONS (description = 'What people did after a night\'s lists could be seen, counted per group of people.') AS
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
  CAST(t.num_hits AS FLOAT64) / nullif(t.num_active, 0) AS hit_rate,
  CAST(t.ndcg_sum AS FLOAT64) / nullif(t.num_active, 0) AS ndcg,
  CAST(t.num_buyers AS FLOAT64) / nullif(t.num_lists, 0) AS buyer_share,
  CAST(t.num_listed_purchases AS FLOAT64) / nullif(t.num_purchases, 0) AS listed_purchase_share,
  CAST(t.listed_revenue AS FLOAT64) / nullif(t.revenue, 0) AS listed_revenue_share,
  CAST(t.revenue AS FLOAT64) / nullif(t.num_lists, 0) AS revenue_per_list
FROM realised t;

CREATE VIEW v_realised_scores (
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The night that foretold.'),
  score_name OPTIONS (description = 'The task, such as churn or purchase.'),
  contender OPTIONS (description = 'What foretold: rule, trees, encoder or combined.'),
  model_version OPTIONS (description = 'Version of the task\'s registered model.'),
  segment OPTIONS (description = '(all); platform: of the latest event; activity: visits in the last 28 days; or a group of the task\'s own.'),
  window_days OPTIONS (description = 'How long people were watched. (days)'),
  num_foretold OPTIONS (description = 'People with the score. (people)'),
  num_people OPTIONS (description = 'Of them, those whose question has an answer: the numbers below are theirs. (people)'),
  num_positives OPTIONS (description = 'Of these, those for whom it came true. (people)'),
  foretold_sum OPTIONS (description = 'Sum of their probabilities: how many were expected. (people)'),
  auroc OPTIONS (description = 'Chance that one for whom it came true had the higher score; null with one outcome. (0 to 1)'),
  average_precision OPTIONS (description = 'Mean precision over those for whom it came true; null without any. (0 to 1)'),
  log_loss OPTIONS (description = 'Mean of minus the logarithm of what was given to what happened. (nats)'),
  ece OPTIONS (description = 'Expected calibration error over ten groups of equally many people. (0 to 1)'),
  ece_by_chance OPTIONS (description = 'Its mean on as many people, were every probability right. (0 to 1)'),
  ece_by_chance_high OPTIONS (description = 'What one such draw in forty would be above. (0 to 1)'),
  lift_first_decile OPTIONS (description = 'How often it came true among the highest tenth, over that among everybody.'),
  mean_foretold OPTIONS (description = 'Mean probability. (0 to 1)'),
  observed_rate OPTIONS (description = 'Share of those for whom it came true. (0 to 1)')
) OPTIONS (description = 'How good a night\'s scores were, once what they foretold was over: one row per score, model and group of people.') AS
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
  CAST(t.foretold_sum AS FLOAT64) / nullif(t.num_people, 0) AS mean_foretold,
  CAST(t.num_positives AS FLOAT64) / nullif(t.num_people, 0) AS observed_rate
FROM realised_scores t;

CREATE VIEW v_realised_calibration (
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The night that foretold.'),
  score_name OPTIONS (description = 'The task, such as churn or purchase.'),
  contender OPTIONS (description = 'What foretold: rule, trees, encoder or combined.'),
  model_version OPTIONS (description = 'Version of the task\'s registered model.'),
  bin OPTIONS (description = '1 is least likely; ties can leave fewer than ten.'),
  num_people OPTIONS (description = 'People of the group. (people)'),
  num_positives OPTIONS (description = 'Of them, those for whom it came true. (people)'),
  foretold_sum OPTIONS (description = 'Sum of their probabilities: how many were expected. (people)'),
  mean_foretold OPTIONS (description = 'Mean probability. (0 to 1)'),
  observed_rate OPTIONS (description = 'Share of those for whom it came true. (0 to 1)')
) OPTIONS (description = 'People of a night in groups of like probability: what was foretold of them, and what happened.') AS
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
  CAST(t.foretold_sum AS FLOAT64) / nullif(t.num_people, 0) AS mean_foretold,
  CAST(t.num_positives AS FLOAT64) / nullif(t.num_people, 0) AS observed_rate
FROM realised_calibration t;

CREATE VIEW v_realised_decisions (
  shop OPTIONS (description = 'Name of the shop: one warehouse serves several.'),
  dt OPTIONS (description = 'The night that decided.'),
  decision OPTIONS (description = 'As in `decisions`.'),
  arm OPTIONS (description = 'act or control.'),
  score_name OPTIONS (description = 'The score that decided.'),
  outcome OPTIONS (description = 'Column of `labels` that acting is meant to move; null where none is.'),
  window_days OPTIONS (description = 'Days over which purchases count; an outcome may take longer. (days)'),
  num_people OPTIONS (description = 'People of the arm of whom anything is known since. (people)'),
  num_answered OPTIONS (description = 'Of them, those for whom the outcome is known. (people)'),
  num_positives OPTIONS (description = 'Of these, those for whom it is true. (people)'),
  revenue OPTIONS (description = 'Sum of price x quantity over their purchases in the window, before returns. (shop\'s currency)'),
  revenue_squares OPTIONS (description = 'Sum over people of its squares, for intervals.'),
  margin OPTIONS (description = 'Share of a price that was left to the shop, as settings had it. (0 to 1)'),
  expected_value OPTIONS (description = 'Sum of what acting was expected to bring; of the control group, what it would have. (shop\'s currency)'),
  cost OPTIONS (description = 'Sum of the offers\' cost, as though everybody redeemed theirs. (shop\'s currency)'),
  outcome_difference OPTIONS (description = 'A person acted on less one left alone: share with the outcome; null of control or few. (-1 to 1)'),
  outcome_difference_low OPTIONS (description = 'Lower bound of its 95 % interval, by the normal approximation (Welch). (-1 to 1)'),
  outcome_difference_high OPTIONS (description = 'Upper bound of its 95 % interval, by the normal approximation (Welch). (-1 to 1)'),
  revenue_difference OPTIONS (description = 'A person acted on less one left alone: revenue; null of control or few. (shop\'s currency)'),
  revenue_difference_low OPTIONS (description = 'Lower bound of its 95 % interval, by the normal approximation (Welch). (shop\'s currency)'),
  revenue_difference_high OPTIONS (description = 'Upper bound of its 95 % interval, by the normal approximation (Welch). (shop\'s currency)'),
  realised_value OPTIONS (description = 'Margin on the difference in revenue, less the mean cost: per person acted on. (shop\'s currency)'),
  realised_value_low OPTIONS (description = 'Lower bound of its 95 % interval, by the normal approximation (Welch). (shop\'s currency)'),
  realised_value_high OPTIONS (description = 'Upper bound of its 95 % interval, by the normal approximation (Welch). (shop\'s currency)'),
  outcome_rate OPTIONS (description = 'Share with the outcome. (0 to 1)'),
  revenue_per_person OPTIONS (description = 'Mean revenue. (shop\'s currency)'),
  expected_value_per_person OPTIONS (description = 'Mean expected value. (shop\'s currency)')
) OPTIONS (description = 'What became of those a night acted on, and of those it left alone to compare with: one row per decision and arm.') AS
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
  CAST(t.num_positives AS FLOAT64) / nullif(t.num_answered, 0) AS outcome_rate,
  CAST(t.revenue AS FLOAT64) / nullif(t.num_people, 0) AS revenue_per_person,
  CAST(t.expected_value AS FLOAT64) / nullif(t.num_people, 0) AS expected_value_per_person
FROM realised_decisions t;
