"""The outside world: lake, warehouse, tracking, secrets. The only room with side effects."""
