"""GoogleSQL on DuckDB.

A statement is parsed by sqlglot, then compiled here: names are resolved and every expression gets its GoogleSQL type,
by which the DuckDB expression with the same meaning is chosen. Whatever this compiler does not know is refused with
its name; nothing is passed to DuckDB unread, so a query is answered rightly or not at all.

=======================  ==================================================================================
:mod:`.parser`           text to sqlglot's tree; syntax errors with their position
:mod:`.scopes`           what names mean where an expression stands
:mod:`.values`           typed expressions, coercions and casts
:mod:`.expressions`      the compiler of expressions, on :mod:`.names`, :mod:`.literals`, :mod:`.operators` and
                         :mod:`.predicates`
:mod:`.functions`        functions with plain arguments, as a table
:mod:`.special`          functions whose arguments are read in their own way, with :mod:`.strings`, :mod:`.arrays`,
                         :mod:`.dates`, :mod:`.json_functions` and :mod:`.format_function`
:mod:`.aggregates`       aggregate and window functions
:mod:`.queries`          the compiler of queries, on :mod:`.compiler`, with :mod:`.select`, :mod:`.from_clause` and
                         :mod:`.pivot`
=======================  ==================================================================================
"""
