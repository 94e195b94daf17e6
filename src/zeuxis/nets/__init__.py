"""Networks shared by families: plain modules without losses."""
