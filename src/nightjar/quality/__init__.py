"""Great Expectations: facts of a day, one suite per table, one gate.

`facts` turns a table into one row of numbers, `suites` says what must hold, `gate.check` lets Great
Expectations judge both the table and the numbers, and `docs` keeps the pages for people.
"""
