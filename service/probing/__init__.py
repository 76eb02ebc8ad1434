"""What `trading-graph probe` is made of: the runs of the program, and what is said of them."""
