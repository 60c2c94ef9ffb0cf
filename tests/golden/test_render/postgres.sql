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
  logged_in BOOLEAN NOT NULL,
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
COMMENT ON COLUMN session_events.logged_in IS 'The event itself carries the login.';
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

CREATE TABLE IF NOT EXISTS user_features (
  user_id TEXT NOT NULL,
  dt DATE NOT NULL,
  num_events_1d INTEGER NOT NULL,
  num_events_7d INTEGER NOT NULL,
  num_events_28d INTEGER NOT NULL,
  num_events INTEGER NOT NULL,
  num_views_1d INTEGER NOT NULL,
  num_views_7d INTEGER NOT NULL,
  num_views_28d INTEGER NOT NULL,
  num_views INTEGER NOT NULL,
  num_searches_1d INTEGER NOT NULL,
  num_searches_7d INTEGER NOT NULL,
  num_searches_28d INTEGER NOT NULL,
  num_searches INTEGER NOT NULL,
  num_carts_1d INTEGER NOT NULL,
  num_carts_7d INTEGER NOT NULL,
  num_carts_28d INTEGER NOT NULL,
  num_carts INTEGER NOT NULL,
  num_purchases_1d INTEGER NOT NULL,
  num_purchases_7d INTEGER NOT NULL,
  num_purchases_28d INTEGER NOT NULL,
  num_purchases INTEGER NOT NULL,
  num_returns_1d INTEGER NOT NULL,
  num_returns_7d INTEGER NOT NULL,
  num_returns_28d INTEGER NOT NULL,
  num_returns INTEGER NOT NULL,
  num_reviews_1d INTEGER NOT NULL,
  num_reviews_7d INTEGER NOT NULL,
  num_reviews_28d INTEGER NOT NULL,
  num_reviews INTEGER NOT NULL,
  num_coupons_1d INTEGER NOT NULL,
  num_coupons_7d INTEGER NOT NULL,
  num_coupons_28d INTEGER NOT NULL,
  num_coupons INTEGER NOT NULL,
  num_clicks_1d INTEGER NOT NULL,
  num_clicks_7d INTEGER NOT NULL,
  num_clicks_28d INTEGER NOT NULL,
  num_clicks INTEGER NOT NULL,
  num_impressions_1d INTEGER NOT NULL,
  num_impressions_7d INTEGER NOT NULL,
  num_impressions_28d INTEGER NOT NULL,
  num_impressions INTEGER NOT NULL,
  num_uncarts_1d INTEGER NOT NULL,
  num_uncarts_7d INTEGER NOT NULL,
  num_uncarts_28d INTEGER NOT NULL,
  num_uncarts INTEGER NOT NULL,
  num_favourites_1d INTEGER NOT NULL,
  num_favourites_7d INTEGER NOT NULL,
  num_favourites_28d INTEGER NOT NULL,
  num_favourites INTEGER NOT NULL,
  num_cancels_1d INTEGER NOT NULL,
  num_cancels_7d INTEGER NOT NULL,
  num_cancels_28d INTEGER NOT NULL,
  num_cancels INTEGER NOT NULL,
  num_sessions_1d INTEGER NOT NULL,
  num_sessions_7d INTEGER NOT NULL,
  num_sessions_28d INTEGER NOT NULL,
  num_sessions INTEGER NOT NULL,
  num_active_days_1d INTEGER NOT NULL,
  num_active_days_7d INTEGER NOT NULL,
  num_active_days_28d INTEGER NOT NULL,
  num_active_days INTEGER NOT NULL,
  hours_since_last_event DOUBLE PRECISION NOT NULL,
  hours_since_last_session DOUBLE PRECISION NOT NULL,
  hours_since_last_view DOUBLE PRECISION,
  hours_since_last_cart DOUBLE PRECISION,
  hours_since_last_purchase DOUBLE PRECISION,
  tenure_days INTEGER NOT NULL,
  event_gap_seconds_mean DOUBLE PRECISION,
  event_gap_seconds_median DOUBLE PRECISION,
  event_gap_seconds_std DOUBLE PRECISION,
  event_gap_seconds_last DOUBLE PRECISION,
  session_gap_hours_mean DOUBLE PRECISION,
  session_gap_hours_median DOUBLE PRECISION,
  session_gap_hours_std DOUBLE PRECISION,
  session_gap_hours_last DOUBLE PRECISION,
  session_seconds_mean DOUBLE PRECISION NOT NULL,
  session_events_mean DOUBLE PRECISION NOT NULL,
  weekend_share DOUBLE PRECISION NOT NULL,
  night_share DOUBLE PRECISION NOT NULL,
  num_search_to_search INTEGER NOT NULL,
  num_search_to_view INTEGER NOT NULL,
  num_search_to_cart INTEGER NOT NULL,
  num_search_to_purchase INTEGER NOT NULL,
  num_view_to_search INTEGER NOT NULL,
  num_view_to_view INTEGER NOT NULL,
  num_view_to_cart INTEGER NOT NULL,
  num_view_to_purchase INTEGER NOT NULL,
  num_cart_to_search INTEGER NOT NULL,
  num_cart_to_view INTEGER NOT NULL,
  num_cart_to_cart INTEGER NOT NULL,
  num_cart_to_purchase INTEGER NOT NULL,
  num_purchase_to_search INTEGER NOT NULL,
  num_purchase_to_view INTEGER NOT NULL,
  num_purchase_to_cart INTEGER NOT NULL,
  num_purchase_to_purchase INTEGER NOT NULL,
  share_sessions_with_cart DOUBLE PRECISION NOT NULL,
  share_sessions_with_purchase DOUBLE PRECISION NOT NULL,
  share_entries_web DOUBLE PRECISION NOT NULL,
  share_entries_app DOUBLE PRECISION NOT NULL,
  share_entries_mini_program DOUBLE PRECISION NOT NULL,
  share_entries_email DOUBLE PRECISION NOT NULL,
  share_entries_store DOUBLE PRECISION NOT NULL,
  share_entries_other DOUBLE PRECISION NOT NULL,
  last_platform TEXT NOT NULL,
  num_platforms INTEGER NOT NULL,
  num_devices INTEGER NOT NULL,
  num_queries INTEGER NOT NULL,
  num_campaigns INTEGER NOT NULL,
  click_share DOUBLE PRECISION,
  viewed_price_mean DOUBLE PRECISION,
  viewed_price_min DOUBLE PRECISION,
  viewed_price_max DOUBLE PRECISION,
  viewed_price_bucket_mean DOUBLE PRECISION,
  bought_price_mean DOUBLE PRECISION,
  bought_price_min DOUBLE PRECISION,
  bought_price_max DOUBLE PRECISION,
  bought_price_bucket_mean DOUBLE PRECISION,
  spend_1d DOUBLE PRECISION NOT NULL,
  spend_7d DOUBLE PRECISION NOT NULL,
  spend_28d DOUBLE PRECISION NOT NULL,
  spend DOUBLE PRECISION NOT NULL,
  num_orders INTEGER NOT NULL,
  order_value_mean DOUBLE PRECISION,
  returned_value DOUBLE PRECISION NOT NULL,
  num_open_cart_items INTEGER NOT NULL,
  open_cart_value DOUBLE PRECISION NOT NULL,
  num_items INTEGER NOT NULL,
  num_items_bought INTEGER NOT NULL,
  num_categories INTEGER NOT NULL,
  top_category TEXT,
  top_category_share DOUBLE PRECISION,
  category_entropy DOUBLE PRECISION,
  num_brands INTEGER NOT NULL,
  top_brand TEXT,
  top_brand_share DOUBLE PRECISION,
  brand_entropy DOUBLE PRECISION
);
COMMENT ON TABLE user_features IS 'What the log says of one person up to an instant, as numbers.';
COMMENT ON COLUMN user_features.user_id IS 'Pseudonym of the person.';
COMMENT ON COLUMN user_features.dt IS 'As of the end of this shop''s day: nothing later can move the row.';
COMMENT ON COLUMN user_features.num_events_1d IS 'Events of any kind on the day itself. (events)';
COMMENT ON COLUMN user_features.num_events_7d IS 'Events of any kind in the last 7 days. (events)';
COMMENT ON COLUMN user_features.num_events_28d IS 'Events of any kind in the last 28 days. (events)';
COMMENT ON COLUMN user_features.num_events IS 'Events of any kind in the history window. (events)';
COMMENT ON COLUMN user_features.num_views_1d IS 'Events of kind view on the day itself. (events)';
COMMENT ON COLUMN user_features.num_views_7d IS 'Events of kind view in the last 7 days. (events)';
COMMENT ON COLUMN user_features.num_views_28d IS 'Events of kind view in the last 28 days. (events)';
COMMENT ON COLUMN user_features.num_views IS 'Events of kind view in the history window. (events)';
COMMENT ON COLUMN user_features.num_searches_1d IS 'Events of kind search on the day itself. (events)';
COMMENT ON COLUMN user_features.num_searches_7d IS 'Events of kind search in the last 7 days. (events)';
COMMENT ON COLUMN user_features.num_searches_28d IS 'Events of kind search in the last 28 days. (events)';
COMMENT ON COLUMN user_features.num_searches IS 'Events of kind search in the history window. (events)';
COMMENT ON COLUMN user_features.num_carts_1d IS 'Events of kind cart on the day itself. (events)';
COMMENT ON COLUMN user_features.num_carts_7d IS 'Events of kind cart in the last 7 days. (events)';
COMMENT ON COLUMN user_features.num_carts_28d IS 'Events of kind cart in the last 28 days. (events)';
COMMENT ON COLUMN user_features.num_carts IS 'Events of kind cart in the history window. (events)';
COMMENT ON COLUMN user_features.num_purchases_1d IS 'Events of kind purchase on the day itself. (events)';
COMMENT ON COLUMN user_features.num_purchases_7d IS 'Events of kind purchase in the last 7 days. (events)';
COMMENT ON COLUMN user_features.num_purchases_28d IS 'Events of kind purchase in the last 28 days. (events)';
COMMENT ON COLUMN user_features.num_purchases IS 'Events of kind purchase in the history window. (events)';
COMMENT ON COLUMN user_features.num_returns_1d IS 'Events of kind return on the day itself. (events)';
COMMENT ON COLUMN user_features.num_returns_7d IS 'Events of kind return in the last 7 days. (events)';
COMMENT ON COLUMN user_features.num_returns_28d IS 'Events of kind return in the last 28 days. (events)';
COMMENT ON COLUMN user_features.num_returns IS 'Events of kind return in the history window. (events)';
COMMENT ON COLUMN user_features.num_reviews_1d IS 'Events of kind review on the day itself. (events)';
COMMENT ON COLUMN user_features.num_reviews_7d IS 'Events of kind review in the last 7 days. (events)';
COMMENT ON COLUMN user_features.num_reviews_28d IS 'Events of kind review in the last 28 days. (events)';
COMMENT ON COLUMN user_features.num_reviews IS 'Events of kind review in the history window. (events)';
COMMENT ON COLUMN user_features.num_coupons_1d IS 'Events of kind coupon on the day itself. (events)';
COMMENT ON COLUMN user_features.num_coupons_7d IS 'Events of kind coupon in the last 7 days. (events)';
COMMENT ON COLUMN user_features.num_coupons_28d IS 'Events of kind coupon in the last 28 days. (events)';
COMMENT ON COLUMN user_features.num_coupons IS 'Events of kind coupon in the history window. (events)';
COMMENT ON COLUMN user_features.num_clicks_1d IS 'Events of kind click on the day itself. (events)';
COMMENT ON COLUMN user_features.num_clicks_7d IS 'Events of kind click in the last 7 days. (events)';
COMMENT ON COLUMN user_features.num_clicks_28d IS 'Events of kind click in the last 28 days. (events)';
COMMENT ON COLUMN user_features.num_clicks IS 'Events of kind click in the history window. (events)';
COMMENT ON COLUMN user_features.num_impressions_1d IS 'Events of kind impression on the day itself. (events)';
COMMENT ON COLUMN user_features.num_impressions_7d IS 'Events of kind impression in the last 7 days. (events)';
COMMENT ON COLUMN user_features.num_impressions_28d IS 'Events of kind impression in the last 28 days. (events)';
COMMENT ON COLUMN user_features.num_impressions IS 'Events of kind impression in the history window. (events)';
COMMENT ON COLUMN user_features.num_uncarts_1d IS 'Events of kind uncart on the day itself. (events)';
COMMENT ON COLUMN user_features.num_uncarts_7d IS 'Events of kind uncart in the last 7 days. (events)';
COMMENT ON COLUMN user_features.num_uncarts_28d IS 'Events of kind uncart in the last 28 days. (events)';
COMMENT ON COLUMN user_features.num_uncarts IS 'Events of kind uncart in the history window. (events)';
COMMENT ON COLUMN user_features.num_favourites_1d IS 'Events of kind favourite on the day itself. (events)';
COMMENT ON COLUMN user_features.num_favourites_7d IS 'Events of kind favourite in the last 7 days. (events)';
COMMENT ON COLUMN user_features.num_favourites_28d IS 'Events of kind favourite in the last 28 days. (events)';
COMMENT ON COLUMN user_features.num_favourites IS 'Events of kind favourite in the history window. (events)';
COMMENT ON COLUMN user_features.num_cancels_1d IS 'Events of kind cancel on the day itself. (events)';
COMMENT ON COLUMN user_features.num_cancels_7d IS 'Events of kind cancel in the last 7 days. (events)';
COMMENT ON COLUMN user_features.num_cancels_28d IS 'Events of kind cancel in the last 28 days. (events)';
COMMENT ON COLUMN user_features.num_cancels IS 'Events of kind cancel in the history window. (events)';
COMMENT ON COLUMN user_features.num_sessions_1d IS 'Visits that begin on the day itself. (visits)';
COMMENT ON COLUMN user_features.num_sessions_7d IS 'Visits that begin in the last 7 days. (visits)';
COMMENT ON COLUMN user_features.num_sessions_28d IS 'Visits that begin in the last 28 days. (visits)';
COMMENT ON COLUMN user_features.num_sessions IS 'Visits that begin in the history window. (visits)';
COMMENT ON COLUMN user_features.num_active_days_1d IS 'Days with an event on the day itself. (days)';
COMMENT ON COLUMN user_features.num_active_days_7d IS 'Days with an event in the last 7 days. (days)';
COMMENT ON COLUMN user_features.num_active_days_28d IS 'Days with an event in the last 28 days. (days)';
COMMENT ON COLUMN user_features.num_active_days IS 'Days with an event in the history window. (days)';
COMMENT ON COLUMN user_features.hours_since_last_event IS 'From the latest event to the instant. (hours)';
COMMENT ON COLUMN user_features.hours_since_last_session IS 'From the begin of the latest visit. (hours)';
COMMENT ON COLUMN user_features.hours_since_last_view IS 'From the latest view; null without one. (hours)';
COMMENT ON COLUMN user_features.hours_since_last_cart IS 'From the latest addition to the cart; null without one. (hours)';
COMMENT ON COLUMN user_features.hours_since_last_purchase IS 'From the latest purchase; null without one. (hours)';
COMMENT ON COLUMN user_features.tenure_days IS 'From the first day with an event, within the history window, to `dt`. (days)';
COMMENT ON COLUMN user_features.event_gap_seconds_mean IS 'Mean pause between events of one visit; null with no visit of two events. (s)';
COMMENT ON COLUMN user_features.event_gap_seconds_median IS 'Median pause between events of one visit; null with no visit of two events. (s)';
COMMENT ON COLUMN user_features.event_gap_seconds_std IS 'Standard deviation (of all, not of a sample) of the pause between events of one visit; null with no visit of two events. (s)';
COMMENT ON COLUMN user_features.event_gap_seconds_last IS 'Latest pause between events of one visit; null with no visit of two events. (s)';
COMMENT ON COLUMN user_features.session_gap_hours_mean IS 'Mean pause between the begins of consecutive visits; null with a single visit. (hours)';
COMMENT ON COLUMN user_features.session_gap_hours_median IS 'Median pause between the begins of consecutive visits; null with a single visit. (hours)';
COMMENT ON COLUMN user_features.session_gap_hours_std IS 'Standard deviation (of all, not of a sample) of the pause between the begins of consecutive visits; null with a single visit. (hours)';
COMMENT ON COLUMN user_features.session_gap_hours_last IS 'Latest pause between the begins of consecutive visits; null with a single visit. (hours)';
COMMENT ON COLUMN user_features.session_seconds_mean IS 'Mean length of a visit, first to last event. (s)';
COMMENT ON COLUMN user_features.session_events_mean IS 'Mean number of events of a visit. (events)';
COMMENT ON COLUMN user_features.weekend_share IS 'Share of events on Saturdays and Sundays of the shop. (0 to 1)';
COMMENT ON COLUMN user_features.night_share IS 'Share of events from 00:00 to 05:59 in the shop''s zone. (0 to 1)';
COMMENT ON COLUMN user_features.num_search_to_search IS 'How often a search follows a search within a visit. (events)';
COMMENT ON COLUMN user_features.num_search_to_view IS 'How often a view follows a search within a visit. (events)';
COMMENT ON COLUMN user_features.num_search_to_cart IS 'How often a cart follows a search within a visit. (events)';
COMMENT ON COLUMN user_features.num_search_to_purchase IS 'How often a purchase follows a search within a visit. (events)';
COMMENT ON COLUMN user_features.num_view_to_search IS 'How often a search follows a view within a visit. (events)';
COMMENT ON COLUMN user_features.num_view_to_view IS 'How often a view follows a view within a visit. (events)';
COMMENT ON COLUMN user_features.num_view_to_cart IS 'How often a cart follows a view within a visit. (events)';
COMMENT ON COLUMN user_features.num_view_to_purchase IS 'How often a purchase follows a view within a visit. (events)';
COMMENT ON COLUMN user_features.num_cart_to_search IS 'How often a search follows a cart within a visit. (events)';
COMMENT ON COLUMN user_features.num_cart_to_view IS 'How often a view follows a cart within a visit. (events)';
COMMENT ON COLUMN user_features.num_cart_to_cart IS 'How often a cart follows a cart within a visit. (events)';
COMMENT ON COLUMN user_features.num_cart_to_purchase IS 'How often a purchase follows a cart within a visit. (events)';
COMMENT ON COLUMN user_features.num_purchase_to_search IS 'How often a search follows a purchase within a visit. (events)';
COMMENT ON COLUMN user_features.num_purchase_to_view IS 'How often a view follows a purchase within a visit. (events)';
COMMENT ON COLUMN user_features.num_purchase_to_cart IS 'How often a cart follows a purchase within a visit. (events)';
COMMENT ON COLUMN user_features.num_purchase_to_purchase IS 'How often a purchase follows a purchase within a visit. (events)';
COMMENT ON COLUMN user_features.share_sessions_with_cart IS 'Visits with an addition to the cart. (0 to 1)';
COMMENT ON COLUMN user_features.share_sessions_with_purchase IS 'Visits with a purchase. (0 to 1)';
COMMENT ON COLUMN user_features.share_entries_web IS 'Visits that begin on platform web. (0 to 1)';
COMMENT ON COLUMN user_features.share_entries_app IS 'Visits that begin on platform app. (0 to 1)';
COMMENT ON COLUMN user_features.share_entries_mini_program IS 'Visits that begin on platform mini_program. (0 to 1)';
COMMENT ON COLUMN user_features.share_entries_email IS 'Visits that begin on platform email. (0 to 1)';
COMMENT ON COLUMN user_features.share_entries_store IS 'Visits that begin on platform store. (0 to 1)';
COMMENT ON COLUMN user_features.share_entries_other IS 'Visits that begin on platform other. (0 to 1)';
COMMENT ON COLUMN user_features.last_platform IS 'Platform of the latest event.';
COMMENT ON COLUMN user_features.num_platforms IS 'Distinct platforms. (platforms)';
COMMENT ON COLUMN user_features.num_devices IS 'Distinct devices. (devices)';
COMMENT ON COLUMN user_features.num_queries IS 'Distinct search words as typed. (queries)';
COMMENT ON COLUMN user_features.num_campaigns IS 'Distinct campaigns and coupons that events name. (campaigns)';
COMMENT ON COLUMN user_features.click_share IS 'Clicks per impression, at most 1; null without an impression. (0 to 1)';
COMMENT ON COLUMN user_features.viewed_price_mean IS 'Mean price of one piece over views; null without a priced one. (shop''s currency)';
COMMENT ON COLUMN user_features.viewed_price_min IS 'Lowest price over views; null without a priced one. (shop''s currency)';
COMMENT ON COLUMN user_features.viewed_price_max IS 'Highest price over views; null without a priced one. (shop''s currency)';
COMMENT ON COLUMN user_features.viewed_price_bucket_mean IS 'Mean price bucket of the items, over views; null without a priced one. (deciles)';
COMMENT ON COLUMN user_features.bought_price_mean IS 'Mean price of one piece over purchases; null without a priced one. (shop''s currency)';
COMMENT ON COLUMN user_features.bought_price_min IS 'Lowest price over purchases; null without a priced one. (shop''s currency)';
COMMENT ON COLUMN user_features.bought_price_max IS 'Highest price over purchases; null without a priced one. (shop''s currency)';
COMMENT ON COLUMN user_features.bought_price_bucket_mean IS 'Mean price bucket of the items, over purchases; null without a priced one. (deciles)';
COMMENT ON COLUMN user_features.spend_1d IS 'Sum of price x quantity over purchases, nothing deducted, on the day itself. (shop''s currency)';
COMMENT ON COLUMN user_features.spend_7d IS 'Sum of price x quantity over purchases, nothing deducted, in the last 7 days. (shop''s currency)';
COMMENT ON COLUMN user_features.spend_28d IS 'Sum of price x quantity over purchases, nothing deducted, in the last 28 days. (shop''s currency)';
COMMENT ON COLUMN user_features.spend IS 'Sum of price x quantity over purchases, nothing deducted, in the history window. (shop''s currency)';
COMMENT ON COLUMN user_features.num_orders IS 'Distinct orders; purchases without an order number are one order a visit. (orders)';
COMMENT ON COLUMN user_features.order_value_mean IS 'Spend per order; null without an order. (shop''s currency)';
COMMENT ON COLUMN user_features.returned_value IS 'Sum of price x quantity over returns. (shop''s currency)';
COMMENT ON COLUMN user_features.num_open_cart_items IS 'Items in the open cart. (items)';
COMMENT ON COLUMN user_features.open_cart_value IS 'Sum of price x quantity over the open cart. (shop''s currency)';
COMMENT ON COLUMN user_features.num_items IS 'Distinct items of any event. (items)';
COMMENT ON COLUMN user_features.num_items_bought IS 'Distinct items bought. (items)';
COMMENT ON COLUMN user_features.num_categories IS 'Distinct categories among views, carts and purchases. (categories)';
COMMENT ON COLUMN user_features.top_category IS 'Most frequent category among views, carts and purchases, ties by name; null when none is known.';
COMMENT ON COLUMN user_features.top_category_share IS 'Its share of those views, carts and purchases whose category is known. (0 to 1)';
COMMENT ON COLUMN user_features.category_entropy IS 'Shannon entropy of their categories: 0 when all are one. (nats)';
COMMENT ON COLUMN user_features.num_brands IS 'Distinct brands among views, carts and purchases. (brands)';
COMMENT ON COLUMN user_features.top_brand IS 'Most frequent brand among views, carts and purchases, ties by name; null when none is known.';
COMMENT ON COLUMN user_features.top_brand_share IS 'Its share of those views, carts and purchases whose brand is known. (0 to 1)';
COMMENT ON COLUMN user_features.brand_entropy IS 'Shannon entropy of their brands: 0 when all are one. (nats)';

