"""Figure 2 (c): the masked transformer decoder."""
