"""Who may come in and what stands for whom: keys, standings, the ladder, proposals. It sees no exchange."""