CREATE TABLE IF NOT EXISTS labels (
  user_id TEXT NOT NULL,
  dt DATE NOT NULL,
  observed_until DATE NOT NULL,
  churn_eligible BOOLEAN NOT NULL,
  churned BOOLEAN,
  purchased_next BOOLEAN,
  num_purchases_next INTEGER,
  num_orders_next INTEGER,
  revenue_next DOUBLE PRECISION,
  next_category TEXT,
  carted_next BOOLEAN,
  cart_eligible BOOLEAN NOT NULL,
  cart_converted BOOLEAN,
  shown_next BOOLEAN,
  clicked_next BOOLEAN,
  coupon_claimed_next BOOLEAN,
  coupon_used_next BOOLEAN
);
COMMENT ON TABLE labels IS 'What one person did strictly after an instant, for everybody with features as of it.';
COMMENT ON COLUMN labels.user_id IS 'Pseudonym of the person.';
COMMENT ON COLUMN labels.dt IS 'The instant is the end of this shop''s day.';
COMMENT ON COLUMN labels.observed_until IS 'Last shop''s day that any label of the row looks at.';
COMMENT ON COLUMN labels.churn_eligible IS 'Active within `labels.churn_days` before the instant: who is gone cannot leave.';
COMMENT ON COLUMN labels.churned IS 'Nothing in the next `labels.churn_days`; null where not eligible or not yet over.';
COMMENT ON COLUMN labels.purchased_next IS 'Bought within `labels.horizon_days`; null while they are not over.';
COMMENT ON COLUMN labels.num_purchases_next IS 'Purchase rows within the horizon; null as above. (events)';
COMMENT ON COLUMN labels.num_orders_next IS 'Distinct orders within the horizon; null as above. (orders)';
COMMENT ON COLUMN labels.revenue_next IS 'Sum of price x quantity over these purchases, returns and cancels not deducted; null as above. (shop''s currency)';
COMMENT ON COLUMN labels.next_category IS 'Category of the first item bought within the horizon; null without one.';
COMMENT ON COLUMN labels.carted_next IS 'Added something to the cart within the horizon; null as above.';
COMMENT ON COLUMN labels.cart_eligible IS 'The cart is open at the instant.';
COMMENT ON COLUMN labels.cart_converted IS 'Bought an item of the open cart within the horizon; null where not eligible or not yet over.';
COMMENT ON COLUMN labels.shown_next IS 'Had an impression within the horizon: what a click needs; null as above.';
COMMENT ON COLUMN labels.clicked_next IS 'Clicked within the horizon; null as above.';
COMMENT ON COLUMN labels.coupon_claimed_next IS 'Claimed a coupon within the horizon; null as above.';
COMMENT ON COLUMN labels.coupon_used_next IS 'Bought within the horizon by a campaign that the person had claimed as a coupon; null as above.';

