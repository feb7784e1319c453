"""Figure 2 (a), box "Backbone"."""
