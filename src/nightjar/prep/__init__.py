"""Spark, pure: sources, clean, sessions, vocabulary, sequences, splits.

Every public function takes DataFrames and plain values and returns DataFrames: no path, no clock.
"""