CREATE TABLE IF NOT EXISTS daily_kpis (
  dt DATE NOT NULL,
  platform TEXT NOT NULL,
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
  revenue DOUBLE PRECISION NOT NULL,
  num_unpriced_purchases BIGINT NOT NULL,
  num_returned_pieces BIGINT NOT NULL,
  returned_value DOUBLE PRECISION NOT NULL,
  num_cancelled_pieces BIGINT NOT NULL,
  cancelled_value DOUBLE PRECISION NOT NULL,
  num_bot_sessions BIGINT NOT NULL,
  num_bot_events BIGINT NOT NULL
);
COMMENT ON TABLE daily_kpis IS 'What a shop asks first about a day.';
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
  dt DATE NOT NULL,
  platform TEXT NOT NULL,
  category TEXT NOT NULL,
  campaign TEXT NOT NULL,
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
  dt DATE NOT NULL,
  platform TEXT NOT NULL,
  from_kind TEXT NOT NULL,
  to_kind TEXT NOT NULL,
  num_transitions BIGINT NOT NULL,
  num_from BIGINT NOT NULL
);
COMMENT ON TABLE decision_transitions IS 'What people do next within a session.';
COMMENT ON COLUMN decision_transitions.dt IS 'The shop''s day on which the sessions start.';
COMMENT ON COLUMN decision_transitions.platform IS 'Platform of the session''s first event; (all) for every one.';
COMMENT ON COLUMN decision_transitions.from_kind IS 'Kind of an event, among `marts.path_kinds`; or (start).';
COMMENT ON COLUMN decision_transitions.to_kind IS 'Kind of the next one; or (end).';
COMMENT ON COLUMN decision_transitions.num_transitions IS 'Times that the one followed the other. (transitions)';
COMMENT ON COLUMN decision_transitions.num_from IS 'Times that anything followed from_kind. (transitions)';

