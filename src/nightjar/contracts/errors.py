"""Errors that end with what to do next; a job's exit code says whether a retry can help."""

from __future__ import annotations

#: A job's exit codes: contract failures must not be retried, environment failures may be.
DONE, BAD_DATA, ENVIRONMENT = 0, 1, 2


class BadInput(Exception):
    """The data, a mapping or a setting is wrong; running again changes nothing.

    Args:
        problem: what is wrong, with the name of the file, column or key.
        next_command: what the reader can type next.
    """

    def __init__(self, problem: str, next_command: str) -> None:
        super().__init__(f"{problem}\n  next: {next_command}")
        self.problem = problem
        self.next_command = next_command


class GateFailed(BadInput):
    """A `stop` expectation of a quality suite failed; nothing was made visible."""

    def __init__(self, partition: str, failed: list[str], next_command: str) -> None:
        super().__init__(f"gate stopped {partition}: failed expectation {'; '.join(failed)}", next_command)
        self.failed = failed
