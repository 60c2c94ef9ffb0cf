"""Nightjar: from a shop's raw behaviour logs to warehouse tables that BI and CRM tools trust."""

__version__ = "0.1.0"