CREATE TABLE IF NOT EXISTS decision_paths (
  dt DATE NOT NULL,
  platform TEXT NOT NULL,
  path TEXT NOT NULL,
  num_paths BIGINT NOT NULL,
  num_sessions BIGINT NOT NULL,
  num_bought BIGINT NOT NULL,
  num_all_sessions BIGINT NOT NULL
);
COMMENT ON TABLE decision_paths IS 'The most common ways through a session.';
COMMENT ON COLUMN decision_paths.dt IS 'The shop''s day on which the sessions start.';
COMMENT ON COLUMN decision_paths.platform IS 'Platform of the session''s first event; (all) for every one.';
COMMENT ON COLUMN decision_paths.path IS 'Kinds in order, such as view>view>cart>purchase; (none) without an event of `marts.path_kinds`, (other) for all but the `marts.top_paths` of the platform.';
COMMENT ON COLUMN decision_paths.num_paths IS 'Different paths in the row: 1, more for (other). (paths)';
COMMENT ON COLUMN decision_paths.num_sessions IS 'Sessions that went this way. (sessions)';
COMMENT ON COLUMN decision_paths.num_bought IS 'Of them, those with a purchase, also beyond the path''s end. (sessions)';
COMMENT ON COLUMN decision_paths.num_all_sessions IS 'Sessions of the platform that day. (sessions)';

