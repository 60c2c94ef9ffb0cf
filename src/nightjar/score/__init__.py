"""Ranking a batch of people: rank, rules, fallback, explanations, and the judgement of scorers. torch and Arrow."""
