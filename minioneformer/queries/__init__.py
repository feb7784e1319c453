"""Figure 2 (b): the object queries."""