CREATE TABLE IF NOT EXISTS decision_times (
  dt DATE NOT NULL,
  platform TEXT NOT NULL,
  known_days INTEGER NOT NULL,
  num_bought_items BIGINT NOT NULL,
  num_viewed_items BIGINT NOT NULL,
  minutes_from_view_p25 DOUBLE PRECISION,
  minutes_from_view_median DOUBLE PRECISION,
  minutes_from_view_p75 DOUBLE PRECISION,
  minutes_from_view_p90 DOUBLE PRECISION,
  num_sessions BIGINT NOT NULL,
  minutes_from_start_p25 DOUBLE PRECISION,
  minutes_from_start_median DOUBLE PRECISION,
  minutes_from_start_p75 DOUBLE PRECISION,
  minutes_from_start_p90 DOUBLE PRECISION,
  num_first_sessions BIGINT NOT NULL,
  sessions_before_p25 DOUBLE PRECISION,
  sessions_before_median DOUBLE PRECISION,
  sessions_before_p75 DOUBLE PRECISION,
  sessions_before_p90 DOUBLE PRECISION
);
COMMENT ON TABLE decision_times IS 'How long people take to buy.';
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
  dt DATE NOT NULL,
  platform TEXT NOT NULL,
  category TEXT NOT NULL,
  num_carts BIGINT NOT NULL,
  num_lines BIGINT NOT NULL,
  num_bought BIGINT NOT NULL,
  num_removed BIGINT NOT NULL,
  num_abandoned BIGINT NOT NULL,
  num_open BIGINT NOT NULL,
  num_recovered BIGINT NOT NULL,
  num_unpriced BIGINT NOT NULL,
  value_abandoned DOUBLE PRECISION NOT NULL,
  value_recovered DOUBLE PRECISION NOT NULL,
  value_left DOUBLE PRECISION NOT NULL
);
COMMENT ON TABLE cart_abandonment IS 'What became of the items that people put into carts.';
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
  evidence_2_item_id TEXT,
  evidence_3_item_id TEXT,
  rule TEXT,
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
COMMENT ON COLUMN recommendations.strategy IS 'model; category: popular in the categories of a history that the model cannot read; platform: popular on the platform where the person was last; popular: popular in the shop; held_out: the same, by the draw of `score.held_out_share`.';
COMMENT ON COLUMN recommendations.reason_code IS 'because_viewed, because_carted, because_bought, popular_in_category, popular_on_platform, popular_now, chosen_by_shop (a pin).';
COMMENT ON COLUMN recommendations.evidence_item_id IS 'The item of the history without which this one would lose most score.';
COMMENT ON COLUMN recommendations.evidence_2_item_id IS 'The next one, where its effect is not small beside the first''s.';
COMMENT ON COLUMN recommendations.evidence_3_item_id IS 'The one after that.';
COMMENT ON COLUMN recommendations.rule IS 'What a business rule did to the row: pinned, or cap_given_way where nothing else was left; else null.';
COMMENT ON COLUMN recommendations.model_name IS 'Registered model, or popularity.';
COMMENT ON COLUMN recommendations.model_version IS 'Version of it.';

