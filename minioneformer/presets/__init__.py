"""Published models and backbone sizes as data (Sec. 4.1)."""
