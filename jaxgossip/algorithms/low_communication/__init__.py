"""Methods that hardly communicate: many local steps, then one exchange, whose change an outer optimizer follows."""