CREATE TABLE IF NOT EXISTS decisions (
  row_key TEXT NOT NULL,
  shop TEXT NOT NULL,
  dt DATE NOT NULL,
  decision TEXT NOT NULL,
  user_id TEXT NOT NULL,
  arm TEXT NOT NULL,
  rank INTEGER NOT NULL,
  offer TEXT,
  expected_value DOUBLE PRECISION NOT NULL,
  cost DOUBLE PRECISION NOT NULL,
  score_name TEXT NOT NULL,
  score DOUBLE PRECISION NOT NULL,
  reasons TEXT NOT NULL
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

CREATE TABLE IF NOT EXISTS user_scores (
  row_key TEXT NOT NULL,
  shop TEXT NOT NULL,
  dt DATE NOT NULL,
  score_name TEXT NOT NULL,
  user_id TEXT NOT NULL,
  observed DOUBLE PRECISION,
  score DOUBLE PRECISION NOT NULL,
  band INTEGER,
  decile INTEGER,
  flagged BOOLEAN,
  contender TEXT,
  model_version TEXT,
  reasons TEXT,
  outcome TEXT
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
  partition_name TEXT NOT NULL,
  publish_id TEXT NOT NULL,
  action TEXT NOT NULL,
  published_at TIMESTAMP NOT NULL,
  run_id TEXT NOT NULL,
  content_hash TEXT NOT NULL,
  inputs TEXT NOT NULL,
  num_rows BIGINT NOT NULL,
  num_users BIGINT NOT NULL,
  fallback_share DOUBLE PRECISION NOT NULL,
  model_name TEXT NOT NULL,
  model_version TEXT NOT NULL,
  audits TEXT NOT NULL,
  num_bytes BIGINT NOT NULL,
  seconds DOUBLE PRECISION NOT NULL,
  previous_publish_id TEXT,
  restored_publish_id TEXT
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

CREATE TABLE IF NOT EXISTS realised (
  dt DATE NOT NULL,
  origin TEXT NOT NULL,
  surface TEXT NOT NULL,
  strategy TEXT NOT NULL,
  model_name TEXT NOT NULL,
  model_version TEXT NOT NULL,
  segment TEXT NOT NULL,
  list TEXT NOT NULL,
  k INTEGER NOT NULL,
  window_days INTEGER NOT NULL,
  num_lists BIGINT NOT NULL,
  num_active BIGINT NOT NULL,
  num_hits BIGINT NOT NULL,
  ndcg_sum DOUBLE PRECISION NOT NULL,
  ndcg_squares DOUBLE PRECISION NOT NULL,
  ndcg_gain_squares DOUBLE PRECISION NOT NULL,
  num_buyers BIGINT NOT NULL,
  num_purchases BIGINT NOT NULL,
  purchases_squares DOUBLE PRECISION NOT NULL,
  num_listed_purchases BIGINT NOT NULL,
  revenue DOUBLE PRECISION NOT NULL,
  revenue_squares DOUBLE PRECISION NOT NULL,
  listed_revenue DOUBLE PRECISION NOT NULL,
  num_unpriced BIGINT NOT NULL
);
COMMENT ON TABLE realised IS 'What people did after a night''s lists could be seen, counted per group of people.';
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
  dt DATE NOT NULL,
  score_name TEXT NOT NULL,
  contender TEXT NOT NULL,
  model_version TEXT NOT NULL,
  segment TEXT NOT NULL,
  window_days INTEGER NOT NULL,
  num_foretold BIGINT NOT NULL,
  num_people BIGINT NOT NULL,
  num_positives BIGINT NOT NULL,
  foretold_sum DOUBLE PRECISION NOT NULL,
  auroc DOUBLE PRECISION,
  average_precision DOUBLE PRECISION,
  log_loss DOUBLE PRECISION,
  ece DOUBLE PRECISION,
  ece_by_chance DOUBLE PRECISION,
  ece_by_chance_high DOUBLE PRECISION,
  lift_first_decile DOUBLE PRECISION
);
COMMENT ON TABLE realised_scores IS 'How good a night''s scores were, once what they foretold was over: one row per score, model and group of people.';
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
  dt DATE NOT NULL,
  score_name TEXT NOT NULL,
  contender TEXT NOT NULL,
  model_version TEXT NOT NULL,
  bin INTEGER NOT NULL,
  num_people BIGINT NOT NULL,
  num_positives BIGINT NOT NULL,
  foretold_sum DOUBLE PRECISION NOT NULL
);
COMMENT ON TABLE realised_calibration IS 'People of a night in groups of like probability: what was foretold of them, and what happened.';
COMMENT ON COLUMN realised_calibration.dt IS 'The night that foretold.';
COMMENT ON COLUMN realised_calibration.score_name IS 'The task, such as churn or purchase.';
COMMENT ON COLUMN realised_calibration.contender IS 'What foretold: rule, trees, encoder or combined.';
COMMENT ON COLUMN realised_calibration.model_version IS 'Version of the task''s registered model.';
COMMENT ON COLUMN realised_calibration.bin IS '1 is least likely; ties can leave fewer than ten.';
COMMENT ON COLUMN realised_calibration.num_people IS 'People of the group. (people)';
COMMENT ON COLUMN realised_calibration.num_positives IS 'Of them, those for whom it came true. (people)';
COMMENT ON COLUMN realised_calibration.foretold_sum IS 'Sum of their probabilities: how many were expected. (people)';

