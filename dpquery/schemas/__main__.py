"""Renews the shipped schemas."""

from dpquery.schemas import write_all

write_all()
