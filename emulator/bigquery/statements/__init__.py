"""Statements that change something or run several: DDL, DML, GRANT, scripts."""