CREATE TABLE IF NOT EXISTS realised_decisions (
  dt DATE NOT NULL,
  decision TEXT NOT NULL,
  arm TEXT NOT NULL,
  score_name TEXT NOT NULL,
  outcome TEXT,
  window_days INTEGER NOT NULL,
  num_people BIGINT NOT NULL,
  num_answered BIGINT NOT NULL,
  num_positives BIGINT NOT NULL,
  revenue DOUBLE PRECISION NOT NULL,
  revenue_squares DOUBLE PRECISION NOT NULL,
  margin DOUBLE PRECISION NOT NULL,
  expected_value DOUBLE PRECISION NOT NULL,
  cost DOUBLE PRECISION NOT NULL,
  outcome_difference DOUBLE PRECISION,
  outcome_difference_low DOUBLE PRECISION,
  outcome_difference_high DOUBLE PRECISION,
  revenue_difference DOUBLE PRECISION,
  revenue_difference_low DOUBLE PRECISION,
  revenue_difference_high DOUBLE PRECISION,
  realised_value DOUBLE PRECISION,
  realised_value_low DOUBLE PRECISION,
  realised_value_high DOUBLE PRECISION
);
COMMENT ON TABLE realised_decisions IS 'What became of those a night acted on, and of those it left alone to compare with: one row per decision and arm.';
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

