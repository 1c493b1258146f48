"""Feeding the shop with the past: the UCI "Online Retail" file, or any file in its format.

python -m examples.shop retail FILE [--db shop.db | --db postgresql://...] [--processes 4] [--json]
"""
