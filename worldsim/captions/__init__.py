"""Text from states: events, referring expressions, templates and the checker that proves them."""