CREATE TABLE IF NOT EXISTS erasures (
  shop TEXT NOT NULL,
  dt DATE NOT NULL,
  request_id TEXT NOT NULL,
  requested_at TIMESTAMP NOT NULL,
  erased_at TIMESTAMP NOT NULL,
  num_members INTEGER NOT NULL,
  rows_removed TEXT NOT NULL,
  champion_version TEXT,
  champion_knew BOOLEAN,
  not_reached TEXT NOT NULL
);
COMMENT ON TABLE erasures IS 'One request to forget a person, carried out; append-only, and it names nobody.';
COMMENT ON COLUMN erasures.shop IS 'Name of the shop.';
COMMENT ON COLUMN erasures.dt IS 'The day of the run that carried it out.';
COMMENT ON COLUMN erasures.request_id IS 'Keyed hash of the request, as `make erase` printed it.';
COMMENT ON COLUMN erasures.requested_at IS 'When the person asked. (UTC)';
COMMENT ON COLUMN erasures.erased_at IS 'What the log says of the person up to then is gone. (UTC)';
COMMENT ON COLUMN erasures.num_members IS 'Devices and logins of the person. (members)';
COMMENT ON COLUMN erasures.rows_removed IS 'JSON: rows removed, by `store/table`.';
COMMENT ON COLUMN erasures.champion_version IS 'The model that scored then; null without one.';
COMMENT ON COLUMN erasures.champion_knew IS 'The champion''s training data held the person; the next training goes without. Null where the lake no longer holds that data.';
COMMENT ON COLUMN erasures.not_reached IS 'JSON: what had to stay, for people to look after.';
