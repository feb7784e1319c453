"""Figure 2 (b), left: tokenizer, task prompt, texts, text mapper."""
