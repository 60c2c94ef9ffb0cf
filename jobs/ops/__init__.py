"""The operator's commands behind the Makefile: set-up, services, one night, what it did."""
