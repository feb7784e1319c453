"""Figure 2 (a), box "Pixel Decoder"."""
