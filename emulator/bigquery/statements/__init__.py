"""Statements that change something or run several: DDL, DML, GRANT, scripts.

All of them are compiled by :mod:`.statements`, with :mod:`.dml`, :mod:`.ddl_create`, :mod:`.ddl_alter` and
:mod:`.scripts`; :mod:`.outcomes` is what a compiled statement is and does.
"""
