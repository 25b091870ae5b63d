"""Queries of GoogleSQL with their columns and rows, by the rules of Google's pages; see ``googlesql_cases``.

Each group names the page whose rule it holds. A row is a list of values in the encoding of the REST API; rows are
compared in their order where the query has ORDER BY, and as a set of rows otherwise.
"""

# ruff: noqa: S608, ERA001, E501, ISC004 - queries are what is written here, each on a line; comments name pages

from __future__ import annotations

from typing import Any

from tests.unit.emulator.googlesql_cases import ERROR

_NAN = "CAST('nan' AS FLOAT64)"
_FLOATS = f"UNNEST([1.5, {_NAN}, CAST('-inf' AS FLOAT64), NULL]) AS x"
_TREE = "(SELECT [STRUCT('IMAGE' AS vt, [STRUCT('c' AS cls)] AS refs), STRUCT('TEXT', [])] AS items)"

#: group: (query, names of the columns or None, rows)
QUERIES: dict[str, list[tuple[str, list[str] | None, list[list[Any]] | ERROR]]] = {
    # debugging_functions#error: evaluated wherever its branch is.
    "errors in branches": [
        ("SELECT IF(TRUE, ERROR('bad'), 'ok')", None, ERROR("bad")),
        ("SELECT IF(FALSE, ERROR('bad'), 'ok')", None, [["ok"]]),
        (
            "SELECT CASE WHEN x = 1 THEN ERROR('bad') ELSE x END FROM UNNEST([2, 3]) AS x ORDER BY 1",
            None,
            [["2"], ["3"]],
        ),
        ("SELECT CASE WHEN x = 1 THEN ERROR('bad') ELSE x END FROM UNNEST([1, 2]) AS x", None, ERROR("bad")),
        ("SELECT CAST(ERROR('bad') AS STRING)", None, ERROR("bad")),
        ("SELECT IFNULL(ERROR('bad'), 1)", None, ERROR("bad")),
        ("SELECT COALESCE(1, ERROR('bad'))", None, [["1"]]),
        ("SELECT ARRAY_LENGTH(IF(x = 1, ERROR('bad'), [1])) FROM UNNEST([1]) AS x", None, ERROR("bad")),
    ],
    # data-types#floating_point_semantics: NULL, then NaN, then -inf; every comparison with NaN is false.
    "NaN": [
        (f"SELECT x FROM {_FLOATS} ORDER BY x", ["x"], [[None], ["NaN"], ["-Infinity"], ["1.5"]]),
        (f"SELECT x FROM {_FLOATS} ORDER BY x DESC", ["x"], [["1.5"], ["-Infinity"], ["NaN"], [None]]),
        (
            f"SELECT RANK() OVER (ORDER BY x), x FROM {_FLOATS} ORDER BY 1",
            None,
            [["1", None], ["2", "NaN"], ["3", "-Infinity"], ["4", "1.5"]],
        ),
        (f"SELECT COUNT(*) FROM UNNEST([{_NAN}, 1]) AS x JOIN UNNEST([{_NAN}, 1]) AS y ON x = y", None, [["1"]]),
        (f"SELECT x FROM UNNEST([{_NAN}, {_NAN}]) AS x GROUP BY x", ["x"], [["NaN"]]),
        (f"SELECT COUNT(DISTINCT x) FROM UNNEST([{_NAN}, {_NAN}, 1]) AS x", None, [["2"]]),
        (f"SELECT MIN(x), MAX(x) FROM UNNEST([1.0, {_NAN}]) AS x", None, [["NaN", "NaN"]]),
        (f"SELECT STDDEV_POP(x), VAR_SAMP(x) FROM UNNEST([1.0, {_NAN}]) AS x", None, [["NaN", "NaN"]]),
        ("SELECT STDDEV_POP(x) FROM UNNEST([CAST('inf' AS FLOAT64)]) AS x", None, [["NaN"]]),
        (f"SELECT {_NAN} NOT IN (SELECT x FROM UNNEST([{_NAN}]) AS x)", None, [["true"]]),
    ],
    # operators#comparison_operators: structs field by field, with the logic of three values.
    "comparison of structs": [
        ("SELECT (1, NULL) = (1, NULL), (1, NULL) = (2, NULL), (1, 2) = (1, 2)", None, [[None, "false", "true"]]),
        ("SELECT (1, NULL) IN UNNEST([(1, 2)]), (1, 2) IN UNNEST([(1, 2)])", None, [[None, "true"]]),
        ("SELECT (1, 2) IN (SELECT AS STRUCT 1, NULL), (1, 2) IN (SELECT AS STRUCT 1, 2)", None, [[None, "true"]]),
        ("SELECT CASE (1, NULL) WHEN (1, NULL) THEN 'a' ELSE 'b' END", None, [["b"]]),
        ("SELECT COUNT(*) FROM UNNEST([(1, NULL)]) AS s JOIN UNNEST([(1, NULL)]) AS t ON s = t", None, [["0"]]),
    ],
    # query-syntax#range_variables: a range variable hides a column of its name.
    "range variables": [
        ("SELECT id, X FROM (SELECT 1 AS id, [5, 6] AS X) AS t, UNNEST(X) AS X", ["id", "X"], [["1", "5"], ["1", "6"]]),
        ("SELECT X FROM (SELECT [5, 6] AS X) AS t, t.X WHERE X > 5", ["X"], [["6"]]),
        ("SELECT t FROM (SELECT 1 AS t, 2 AS u) AS t", ["t"], [[{"t": "1", "u": "2"}]]),
        ("SELECT t.t FROM (SELECT 1 AS t, 2 AS u) AS t", ["t"], [["1"]]),
        (
            "SELECT s.Name FROM (SELECT [STRUCT('a' AS Name)] AS S) AS t, UNNEST(S) AS s",
            ["Name"],
            [["a"]],
        ),
        (
            "SELECT t.X FROM (SELECT [5, 6] AS X) AS t, UNNEST(X) AS X WHERE X = 5",
            ["X"],
            [[["5", "6"]]],
        ),
        (
            "SELECT X, COUNT(*) FROM (SELECT [5, 5, 6] AS X) AS t, UNNEST(X) AS X GROUP BY X ORDER BY X",
            ["X", "f0_"],
            [["5", "2"], ["6", "1"]],
        ),
        (
            "SELECT (SELECT MAX(y) FROM UNNEST(X.v) AS y) AS m FROM (SELECT [STRUCT([1, 2] AS v)] AS X) AS t, UNNEST(X) AS X",
            ["m"],
            [["2"]],
        ),
        (
            "SELECT x, id FROM (SELECT 9 AS id, [5, 6] AS a) AS t, UNNEST(a) AS x WITH OFFSET AS id ORDER BY id",
            ["x", "id"],
            [["5", "0"], ["6", "1"]],
        ),
    ],
    # operators#logical_operators; the right side of AND and OR is not evaluated where the left one decides.
    "conditions in order": [
        (
            "SELECT ARRAY_LENGTH(s) > 0 AND ARRAY_LENGTH(s[OFFSET(0)].b) > 0 FROM "
            "(SELECT ARRAY<STRUCT<b ARRAY<INT64>>>[] AS s)",
            None,
            [["false"]],
        ),
        (
            "SELECT id <> 2 AND 10 / (id - 2) > 0, id = 2 OR 10 / (id - 2) > 0 FROM UNNEST([1, 2, 3]) AS id ORDER BY id",
            None,
            [["false", "false"], ["false", "true"], ["true", "true"]],
        ),
        ("SELECT id FROM UNNEST(['1', 'x']) AS id WHERE id <> 'x' AND CAST(id AS INT64) = 1", None, [["1"]]),
        (
            f"SELECT i.vt FROM {_TREE} AS g CROSS JOIN UNNEST(items) AS i "
            "WHERE i.vt = 'IMAGE' AND i.refs[OFFSET(0)].cls = 'c'",
            None,
            [["IMAGE"]],
        ),
        (
            "SELECT a FROM UNNEST([0, 1]) AS a JOIN UNNEST([0, 1]) AS b ON a = b AND (a <> 0 AND (b > 0 AND 1 / a = 1))",
            None,
            [["1"]],
        ),
        ("SELECT TRUE AND NULL AND 1 / 0 > 1", None, ERROR("division by zero")),
        ("SELECT x FROM UNNEST([0, 2]) AS x GROUP BY x HAVING x > 0 AND 4 / x = 2", None, [["2"]]),
    ],
    # query-syntax#implicit_aliases: the last name of a path, with or without brackets.
    "implicit aliases": [
        ("SELECT DISTINCT(x) FROM UNNEST([1, 1]) AS x", ["x"], [["1"]]),
        ("SELECT (x), ((s.f)) FROM (SELECT 1 AS x, STRUCT(2 AS f) AS s)", ["x", "f"], [["1", "2"]]),
        ("SELECT (x + 1) FROM UNNEST([1]) AS x", ["f0_"], [["2"]]),
        ("WITH a AS (SELECT DISTINCT(x) FROM UNNEST([1]) AS x) SELECT a.x FROM a", ["x"], [["1"]]),
    ],
    # aggregate_functions, approximate_aggregate_functions
    "aggregates": [
        (
            "SELECT ARRAY_AGG(DISTINCT SAFE_CAST(v AS FLOAT64) IGNORE NULLS ORDER BY SAFE_CAST(v AS FLOAT64)) "
            "FROM UNNEST(['1', 'a', '0.5', '1']) AS v",
            None,
            [[["0.5", "1.0"]]],
        ),
        ("SELECT ARRAY_AGG(DISTINCT UPPER(v) IGNORE NULLS) FROM UNNEST(['a', 'A', NULL]) AS v", None, [[["A"]]]),
        ("SELECT COUNTIF(DISTINCT x > 1) FROM UNNEST([2, 3]) AS x", None, [["1"]]),
        ("SELECT STRING_AGG(x LIMIT 0) FROM UNNEST(['a']) AS x", None, [[None]]),
        ("SELECT STRING_AGG(x) FROM UNNEST(['', '']) AS x", None, [[","]]),
        ("SELECT STRING_AGG('s', NULL)", None, ERROR("NULL")),
        (
            "SELECT APPROX_TOP_COUNT(x, 2) FROM UNNEST([1, 1, NULL, NULL, NULL, 2]) AS x",
            None,
            [[[{"value": None, "count": "3"}, {"value": "1", "count": "2"}]]],
        ),
        (
            "SELECT q[OFFSET(0)], q[OFFSET(1)], q[OFFSET(2)] FROM (SELECT APPROX_QUANTILES(x, 2 RESPECT NULLS) AS q "
            "FROM UNNEST([NULL, NULL, 1, 1, 1, 4, 5, 6, 7, 8, 9, 10]) AS x)",
            None,
            [[None, "4", "10"]],
        ),
        ("SELECT SUM(x) FROM UNNEST([1e308, 1e308]) AS x", None, ERROR("overflow")),
        ("SELECT SUM(x) FROM UNNEST([CAST('inf' AS FLOAT64), 1e308]) AS x", None, [["Infinity"]]),
        (
            "SELECT SUM(x) FROM UNNEST([NUMERIC '99999999999999999999999999999', NUMERIC '1']) AS x",
            None,
            ERROR("overflow"),
        ),
        (
            "SELECT ROUND(VAR_POP(x), 6) FROM UNNEST([NUMERIC '10000000000000000000.1', NUMERIC '10000000000000000000.3']) AS x",
            None,
            [["0.01"]],
        ),
        (
            "SELECT x, COUNT(*) OVER (ORDER BY x RANGE BETWEEN 1 PRECEDING AND 2 PRECEDING) "
            "FROM UNNEST([1, 2, 5]) AS x ORDER BY x",
            None,
            [["1", "0"], ["2", "0"], ["5", "0"]],
        ),
    ],
    # query-syntax#group_by_clause
    "grouping": [
        ("SELECT 'a' AS x FROM UNNEST([1, 2]) GROUP BY ALL", ["x"], [["a"]]),
        (
            "SELECT x, SUM(y) + 1 FROM UNNEST([STRUCT(1 AS x, 2 AS y), (1, 3), (2, 5)]) GROUP BY ALL ORDER BY x",
            None,
            [["1", "6"], ["2", "6"]],
        ),
        (
            "SELECT x, GROUPING(x), SUM(y) FROM UNNEST([STRUCT(1 AS x, 2 AS y), (2, 3)]) GROUP BY ROLLUP(x) ORDER BY x",
            None,
            [[None, "1", "5"], ["1", "0", "2"], ["2", "0", "3"]],
        ),
        (
            "SELECT x, y, COUNT(*) FROM UNNEST([STRUCT(1 AS x, 2 AS y), (1, 3)]) "
            "GROUP BY GROUPING SETS ((x, y), x, ()) ORDER BY x, y",
            None,
            [[None, None, "2"], ["1", None, "2"], ["1", "2", "1"], ["1", "3", "1"]],
        ),
        (
            "SELECT x, y, COUNT(*) FROM UNNEST([STRUCT(1 AS x, 2 AS y), (1, 3)]) GROUP BY CUBE(x, y) ORDER BY x, y",
            None,
            [[None, None, "2"], [None, "2", "1"], [None, "3", "1"], ["1", None, "2"], ["1", "2", "1"], ["1", "3", "1"]],
        ),
    ],
    # conversion_rules#literal_coercion, query-syntax#set_operators, query-syntax#select_as_struct
    "set operations": [
        ("SELECT CAST(NULL AS NUMERIC) AS x UNION ALL SELECT 0.01", ["x"], [[None], ["0.01"]]),
        ("SELECT NUMERIC '0.1' AS x UNION ALL SELECT 0.2", ["x"], [["0.1"], ["0.2"]]),
        ("SELECT AS STRUCT 1 AS a, 2 AS b UNION DISTINCT SELECT AS STRUCT 1, 2", ["a", "b"], [["1", "2"]]),
    ],
    # operators#arithmetic_operators, mathematical_functions: a result beyond the range is an error, infinity is not.
    "overflow": [
        ("SELECT 1e300 * 1e300", None, ERROR("overflow")),
        ("SELECT 1e300 / 1e-300", None, ERROR("overflow")),
        ("SELECT x * x - 1 FROM UNNEST([1e200]) AS x", None, ERROR("overflow")),
        ("SELECT 1 / (x * x) FROM UNNEST([1e200]) AS x", None, ERROR("overflow")),
        ("SELECT EXP(1000)", None, ERROR("overflow")),
        (
            "SELECT SAFE_DIVIDE(1e300, 1e-300), SAFE_DIVIDE(1, 0), IEEE_DIVIDE(1e300, 1e-300)",
            None,
            [[None, None, "Infinity"]],
        ),
        ("SELECT x * 2 + 1 FROM UNNEST([CAST('inf' AS FLOAT64)]) AS x", None, [["Infinity"]]),
        ("SELECT DISTINCT x + 0.5 AS y FROM UNNEST([2, 1]) AS x ORDER BY y", ["y"], [["1.5"], ["2.5"]]),
        ("SELECT x / 2 AS y FROM UNNEST([2, 1]) AS x ORDER BY y DESC", ["y"], [["1.0"], ["0.5"]]),
    ],
    # query-syntax#unpivot_operator, with the table of its examples in small
    "UNPIVOT": [
        (
            "SELECT * FROM (SELECT 'Kale' AS product, 51 AS Q1, 23 AS Q2) UNPIVOT(sales FOR quarter IN (Q1, Q2)) ORDER BY quarter",
            ["product", "sales", "quarter"],
            [["Kale", "51", "Q1"], ["Kale", "23", "Q2"]],
        ),
        (
            "SELECT * FROM (SELECT 'Kale' AS product, 51 AS Q1, 23 AS Q2, 45 AS Q3, 3 AS Q4) "
            "UNPIVOT((first, second) FOR half IN ((Q1, Q2) AS 'H1', (Q3, Q4))) ORDER BY half",
            ["product", "first", "second", "half"],
            [["Kale", "51", "23", "H1"], ["Kale", "45", "3", "Q3_Q4"]],
        ),
        ("SELECT v FROM (SELECT 1 AS a, CAST(NULL AS INT64) AS b) UNPIVOT(v FOR n IN (a, b))", ["v"], [["1"]]),
        (
            "SELECT u.v, u.n FROM (SELECT 1 AS a, CAST(NULL AS INT64) AS b) UNPIVOT INCLUDE NULLS (v FOR n IN (a AS 1, b AS 2)) AS u "
            "ORDER BY n",
            ["v", "n"],
            [["1", "1"], [None, "2"]],
        ),
    ],
    # query-syntax#pivot_operator: a subquery looks its own columns up.
    "PIVOT": [
        (
            "SELECT * FROM (SELECT 1 AS x, 2 AS y) PIVOT(SUM((SELECT MAX(y) FROM UNNEST([7]) AS y)) FOR x IN (0, 1))",
            ["y", "_0", "_1"],
            [["2", None, "7"]],
        ),
    ],
    # approximate_aggregate_functions#approx_top_sum
    "APPROX_TOP_SUM": [
        (
            "SELECT APPROX_TOP_SUM(x, weight, 2) FROM UNNEST([STRUCT('apple' AS x, 3 AS weight), ('pear', 2), ('apple', 0), "
            "('banana', 5), ('pear', 4)])",
            None,
            [[[{"value": "pear", "sum": "6"}, {"value": "banana", "sum": "5"}]]],
        ),
        (
            "SELECT APPROX_TOP_SUM(x, weight, 3) FROM UNNEST([STRUCT('apple' AS x, 0 AS weight), ('pear', 0), ('pear', NULL)])",
            None,
            [[[{"value": "apple", "sum": "0"}, {"value": "pear", "sum": "0"}]]],
        ),
        ("SELECT APPROX_TOP_SUM(1, -1, 2)", None, ERROR("negative")),
    ],
    # procedural-language#execute_immediate
    "EXECUTE IMMEDIATE": [
        ("EXECUTE IMMEDIATE 'SELECT 1 AS a'", ["a"], [["1"]]),
        ("EXECUTE IMMEDIATE CONCAT('SELECT ', '@x + @y AS s') USING 1 AS x, 2 AS y", ["s"], [["3"]]),
        ("EXECUTE IMMEDIATE 'SELECT ? - ?' USING 5, (SELECT MAX(z) FROM UNNEST([2, 3]) AS z)", None, [["2"]]),
        ("EXECUTE IMMEDIATE 'SELECT nope'", None, ERROR("Unrecognized name: nope")),
        ("EXECUTE IMMEDIATE NULL", None, ERROR("STRING")),
        ("EXECUTE IMMEDIATE 'SELECT 1; SELECT 2'", None, ERROR("one statement")),
        ("EXECUTE IMMEDIATE 'SELECT 1' INTO missing", None, ERROR("Undeclared variable")),
    ],
    # lexical#reserved_keywords: names in backticks, or behind a dot.
    "reserved words": [
        ("SELECT Rows FROM (SELECT 1 AS `Rows`) AS d", None, ERROR("Unexpected keyword ROWS at [1:8]")),
        ("SELECT 1 AS hash", None, ERROR("Unexpected keyword HASH at [1:13]")),
        ("SELECT 1 FROM UNNEST([1]) AS range", None, ERROR("Unexpected keyword RANGE")),
        ("SELECT d.Rows FROM (SELECT 1 AS `Rows`) AS d", ["Rows"], [["1"]]),
        ("SELECT `Rows` FROM (SELECT 1 AS `Rows`) AS d", ["Rows"], [["1"]]),
        ("SELECT IF(TRUE, LEFT('ab', 1), RIGHT('ab', 1))", None, [["a"]]),
    ],
    "ungrouped columns": [
        (
            "WITH q AS (SELECT 1 AS x, 2 AS y) SELECT x, y FROM q GROUP BY x",
            None,
            ERROR("references column y which is neither grouped nor aggregated at [1:45]"),
        ),
        ("SELECT x, y FROM (SELECT 1 AS x, 2 AS y) GROUP BY x, 2", None, [["1", "2"]]),
        ("SELECT s.a FROM (SELECT STRUCT(1 AS a) AS s) GROUP BY s.a", None, [["1"]]),
    ],
}


#: What is read, is valid, and is refused by name: with 501, never answered as if it were not there.
REFUSED: list[tuple[str, str]] = [
    ("SELECT CAST('a' AS STRING COLLATE 'und:ci') = 'A'", "COLLATE"),
    ("FROM UNNEST([1]) |> TABLESAMPLE RESERVOIR (2 ROWS)", "SAMPLE"),
    ("SELECT 'a' NOT LIKE ANY ('a')", "quantified LIKE"),
    ("ASSERT (SELECT TRUE) AS 'a'", "ASSERT statements"),
    ("IF TRUE THEN SELECT 1; END IF", "IF statements"),
    ("SELECT * FROM ML.PREDICT(MODEL d.m, TABLE d.t)", "ML.PREDICT"),
    ("EXPORT DATA OPTIONS(uri = 'gs://x/*') AS SELECT 1", "EXPORT statements"),
]
