"""What the workers of a house share in PostgreSQL.

- `house`: all of it, opened at once
- `limits`: the limits of models and data hosts
- `cache`: market data, fetched once for all
- `tables`, `database`: where it stands, and what happens while that is away
- `postgresql`: the address, the encoding and the versions of our tables, those of the store too
"""
