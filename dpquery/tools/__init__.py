"""Doors for tools that people have already: DB-API, SQLAlchemy, notebooks. Each one is a thin face of a Session."""
