"""GoogleSQL on DuckDB.

A statement is parsed by sqlglot, then compiled here: names are resolved and every expression gets its GoogleSQL type,
by which the DuckDB expression with the same meaning is chosen. Whatever this compiler does not know is refused with
its name; nothing is passed to DuckDB unread, so a query is answered rightly or not at all.

=====================  ====================================================================================
:mod:`.parser`         text to sqlglot's tree; syntax errors with their position
:mod:`.values`         typed expressions, literals, coercions and casts
:mod:`.functions`      functions with plain arguments, as a table
:mod:`.special`        functions whose arguments are read in their own way (dates, JSON, arrays, formats)
:mod:`.aggregates`     aggregate and window functions
:mod:`.expressions`    the compiler of expressions
:mod:`.queries`        the compiler of SELECT, FROM, WITH and set operations
:mod:`.statements`     INSERT, UPDATE, DELETE, MERGE, CREATE, ALTER, DROP
=====================  ====================================================================================
"""
