"""Commands that look at results: drawn and compared."""
